"""Keeps the mirror: one listing of all machines, histories only of machines about which something changed.

The mirror is honest: a list that is incomplete or far too short is not believed, what vanished is kept as vanished,
and only rows that changed are written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import BadAnswer, NotFound, Rejected, UpstreamError
from vprotect_bridge.client.types import Backup as UpstreamBackup
from vprotect_bridge.client.types import Destination as UpstreamDestination
from vprotect_bridge.client.types import Listing, VirtualMachine
from vprotect_bridge.models import Backup, Destination, Machine, UpstreamStatus
from vprotect_bridge.ownership import NOBODY, Owner, find_owners, owners_of_projects
from vprotect_bridge.protection import update_protection

logger = logging.getLogger(__name__)

BATCH = 500
FEW = 5
MOST_MISSING = 0.2
SWEPT_AT_ONCE = 2
AFTER_NONSENSE = timedelta(minutes=5)

# What the inventory does not know (details, histories, what is concluded) is not its to write.
NOT_OF_THE_INVENTORY = {
    *("id", "guid", "first_seen_at", "details", "details_at", "backups_at", "protection", "last_success_at"),
}
WRITTEN_BY_INVENTORY = [f.name for f in Machine._meta.concrete_fields if f.name not in NOT_OF_THE_INVENTORY]

# What a tenant may read of a machine's details; everything else (SSH, commands, credentials) stays upstream.
SAFE_DETAILS = ("supportsQuiesceSnapshot", "quiesceBeforeSnapshot", "tags")


@dataclass
class InventoryResult:
    seen: int = 0
    written: int = 0
    vanished: int = 0
    refused: bool = False


def sync_inventory(api: VProtect, *, accept_shrink: bool = False) -> InventoryResult:
    """Mirrors machines and destinations; returns what it wrote. Raises `UpstreamError`, then nothing was written.

    `accept_shrink`: the operator says that so many machines are really gone.
    """
    listing = api.list_virtual_machines()
    destinations = api.list_destinations()
    known = {machine.guid: machine for machine in Machine.across_tenants.defer("details")}
    owners = _owners(api, listing.items, known)
    result = InventoryResult(seen=len(listing.items))
    _write_machines(listing.items, known, owners, result)
    _mark_vanished(listing, known, accept_shrink, result)
    _write_destinations(destinations)
    if not result.refused:
        UpstreamStatus.objects.filter(pk=1).update(inventory_at=timezone.now())
    return result


def _owners(api: VProtect, rows: tuple[VirtualMachine, ...], known: dict[str, Machine]) -> dict[str, Owner]:
    """While vProtect cannot say whose the machines are, each stays whose it was and a new one is nobody's."""
    try:
        return find_owners(api, rows)
    except UpstreamError as error:
        logger.warning("owners could not be asked: %s", error)
        return {guid: Owner(machine.tenant_id, machine.owned_by) for guid, machine in known.items()}


def _write_machines(
    rows: tuple[VirtualMachine, ...], known: dict[str, Machine], owners: dict[str, Owner], result: InventoryResult
) -> None:
    now = timezone.now()
    new, changed = [], []
    for row in {row.guid: row for row in rows}.values():
        machine = known.get(row.guid)
        owner = owners.get(row.guid, NOBODY)
        digest = _digest(row.raw)
        if machine is None:
            machine = Machine(guid=row.guid, first_seen_at=now)
            new.append(machine)
        elif (machine.row_digest, machine.vanished_at, _owner(machine)) != (digest, None, owner):
            changed.append(machine)
        else:
            continue
        # Also a new owner: what is nobody's of the history becomes theirs.
        machine.backups_wanted_at = now
        if machine.row_digest != digest:
            machine.details_wanted_at = now
            _copy(row, machine)
            machine.row_digest = digest
        machine.changed_at = now
        machine.vanished_at = None
        machine.tenant_id, machine.owned_by = owner
    Machine.across_tenants.bulk_create(new, batch_size=BATCH)
    Machine.across_tenants.bulk_update(changed, WRITTEN_BY_INVENTORY, batch_size=BATCH)
    update_protection([machine.pk for machine in (*new, *changed)])
    result.written += len(new) + len(changed)


