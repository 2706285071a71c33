"""Whose a machine is (docs/architecture.md, promise 4).

vProtect ignores a filter that it does not know and returns everybody's machines (API reference, 20, trap 1). So a
filter proves nothing by itself, and what nobody claims is nobody's.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tenants.models import Claim
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import BadAnswer, Rejected, UpstreamError
from vprotect_bridge.client.types import Reference
from vprotect_bridge.models import Machine

logger = logging.getLogger(__name__)

OwnedBy = Machine.OwnedBy


class Owner(NamedTuple):
    """A tenant's primary key, what made the machine its, and the value of the claim; nobody's has none of them."""

    tenant_id: int | None
    owned_by: str
    value: str


NOBODY = Owner(None, "", "")


def owner_of(machine: Machine) -> Owner:
    return Owner(machine.tenant_id, machine.owned_by, machine.owner_value)


@dataclass(frozen=True)
class Claims:
    """Tenants' primary keys by machine GUID and by tenantId value."""

    machines: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)


def read_claims() -> Claims:
    rows = list(Claim.across_tenants.values_list("kind", "value", "tenant_id"))
    return Claims(
        machines={value: tenant for kind, value, tenant in rows if kind == Claim.Kind.MACHINE},
        values={value: tenant for kind, value, tenant in rows if kind == Claim.Kind.TENANT_VALUE},
    )


def settled_owner(claims: Claims, guid: str, tenant_value: object) -> Owner | None:
    """The owner of a row that says by itself whose it is; None = projects and listings have to be asked."""
    if guid in claims.machines:
        return Owner(claims.machines[guid], OwnedBy.CLAIM.value, guid)
    if not tenant_value or not isinstance(tenant_value, str):
        return None
    tenant_id = claims.values.get(tenant_value)
    return NOBODY if tenant_id is None else Owner(tenant_id, OwnedBy.TENANT_ID.value, tenant_value)


# ── The rule ─────────────────────────────────────────────────────────────────


class Row(Protocol):
    """What of a machine's row says whose it is."""

    @property
    def guid(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def project(self) -> Reference | None: ...


def resolve(
    rows: Iterable[Row],
    claims: Claims,
    projects: Mapping[str, str],
    listings: Mapping[str, Collection[str]],
) -> dict[str, Owner]:
    """The owner of each row, by GUID. `projects`: GUID → uuid; `listings`: tenantId value → GUIDs, if believed.

    The first of GUID claim, tenantId, project and listing that says anything decides: a machine that names another
    project is not a tenant's because a filtered listing had it too.
    """
    values_by_listing = {guid: value for value, guids in listings.items() for guid in guids}
    return {row.guid: _owner(row, claims, projects, values_by_listing) for row in rows}


def _owner(row: Row, claims: Claims, projects: Mapping[str, str], values_by_listing: Mapping[str, str]) -> Owner:
    if row.guid in claims.machines:
        return Owner(claims.machines[row.guid], OwnedBy.CLAIM, row.guid)
    steps = (
        (row.tenant_id, OwnedBy.TENANT_ID),
        (_project_uuid(row, projects), OwnedBy.PROJECT),
        (values_by_listing.get(row.guid, ""), OwnedBy.LISTING),
    )
    value, owned_by = next(((value, how) for value, how in steps if value), ("", OwnedBy.LISTING))
    return Owner(claims.values[value], owned_by, value) if value in claims.values else NOBODY


def _project_uuid(row: Row, projects: Mapping[str, str]) -> str:
    return projects.get(row.project.guid, "") if row.project else ""


def believable(listings: Mapping[str, Collection[str]], control: Collection[str]) -> bool:
    """A filter works if a value that nobody has finds nothing, and no machine answers to two values."""
    found = [guid for guids in listings.values() for guid in guids]
    return not control and len(found) == len(set(found))


# ── Asking for what the rule needs ───────────────────────────────────────────


def find_owners(api: VProtect, rows: Collection[Row], known: Mapping[str, Owner]) -> dict[str, Owner]:
    """The owner of each row, by GUID; vProtect is asked only for what the rows leave open.

    While it cannot say, such a row stays its owner's (`known`, by GUID) and a new one is nobody's.
    """
    claims = read_claims()
    open_rows = [row for row in rows if row.guid not in claims.machines and not row.tenant_id]
    try:
        projects, listings = _ask(api, open_rows, claims)
    except UpstreamError as error:
        logger.warning("owners of %d machines cannot be asked: %s", len(open_rows), error)
        claims = read_claims()
        unclaimed = [row.guid for row in open_rows if row.guid not in claims.machines]
        kept = {guid: _kept(known.get(guid, NOBODY), claims) for guid in unclaimed}
        return resolve(rows, claims, {}, {}) | kept
    # Claims are read again: an operator may have changed them while vProtect was asked.
    return resolve(rows, read_claims() if open_rows else claims, projects, listings)


def _ask(
    api: VProtect, open_rows: Collection[Row], claims: Claims
) -> tuple[Mapping[str, str], Mapping[str, Collection[str]]]:
    projects = fetch_projects(api) if any(row.project for row in open_rows) else {}
    is_open = any(not _project_uuid(row, projects) for row in open_rows)
    return projects, fetch_listings(api, claims.values) if is_open and claims.values else {}


def _kept(owner: Owner, claims: Claims) -> Owner:
    """A claim taken back counts at once: it is ours, and nobody has to be asked for it."""
    is_claimed_still = owner.owned_by != OwnedBy.CLAIM and claims.values.get(owner.value) == owner.tenant_id
    return owner if is_claimed_still else NOBODY


def fetch_projects(api: VProtect) -> dict[str, str]:
    """Project GUID → uuid (API reference, 13); empty for a server that has no such call or refuses it to us."""
    try:
        listing = api.list_projects()
    except Rejected:
        return {}
    if not listing.complete:
        raise BadAnswer("the list of projects is not complete")
    return {project.guid: project.uuid for project in listing.items}


def owners_of_projects(api: VProtect) -> dict[str, int]:
    """Project GUID → the tenant that claims its uuid."""
    values, projects = read_claims().values, fetch_projects(api)
    return {guid: values[uuid] for guid, uuid in projects.items() if uuid in values}


def fetch_listings(api: VProtect, values: Iterable[str]) -> dict[str, set[str]]:
    """tenantId value → GUIDs of its filtered listing; empty when the filter cannot be believed."""
    control = _listed(api, secrets.token_hex(16))
    if not believable({}, control):
        return {}
    listings = {value: _listed(api, value) for value in values}
    return listings if believable(listings, control) else {}


def _listed(api: VProtect, value: str) -> set[str]:
    listing = api.list_virtual_machines(tenantid=value)
    if not listing.complete or listing.dropped:
        raise BadAnswer("a filtered list of machines is not whole")
    return {row.guid for row in listing.items}
