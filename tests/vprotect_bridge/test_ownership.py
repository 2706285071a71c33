"""Whose a machine is: the order of what is believed, and what happens while nobody can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.models import Claim, Tenant
from tests.conftest import both_dialects, classic_only
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.types import VirtualMachine
from vprotect_bridge.models import Machine
from vprotect_bridge.ownership import NOBODY, Claims, Owner, believable, find_owners, resolve
from vprotect_simulator.landscape import PROJECT_UUIDS
from vprotect_simulator.names import guid_of
from vprotect_simulator.server import SimulatorServer

AURORA, BOREALIS = PROJECT_UUIDS["aurora-books"], PROJECT_UUIDS["borealis-clinic"]
WEB, APP, BARE = (guid_of(f"vm/{name}") for name in ("web-01", "app-01", "bare-01"))

CLAIMS = Claims(machines={"claimed": 1}, values={"value-two": 2, "value-three": 3})
PROJECTS = {"project-three": "value-three", "project-unclaimed": "value-nine", "project-without-uuid": ""}


def row(guid: str = "vm", **members: Any) -> VirtualMachine:
    return VirtualMachine.from_json({"guid": guid, **members})


@pytest.mark.parametrize(
    ("members", "listings", "owner"),
    [
        # A GUID claim comes before everything.
        ({"guid": "claimed", "tenantId": "value-two"}, {}, Owner(1, "claim", "claimed")),
        ({"guid": "claimed"}, {"value-two": {"claimed"}}, Owner(1, "claim", "claimed")),
        # Then what the row says of itself.
        ({"tenantId": "value-two", "project": {"guid": "project-three"}}, {}, Owner(2, "tenant_id", "value-two")),
        ({"tenantId": "value-two"}, {"value-three": {"vm"}}, Owner(2, "tenant_id", "value-two")),
        # What it says decides also when nobody claims it.
        ({"tenantId": "value-nine", "project": {"guid": "project-three"}}, {}, NOBODY),
        ({"tenantId": "value-nine"}, {"value-two": {"vm"}}, NOBODY),
        # Then its project.
        ({"project": {"guid": "project-three"}}, {"value-two": {"vm"}}, Owner(3, "project", "value-three")),
        ({"project": "project-three"}, {}, Owner(3, "project", "value-three")),
        ({"project": {"guid": "project-unclaimed"}}, {"value-two": {"vm"}}, NOBODY),
        # A listing tells only of a row that says nothing.
        ({"project": {"guid": "project-without-uuid"}}, {"value-two": {"vm"}}, Owner(2, "listing", "value-two")),
        ({}, {"value-two": {"vm"}, "value-three": {"other"}}, Owner(2, "listing", "value-two")),
        ({}, {"value-two": {"other"}}, NOBODY),
        ({"tenantId": ""}, {}, NOBODY),
        # A machine GUID is no tenantId value and the other way round.
        ({"tenantId": "claimed"}, {}, NOBODY),
        ({"guid": "value-two"}, {}, NOBODY),
    ],
)
def test_the_first_that_says_anything_decides(members: dict[str, Any], listings: dict[str, set[str]], owner: Owner):
    one = row(**members)
    assert resolve([one], CLAIMS, PROJECTS, listings) == {one.guid: owner}


@pytest.mark.parametrize(
    ("listings", "control", "is_believed"),
    [
        ({}, set(), True),
        ({"one": {"a"}, "two": {"b"}}, set(), True),
        ({"one": {"a"}, "two": set()}, set(), True),
        ({"one": {"a", "b"}, "two": {"b"}}, set(), False),
        ({"one": {"a"}}, {"a"}, False),
        ({"one": {"a"}}, {"z"}, False),
    ],
)
def test_a_filter_is_believed_only_when_it_filters(listings: dict[str, set[str]], control: set[str], is_believed: bool):
    assert believable(listings, control) == is_believed


# ── Asking ───────────────────────────────────────────────────────────────────


def claim(tenant: Tenant, value: str, kind: str = Claim.Kind.TENANT_VALUE) -> None:
    Claim.across_tenants.create(tenant=tenant, kind=kind, value=value)


def owners(api: VProtect, known: dict[str, Owner] | None = None) -> dict[str, Owner]:
    return find_owners(api, api.list_virtual_machines().items, known or {})


@classic_only  # Newer servers' rows name their project instead of a tenantId.
@pytest.mark.django_db
def test_nothing_is_asked_when_the_rows_say_it_all(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    rows = [r for r in api.list_virtual_machines().items if r.tenant_id]
    before = len(simulator.control.ledger())
    assert set(find_owners(api, rows, {}).values()) == {Owner(sunflower.pk, "tenant_id", AURORA)}
    assert len(simulator.control.ledger()) == before


@both_dialects
@pytest.mark.django_db
def test_a_control_with_a_random_value_comes_first(api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
    claim(sunflower, AURORA)
    owners(api)
    owners(api)
    spelling = api.dialect.tenant_filters["/virtual-machines"]
    asked = [
        call["query"][spelling][0]
        for call in simulator.control.ledger("GET", "/virtual-machines")
        if spelling in call["query"]
    ]
    control, value, other_control, other_value = asked
    assert value == other_value == AURORA
    assert control not in {AURORA, other_control}


@pytest.mark.django_db
def test_overlapping_answers_are_not_believed(
    api: VProtect, simulator: SimulatorServer, sunflower: Tenant, pine: Tenant
):
    claim(sunflower, AURORA)
    claim(pine, BOREALIS)
    simulator.control.change_machine(BARE, {"_tenant_values": [AURORA, BOREALIS]})
    assert owners(api)[BARE] == NOBODY
    simulator.control.change_machine(BARE, {"_tenant_values": [AURORA]})
    assert owners(api)[BARE] == Owner(sunflower.pk, "listing", AURORA)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "path", "skip"),
    [
        ("status", "/projects", 0),
        ("empty", "/projects", 0),
        ("reset", "/projects", 0),
        # The first listing is the whole inventory, the second the control, the third a claim's.
        ("empty", "/virtual-machines", 1),
        ("status", "/virtual-machines", 2),
        ("truncated", "/virtual-machines", 2),
    ],
)
class TestWhileNobodyCanBeAsked:
    @pytest.fixture(autouse=True)
    def _trouble(self, kind: str, path: str, skip: int, simulator: SimulatorServer) -> None:
        simulator.control.fault(kind, path=path, skip=skip, times=0)

    def test_a_known_machine_stays_its_owners(self, api: VProtect, sunflower: Tenant, pine: Tenant):
        claim(sunflower, AURORA)
        claim(pine, BOREALIS)
        known = {APP: Owner(pine.pk, "project", BOREALIS), BARE: Owner(sunflower.pk, "listing", AURORA)}
        assert owners(api, known).items() >= known.items()

    def test_a_new_machine_is_nobodys(self, api: VProtect, simulator: SimulatorServer, sunflower: Tenant):
        claim(sunflower, BOREALIS)
        simulator.control.change_machine(BARE, {"_tenant_values": [BOREALIS]})
        assert owners(api)[BARE] == NOBODY

    def test_a_claimed_machine_is_decided(self, api: VProtect, sunflower: Tenant, pine: Tenant):
        claim(sunflower, AURORA)
        claim(pine, BARE, Claim.Kind.MACHINE)
        assert owners(api, {BARE: Owner(sunflower.pk, "claim", BARE)})[BARE] == Owner(pine.pk, "claim", BARE)

    @classic_only
    def test_a_row_with_a_tenant_id_is_decided(self, api: VProtect, sunflower: Tenant, pine: Tenant):
        claim(sunflower, AURORA)
        found = owners(api, {WEB: Owner(pine.pk, "tenant_id", BOREALIS)})
        assert found[WEB] == Owner(sunflower.pk, "tenant_id", AURORA)

    def test_a_claim_taken_back_counts_at_once(self, api: VProtect, sunflower: Tenant, pine: Tenant):
        claim(sunflower, AURORA)
        known = {BARE: Owner(sunflower.pk, "claim", BARE), APP: Owner(pine.pk, "project", BOREALIS)}
        found = owners(api, known)
        assert (found[BARE], found[APP]) == (NOBODY, NOBODY)


@pytest.mark.django_db
def test_a_server_without_projects_is_asked_by_listing(api: VProtect, simulator: SimulatorServer, pine: Tenant):
    claim(pine, BOREALIS)
    simulator.control.fault("status", status=404, path="/projects", times=0)
    assert owners(api)[APP] == Owner(pine.pk, Machine.OwnedBy.LISTING, BOREALIS)