def _copy(row: VirtualMachine, machine: Machine) -> None:
    machine.name = row.name or row.guid
    machine.uuid = row.uuid
    machine.present = row.present
    machine.platform = row.hvm_type or row.hv_type
    machine.is_standalone_hypervisor = bool(row.hv_type) and not row.hvm_type
    machine.hypervisor_guid = row.hypervisor.guid if row.hypervisor else ""
    machine.hypervisor_name = row.hypervisor.name if row.hypervisor else ""
    machine.hv_manager_guid = row.hv_manager.guid if row.hv_manager else ""
    machine.cluster_name = row.cluster.name if row.cluster else ""
    machine.project_guid = row.project.guid if row.project else ""
    machine.project_name = row.project.name if row.project else ""
    machine.tenant_value = row.tenant_id
    machine.policy_guid = row.policy.guid if row.policy else ""
    machine.policy_name = row.policy.name if row.policy else ""
    machine.backup_up_to_date = row.backup_up_to_date
    machine.last_backup_at = row.last_backup
    machine.last_size = row.last_successful_backup_size
    machine.last_full_size = row.last_successful_full_backup_size
    machine.warnings_present = row.warnings_present
    machine.tags = list(row.tags)


def _mark_vanished(
    listing: Listing[VirtualMachine], known: dict[str, Machine], accept_shrink: bool, result: InventoryResult
) -> None:
    """Only a complete listing shows that something is gone, and one that lost a fifth at once is not believed."""
    if not listing.complete or listing.dropped:
        return
    living = {guid for guid, machine in known.items() if machine.vanished_at is None}
    missing = living - {row.guid for row in listing.items}
    is_far_too_short = len(missing) > max(FEW, MOST_MISSING * len(living))
    if (is_far_too_short or (missing and not listing.items)) and not accept_shrink:
        logger.error("the inventory lacks %d of %d machines: not believed", len(missing), len(living))
        UpstreamStatus.objects.filter(pk=1).update(
            inventory_refused_at=timezone.now(), inventory_refused_count=len(missing)
        )
        result.refused = True
        return
    UpstreamStatus.objects.filter(pk=1, inventory_refused_at__isnull=False).update(
        inventory_refused_at=None, inventory_refused_count=None
    )
    vanished = [known[guid].pk for guid in missing]
    now = timezone.now()
    Machine.across_tenants.filter(pk__in=vanished).update(vanished_at=now, changed_at=now)
    update_protection(vanished)
    result.vanished = len(vanished)
    result.written += len(vanished)


def _write_destinations(listing: Listing[UpstreamDestination]) -> None:
    known = {destination.guid: destination for destination in Destination.objects.all()}
    now = timezone.now()
    for row in listing.items:
        facts = {
            "name": row.name or row.guid,
            "type": row.type,
            "is_default": row.is_default,
            "capacity": row.capacity,
            "used": row.used,
            "vanished_at": None,
        }
        destination = known.get(row.guid)
        if destination is None:
            Destination.objects.create(guid=row.guid, seen_at=now, **facts)
        elif any(getattr(destination, name) != value for name, value in facts.items()):
            Destination.objects.filter(pk=destination.pk).update(seen_at=now, **facts)
    if listing.complete and listing.items and not listing.dropped:
        seen = [row.guid for row in listing.items]
        Destination.objects.exclude(guid__in=seen).filter(vanished_at__isnull=True).update(vanished_at=now)


def sync_backups(api: VProtect, *, limit: int = 20) -> int:
    """Reads what pages and changes asked for, oldest wish first, and a few more in a slow sweep; returns how many.

    A machine whose answer makes no sense waits; the others are read all the same. Raises `UpstreamError` when vProtect
    cannot be asked.
    """
    machines = Machine.across_tenants.all()
    for machine in machines.filter(details_wanted_at__lte=timezone.now()).order_by("details_wanted_at")[:limit]:
        _skipping_nonsense(refresh_details, api, machine, "details_wanted_at")
    wanted = machines.filter(backups_wanted_at__lte=timezone.now()).order_by("backups_wanted_at")[:limit]
    swept = machines.filter(backups_wanted_at__isnull=True).order_by(F("backups_at").asc(nulls_first=True))
    asked = [*wanted, *swept[:SWEPT_AT_ONCE]]
    for machine in asked:
        _skipping_nonsense(refresh_backups, api, machine, "backups_wanted_at")
    return len(asked)


def _skipping_nonsense(refresh: Callable[[VProtect, Machine], Any], api: VProtect, machine: Machine, wish: str) -> None:
    try:
        refresh(api, machine)
    except (BadAnswer, Rejected) as error:
        logger.warning("%s of machine %s: %s", refresh.__name__, machine.guid, error)
        Machine.across_tenants.filter(pk=machine.pk).update(**{wish: timezone.now() + AFTER_NONSENSE})


