"""Machines as vProtect lists them, page by page: what is as it was costs a look at its fingerprint, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from vprotect_bridge import machine_rows
from vprotect_bridge.client import read
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.read import GUID
from vprotect_bridge.client.types import Reference, VirtualMachine, fingerprint
from vprotect_bridge.models import Machine, OwnerChange, Policy
from vprotect_bridge.ownership import NOBODY, Owner, find_owners, read_claims, settled_owner
from vprotect_bridge.protection import History, conclude, update_protection

Facts = dict[str, Any]


class Known(NamedTuple):
    """A machine of the mirror, in short: there may be fifty thousand."""

    row_digest: str
    is_vanished: bool
    owner: Owner


class OpenRow(NamedTuple):
    """A row that does not say by itself whose it is; read whole (`row`) only if it is not as it was."""

    guid: str
    project: Reference | None
    tenant_id: str
    row: VirtualMachine | None


@dataclass
class Inventory:
    """What one walk through the list found. `dropped`: rows that cannot be used."""

    known: dict[str, Known]
    seen: set[str] = field(default_factory=set)
    dropped: int = 0
    written: int = 0


def read_known() -> dict[str, Known]:
    """By GUID. Owners are shared: a tenant's machines have one and the same."""
    owners: dict[Owner, Owner] = {NOBODY: NOBODY}
    rows = Machine.across_tenants.values_list(
        "guid", "row_digest", "vanished_at", "tenant_id", "owned_by", "owner_value"
    )
    known = {}
    for guid, digest, vanished_at, tenant_id, owned_by, value in rows.iterator(chunk_size=2000):
        owner = Owner(tenant_id, owned_by, value)
        known[guid] = Known(digest, vanished_at is not None, owners.setdefault(owner, owner))
    return known


def read_inventory(api: VProtect, pages: Iterable[list[Any]], known: dict[str, Known]) -> Inventory:
    """Writes what is new or changed, page by page. Raises `UpstreamError`; what was read before is kept."""
    inventory, claims, left_open = Inventory(known), read_claims(), list[OpenRow]()
    for page in pages:
        changed: dict[str, VirtualMachine | None] = {}
        for raw in page:
            guid = raw.get("guid") if isinstance(raw, dict) else None
            if not isinstance(guid, str) or not GUID.fullmatch(guid):
                inventory.dropped += 1
                continue
            inventory.seen.add(guid)
            owner = settled_owner(claims, guid, raw.get("tenantId"))
            was = known.get(guid)
            is_same = was is not None and not was.is_vanished and was.row_digest == fingerprint(raw)
            if owner is None:
                left_open.append(_open_row(guid, raw, is_same=is_same))
            elif not is_same or was is None or was.owner != owner:
                changed[guid] = VirtualMachine.from_json(raw)
        # Claims are read again for what will be written: an operator may have changed them since the walk began.
        _write(changed, find_owners(api, [row for row in changed.values() if row], _owners(known, changed)), inventory)
    _write_left_open(api, left_open, inventory)
    return inventory


def _open_row(guid: str, raw: dict[str, Any], *, is_same: bool) -> OpenRow:
    project = Reference.read(raw.get("project"))
    return OpenRow(guid, project, read.text(raw.get("tenantId")), None if is_same else VirtualMachine.from_json(raw))


def _write_left_open(api: VProtect, rows: list[OpenRow], inventory: Inventory) -> None:
    """All at once, since vProtect is asked for their owners: by projects and listings, the fewer times the better."""
    if not rows:
        return
    owners = find_owners(api, rows, _owners(inventory.known, [row.guid for row in rows]))
    changed = {
        row.guid: row.row for row in rows if row.row is not None or inventory.known[row.guid].owner != owners[row.guid]
    }
    _write(changed, owners, inventory)


def _owners(known: Mapping[str, Known], guids: Iterable[str]) -> dict[str, Owner]:
    return {guid: known[guid].owner for guid in guids if guid in known}


# ── Writing ──────────────────────────────────────────────────────────────────


