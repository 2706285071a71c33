"""A backup is opened for its single files, looked into, and closed, against the simulator in both dialects."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from django_scopes import scope

from tenants.models import AuditEntry, Claim, Membership, Role, Tenant
from tests.conftest import USUAL_DIALECT, both_dialects, person
from tests.shapes import WatchedSimulator
from tests.vprotect_bridge.conftest import Saved, bring_back
from tests.vprotect_bridge.opened import WEB, ask, clicked, look, now, open_backup, read_mirror, settle
from vprotect_bridge import submit as protocol
from vprotect_bridge.browsing import root_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.dialects import MountRequest
from vprotect_bridge.follow import follow
from vprotect_bridge.models import Backup, Folder, Machine, Mount, Operation
from vprotect_bridge.mount_wishes import MountWish, request_close, request_mount
from vprotect_bridge.mounts import follow_mounts
from vprotect_bridge.restoring import location_of
from vprotect_bridge.services import WishRefused
from vprotect_simulator.server import SimulatorServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]


@pytest.fixture
def opener(mirrored_once: Saved, db: None, api: VProtect, simulator: WatchedSimulator, dialect: str) -> Membership:
    bring_back(mirrored_once, simulator)
    if dialect != USUAL_DIALECT:
        simulator.state.dialect = dialect
        read_mirror(api)
    return Membership.objects.select_related("tenant", "user").get()


def mounts_made(simulator: SimulatorServer) -> int:
    return len(simulator.control.ledger("POST", "/tasks/restore-and-mount"))


# ── From the wish to the open backup ─────────────────────────────────────────


@both_dialects
def test_restore_and_mount_are_one_story(dialect: str, api: VProtect, simulator: SimulatorServer, opener: Membership):
    operation = ask(opener)
    assert AuditEntry.across_tenants.get().action == "mount_requested"
    protocol.submit(api)
    seen = [look(api, simulator, operation, seconds) for seconds in (1, 60, 135, 30, 5, 60)]
    assert list(dict.fromkeys(step.phase for step in seen)) == ["queued", "restoring", "mounting", ""]
    progress = [step.progress for step in seen]
    assert progress == sorted(progress) and max(progress[:-1]) < 100
    assert (seen[-1].outcome, seen[-1].progress) == ("succeeded", 100)
    mount = Mount.across_tenants.get()
    assert (mount.tenant, mount.operation, mount.machine_guid) == (opener.tenant, operation, WEB)
    assert [system["volume"] for system in mount.file_systems] == ["/dev/sda2", "/dev/sdb1", "/dev/sda1"]
    assert timedelta(hours=3) < mount.closes_at - timezone.now() <= timedelta(hours=4)
    body = simulator.control.ledger("POST", "/tasks/restore-and-mount")[0]["body"]
    path = body["mountedFileSystems"][0]["mountPath"]
    assert path.startswith("/mnt/vprotect/") and "web" not in path, "names of machines are hostile, and nobody's affair"


@pytest.mark.parametrize(
    ("dialect", "meaning"),
    [("classic", "absent"), ("current", "absent"), ("current", "duration"), ("current", "absolute")],
)
def test_the_time_until_it_closes_is_told_as_the_server_reads_it(
    dialect: str, meaning: str, api: VProtect, simulator: SimulatorServer, opener: Membership, settings: Any
):
    settings.VPROTECT_UNMOUNT_TIME = meaning
    ask(opener)
    protocol.submit(api)
    told = simulator.control.ledger("POST", "/tasks/restore-and-mount")[0]["body"].get("unmountTime")
    in_six_hours = (timezone.now() + timedelta(hours=6)).timestamp() * 1000
    expected = {"absent": None, "duration": 4 * 3600 * 1000, "absolute": pytest.approx(in_six_hours, abs=60_000)}
    assert told == expected[meaning]


def test_a_server_without_restore_jobs_tells_by_its_tasks(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    simulator.control.change_settings(has_restore_jobs=False)
    assert open_backup(api, simulator, opener).operation.outcome == "succeeded"


@pytest.mark.parametrize("kind", ["RESTORE", "MOUNT"])
@pytest.mark.parametrize("has_jobs", [True, False])
def test_a_failing_task_ends_it_and_opens_nothing(
    kind: str, has_jobs: bool, api: VProtect, simulator: SimulatorServer, opener: Membership
):
    simulator.control.change_settings(has_restore_jobs=has_jobs)
    simulator.control.change_machine(WEB, {"_behaviour": {kind: "fail"}})
    operation = ask(opener)
    protocol.submit(api)
    for _ in range(3):
        operation = look(api, simulator, operation, 400)
    assert operation.outcome == "failed" and not Mount.across_tenants.exists()


def test_what_cannot_be_mounted_is_refused_before_it_is_sent(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    simulator.control.change_machine(WEB, {"_mountable": False})
    operation = ask(opener)
    protocol.submit(api)
    assert now(operation).submission == "rejected" and "cannot be read" in now(operation).user_message
    assert mounts_made(simulator) == 0


def test_what_somebody_else_mounted_of_it_is_not_ours(api: VProtect, simulator: SimulatorServer, opener: Membership):
    """From the vendor's console, before and while ours is on its way."""
    backup = Backup.across_tenants.filter(machine__guid=WEB).order_by("-sort_at")[0]
    node = api.mounts.nodes(backup.guid).items[0].guid
    request = MountRequest(backup.guid, "/mnt/vprotect/console", node, location_of(backup.guid))
    theirs = api.dialect.mount_body(request)
    api.transport.post("/tasks/restore-and-mount", theirs)
    operation = ask(opener)
    protocol.submit(api)
    api.transport.post("/tasks/restore-and-mount", theirs)
    for _ in range(8):
        look(api, simulator, operation, 100)
    assert now(operation).outcome == "succeeded" and len(api.mounts.list().items) == 3
    mount = Mount.across_tenants.get()
    paths = {system.mount_path for system in api.mounts.file_systems(mount.guid).items}
    assert all(path.startswith(operation.request["mount_path"]) for path in paths)
    others = Operation.across_tenants.exclude(pk=operation.pk)
    assert {other.kind for other in others} <= {"task"}, "shown as the provider's work, and opened for nobody"