def refresh_details(api: VProtect, machine: Machine) -> None:
    """`GET /virtual-machines/{guid}` into the few members that a tenant may see (guide, "Getting VM details")."""
    details = {}
    try:
        raw = api.get_virtual_machine(machine.guid).raw
        details = {name: raw[name] for name in SAFE_DETAILS if raw.get(name) is not None}
    except NotFound:
        logger.info("machine %s has no details any more", machine.guid)
    asked = Machine.across_tenants.filter(pk=machine.pk)
    asked.update(details=details, details_at=timezone.now())
    asked.filter(details_wanted_at=machine.details_wanted_at).update(details_wanted_at=None)


def refresh_backups(api: VProtect, machine: Machine) -> int:
    """Mirrors a machine's history; returns how many rows were written.

    A backup once somebody's keeps its tenant: history does not follow the machine. What was seen before the machine
    had an owner becomes its first owner's.
    """
    wanted_at = machine.backups_wanted_at
    listing = api.list_backups(protected_entity=machine.guid)
    known = {backup.guid: backup for backup in Backup.across_tenants.filter(machine=machine)}
    owners = _owners_at_their_time(api, listing.items, machine, known)
    with transaction.atomic():
        written = sum(_write_backup(row, machine, known.get(row.guid), owners[row.guid]) for row in listing.items)
        if listing.complete and not listing.dropped:
            gone = set(known) - {row.guid for row in listing.items}
            vanished = Backup.across_tenants.filter(guid__in=gone, vanished_at__isnull=True)
            written += vanished.update(vanished_at=timezone.now())
    asked = Machine.across_tenants.filter(pk=machine.pk)
    machine.backups_at = timezone.now()
    asked.update(backups_at=machine.backups_at)
    # Somebody may have asked again meanwhile: that wish stays.
    asked.filter(backups_wanted_at=wanted_at).update(backups_wanted_at=None)
    update_protection([machine.pk])
    return written


def _owners_at_their_time(
    api: VProtect, rows: tuple[UpstreamBackup, ...], machine: Machine, known: dict[str, Backup]
) -> dict[str, int | None]:
    """The tenant of each backup: the project that its machine had then where told, else the machine's owner.

    Projects are asked for only when a new backup names another one than its machine.
    """
    owners = {guid: backup.tenant_id for guid, backup in known.items()}
    is_first_owner = not ({*owners.values()} - {None, machine.tenant_id})
    unowned = [row for row in rows if owners.get(row.guid) is None and (row.guid not in known or is_first_owner)]
    elsewhere = {
        row.guid: row.source_project.guid
        for row in unowned
        if row.source_project and row.source_project.guid != machine.project_guid
    }
    of_projects = owners_of_projects(api) if elsewhere else {}
    return (
        {guid: None for guid in (row.guid for row in rows)}
        | owners
        | {
            row.guid: of_projects.get(elsewhere[row.guid]) if row.guid in elsewhere else machine.tenant_id
            for row in unowned
        }
    )


def _write_backup(row: UpstreamBackup, machine: Machine, known: Backup | None, tenant_id: int | None) -> int:
    facts = _facts_of(row) | {"tenant_id": tenant_id}
    digest = _digest(facts)
    if known is not None and known.row_digest == digest and known.vanished_at is None:
        return 0
    if known is not None:
        Backup.across_tenants.filter(pk=known.pk).update(**facts, row_digest=digest, vanished_at=None)
        return 1
    Backup.across_tenants.create(guid=row.guid, machine=machine, row_digest=digest, **facts)
    return 1


def _facts_of(row: UpstreamBackup) -> dict[str, Any]:
    moment = row.snapshot_time or row.backup_time
    return {
        "status": row.status,
        "type": row.type,
        "status_info": row.status_info,
        "backup_at": row.backup_time,
        "snapshot_at": row.snapshot_time,
        "sort_at": moment or datetime.fromtimestamp(0, UTC),
        "size": row.size,
        "parent_guid": row.parent.guid if row.parent else "",
        "destinations": [
            {"guid": copy.destination.guid, "name": copy.destination.name, "role": copy.role, "status": copy.status}
            for copy in row.copies
            if copy.destination
        ],
        "queued_export_ms": row.queued_export_ms,
        "export_ms": row.export_ms,
        "queued_store_ms": row.queued_store_ms,
        "store_ms": row.store_ms,
        "duration_ms": row.duration_ms,
        "origin": row.origin.type if row.origin else "",
        "warnings": list(row.warnings),
    }


def _owner(machine: Machine) -> Owner:
    return Owner(machine.tenant_id, machine.owned_by)


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