def _write(rows: Mapping[str, VirtualMachine | None], owners: Mapping[str, Owner], inventory: Inventory) -> None:
    """`rows` by GUID; None = it says what it said, only its owner is another."""
    if not rows:
        return
    now = timezone.now()
    found = {machine.guid: machine for machine in Machine.across_tenants.filter(guid__in=rows).defer("details")}
    new, changed, same, leaving = list[Facts](), list[Machine](), dict[str, str](), list[OwnerChange]()
    standings = dict(Policy.objects.values_list("guid", "standing")) if len(found) < len(rows) else {}
    for guid, row in rows.items():
        facts, owner = facts_of_machine(row) if row else {}, owners[guid]
        digest = fingerprint(row.raw) if row else inventory.known[guid].row_digest
        machine = found.get(guid)
        if machine is None:
            new.append(_new_row(guid, facts, owner, standings, digest, now))
            continue
        if _says_the_same(machine, facts, owner):
            same[guid] = digest
            continue
        if left := _left(machine, owner, facts):
            leaving.append(left)
        for name, value in facts.items():
            setattr(machine, name, value)
        machine.row_digest, machine.changed_at, machine.vanished_at = digest, now, None
        machine.tenant_id, machine.owned_by, machine.owner_value = owner
        # Also for a new owner: what is nobody's of the history becomes theirs.
        machine.details_wanted_at = machine.backups_wanted_at = now
        changed.append(machine)
    machine_rows.insert(new)
    machine_rows.update(changed)
    machine_rows.note_fingerprints(same)
    OwnerChange.objects.bulk_create(leaving, batch_size=machine_rows.BATCH)
    update_protection([machine.pk for machine in changed])
    inventory.written += len(new) + len(changed) + len(same)


def _says_the_same(machine: Machine, facts: Facts, owner: Owner) -> bool:
    is_owners = (machine.tenant_id, machine.owned_by, machine.owner_value) == owner
    return is_owners and machine.vanished_at is None and all(getattr(machine, n) == v for n, v in facts.items())


@dataclass
class _NewMachine:
    """As much of one as says how well it is protected: it has no history here yet."""

    exists: bool
    policy_guid: str
    backup_up_to_date: bool | None
    last_size: int | None
    backups_at: datetime | None = None


def _new_row(guid: str, facts: Facts, owner: Owner, standings: Mapping[str, str], digest: str, now: datetime) -> Facts:
    """Its details wait until a page is opened."""
    at, is_new = now.isoformat(), facts["last_backup_at"] is None
    told = _NewMachine(facts["present"], facts["policy_guid"], facts["backup_up_to_date"], facts["last_size"])
    return {
        **facts,
        **{"guid": guid, "row_digest": digest, "first_seen_at": at, "changed_at": at, "backups_wanted_at": at},
        **{"tenant_id": owner.tenant_id, "owned_by": owner.owned_by, "owner_value": owner.value},
        "protection": conclude(told, History(is_new=is_new), standings.get(told.policy_guid, "")),
    }


def _left(machine: Machine, owner: Owner, facts: Mapping[str, Any]) -> OwnerChange | None:
    """What an operator should look at; `machine` still is as it was."""
    project_guid = facts.get("project_guid", machine.project_guid)
    changed_owner = machine.tenant_id is not None and machine.tenant_id != owner.tenant_id
    changed_project = bool(machine.project_guid) and machine.project_guid != project_guid
    if not changed_owner and not changed_project:
        return None
    project_name = facts.get("project_name", machine.project_name)
    projects = {"was_project": machine.project_name, "now_project": project_name}
    return OwnerChange(machine=machine, was_id=machine.tenant_id, now_id=owner.tenant_id, **projects)


def facts_of_machine(row: VirtualMachine) -> Facts:
    """What is mirrored of a row."""
    return {
        "name": row.name or row.guid,
        "uuid": row.uuid,
        "present": row.present,
        "platform": row.hvm_type or row.hv_type,
        "is_standalone_hypervisor": bool(row.hv_type) and not row.hvm_type,
        "hypervisor_guid": row.hypervisor.guid if row.hypervisor else "",
        "hypervisor_name": row.hypervisor.name if row.hypervisor else "",
        "hv_manager_guid": row.hv_manager.guid if row.hv_manager else "",
        "cluster_name": row.cluster.name if row.cluster else "",
        "project_guid": row.project.guid if row.project else "",
        "project_name": row.project.name if row.project else "",
        "tenant_value": row.tenant_id,
        "policy_guid": row.policy.guid if row.policy else "",
        "policy_name": row.policy.name if row.policy else "",
        "backup_up_to_date": row.backup_up_to_date,
        "last_backup_at": row.last_backup,
        "last_size": row.last_successful_backup_size,
        "last_full_size": row.last_successful_full_backup_size,
        "warnings_present": row.warnings_present,
        "tags": list(row.tags),
    }