def test_a_filter_that_is_ignored_opens_nobody_elses_files(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    simulator.control.change_settings(ignore_filters=True)
    open_backup(api, simulator, opener)
    Operation.across_tenants.update(outcome="failed")
    second = open_backup(api, simulator, opener, place=1)
    ours = {system["guid"] for system in second.file_systems}
    first = Mount.across_tenants.exclude(pk=second.pk).get()
    assert len(ours) == 3 and not ours & {system["guid"] for system in first.file_systems}


def test_a_restore_and_a_mount_of_the_same_backup_do_not_mix(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    mount, restore = ask(opener), ask(opener, kind="restore")
    protocol.submit(api), protocol.submit(api)
    bodies = simulator.control.made_tasks()
    assert len({task["guid"] for task in bodies}) == 2
    for _ in range(10):
        look(api, simulator, mount, 60), look(api, simulator, restore, 1)
    assert (now(mount).outcome, now(restore).outcome) == ("succeeded", "succeeded")
    assert now(mount).restored_guid == "" and now(restore).restored_guid != ""


# ── Nothing lost, nothing doubled ────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["reset", "status", "html", "empty", "wrong_guid"])
def test_one_whose_answer_was_lost_is_adopted(
    fault: str, api: VProtect, simulator: SimulatorServer, opener: Membership, quick_settling: None
):
    simulator.control.fault(fault, path="/tasks/restore-and-mount", when="after")
    operation = ask(opener)
    protocol.submit(api)
    assert now(operation).submission == "uncertain"
    settled = settle(api, operation)
    assert (settled.submission, settled.adopted, mounts_made(simulator)) == ("accepted", True, 1)


def test_one_that_never_arrived_is_not_sent_again_by_itself(
    api: VProtect, simulator: SimulatorServer, opener: Membership, quick_settling: None
):
    simulator.control.fault("reset", path="/tasks/restore-and-mount")
    operation = ask(opener)
    protocol.submit(api)
    assert settle(api, operation).submission == "needs_attention"
    protocol.submit(api)
    assert not [task for task in simulator.control.made_tasks() if task["type"] == "RESTORE"]


@pytest.mark.parametrize("loss", ["right", "scope", "backup", "owner"])
def test_a_right_lost_since_the_click_stops_it(
    loss: str, api: VProtect, simulator: SimulatorServer, opener: Membership
):
    operation = ask(opener)
    match loss:
        case "right":
            Membership.objects.update(may_open_backups=False)
        case "scope":
            Membership.objects.update(machine_guids=["another"])
        case "backup":
            Backup.across_tenants.update(status="SUCCESS_REMOVED")
        case "owner":
            Backup.across_tenants.update(tenant=Tenant.objects.create(name="Pine", slug="pine"))
    protocol.submit(api)
    assert (now(operation).submission, mounts_made(simulator)) == ("rejected", 0)


# ── Limits ───────────────────────────────────────────────────────────────────


def test_so_many_at_once_as_the_operator_allows(api: VProtect, simulator: SimulatorServer, opener: Membership):
    Tenant.objects.update(mount_cap=1)
    open_backup(api, simulator, opener)
    with pytest.raises(WishRefused, match="may have 1 backups open at once, and 1 are"):
        ask(opener, place=1)
    Mount.across_tenants.update(closed_at=timezone.now())
    assert ask(opener, place=1)
    with pytest.raises(WishRefused, match="and 1 are"):
        ask(opener, machine="db-01")
    Tenant.objects.update(mount_cap=0)
    with pytest.raises(WishRefused, match="does not offer"):
        ask(opener, machine="db-01")


def test_the_same_click_twice_is_one(opener: Membership):
    key = uuid4()
    assert ask(opener, key=key) == ask(opener, key=key) == ask(opener)
    assert Operation.across_tenants.count() == AuditEntry.across_tenants.count() == 1


@pytest.mark.parametrize("change", [{"may_open_backups": False}, {"machine_guids": ["another"]}])
def test_who_has_not_the_right_is_refused_whatever_the_role(change: dict[str, Any], opener: Membership):
    Membership.objects.update(role=Role.ADMIN, **change)
    with pytest.raises(WishRefused, match="may not take single files"):
        ask(Membership.objects.select_related("tenant", "user").get(pk=opener.pk))


# ── Closing ──────────────────────────────────────────────────────────────────


def close_completely(api: VProtect, simulator: SimulatorServer) -> Mount:
    follow_mounts(api)
    for _ in range(2):
        simulator.control.advance(60)
        api.list_tasks()
    follow_mounts(api)
    return Mount.across_tenants.get()


@both_dialects
@pytest.mark.parametrize("kept", ["keep", "remove"])
def test_a_person_closes_it(dialect: str, kept: str, api: VProtect, simulator: SimulatorServer, opener: Membership):
    simulator.control.change_settings(unmounted_mounts=kept)
    mount = open_backup(api, simulator, opener)
    clicked(opener, lambda: request_close(opener, mount, address=None))
    assert not Mount.across_tenants.get().is_open, "nobody looks into it from the click on"
    mount = close_completely(api, simulator)
    assert (mount.closed_by, mount.closed_at is not None) == ("person", True)
    assert not clicked(opener, lambda: request_close(opener, mount, address=None))
    assert len(simulator.control.ledger("POST", "/tasks/unmount")) == 1
    follow(api)
    assert Operation.across_tenants.count() == 1, "its UNMOUNT task is no work of the provider's"


def test_it_closes_when_its_time_is_up(api: VProtect, simulator: SimulatorServer, opener: Membership):
    mount = open_backup(api, simulator, opener)
    follow_mounts(api)
    assert not simulator.control.ledger("POST", "/tasks/unmount")
    Mount.across_tenants.update(closes_at=timezone.now())
    assert not Mount.across_tenants.get().is_open
    assert close_completely(api, simulator).closed_by == "time"
    assert mount.pk


def test_what_vprotect_unmounts_is_closed_here_too(api: VProtect, simulator: SimulatorServer, opener: Membership):
    mount = open_backup(api, simulator, opener)
    simulator.control.close_mount(mount.guid)
    assert follow_mounts(api) == 1 and Mount.across_tenants.get().closed_by == "upstream"


@pytest.mark.parametrize("leaves", ["backup", "tenant"])
def test_what_must_not_be_seen_any_more_is_closed(
    leaves: str, api: VProtect, simulator: SimulatorServer, opener: Membership
):
    open_backup(api, simulator, opener)
    if leaves == "backup":
        Backup.across_tenants.update(tenant=Tenant.objects.create(name="Pine", slug="pine"))
    else:
        Tenant.objects.update(is_active=False)
    assert close_completely(api, simulator).closed_by == "owner"


def test_a_machine_that_moves_away_leaves_its_mount_with_the_backups_owner(
    api: VProtect, simulator: SimulatorServer, opener: Membership
):
    mount = open_backup(api, simulator, opener)
    Machine.across_tenants.update(tenant=Tenant.objects.create(name="Pine", slug="pine"))
    assert follow_mounts(api) == 0 and Mount.across_tenants.get(tenant=opener.tenant) == mount


def test_an_unmount_that_fails_is_asked_for_again(api: VProtect, simulator: SimulatorServer, opener: Membership):
    mount = open_backup(api, simulator, opener)
    simulator.control.change_machine(WEB, {"_behaviour": {"UNMOUNT": "fail"}})
    clicked(opener, lambda: request_close(opener, mount, address=None))
    assert close_completely(api, simulator).closed_at is None
    simulator.control.change_machine(WEB, {"_behaviour": {}})
    Mount.across_tenants.update(close_sent_at=timezone.now() - timedelta(minutes=3))
    assert close_completely(api, simulator).closed_by == "person"


def test_nothing_is_asked_while_nothing_is_open(api: VProtect, simulator: SimulatorServer):
    assert follow_mounts(api) == 0 and not simulator.control.ledger()


# ── Others ───────────────────────────────────────────────────────────────────


def test_a_stranger_claims_nothing_by_the_machine(api: VProtect, simulator: SimulatorServer, opener: Membership):
    mount = open_backup(api, simulator, opener)
    clicked(opener, lambda: root_of(mount, mount.file_systems[0]["guid"]))
    pine = Tenant.objects.create(name="Pine", slug="pine")
    Claim.across_tenants.create(tenant=pine, kind=Claim.Kind.MACHINE, value="vm-of-pine")
    member = Membership.objects.get(user=person(pine, "p", Role.ADMIN))
    with scope(tenant=pine):
        assert not Mount.objects.exists() and not Folder.objects.exists()
    machine = Machine.across_tenants.get(guid=WEB)
    backup = Backup.across_tenants.filter(machine=machine)[0]
    member.may_open_backups = True
    with scope(tenant=pine), pytest.raises(WishRefused, match="restore points that are offered"):
        request_mount(member, machine, MountWish(backup.guid, 4), client_key=uuid4(), address=None)
