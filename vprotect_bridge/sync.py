"""Keeps the mirror: one listing of all machines, histories only of machines about which something changed.

The mirror is honest: a list that is incomplete or far too short is not believed, what vanished is kept as vanished,
and only rows that changed are written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from vprotect_bridge import elsewhere
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import Ambiguous, NotFound, Rejected
from vprotect_bridge.client.types import Backup as UpstreamBackup
from vprotect_bridge.client.types import Listing
from vprotect_bridge.infrastructure import sync_destinations, sync_restore_targets
from vprotect_bridge.inventory import Inventory, read_inventory, read_known
from vprotect_bridge.models import Backup, Machine, UpstreamStatus
from vprotect_bridge.ownership import owners_of_projects
from vprotect_bridge.protection import update_protection

logger = logging.getLogger(__name__)

BATCH = 500
FEW = 5
MOST_MISSING = 0.2
SWEPT_AT_ONCE = 2
SWEPT_AFTER = timedelta(hours=1)
MOST_FAILURES = 3
AFTER_FAILURE = timedelta(minutes=2)

WRITTEN_OF_A_BACKUP = [f.name for f in Backup._meta.concrete_fields if f.name not in {"id", "guid"}]

# What a tenant may read of a machine's details; everything else (SSH, commands, credentials) stays upstream.
SAFE_DETAILS = ("supportsQuiesceSnapshot", "quiesceBeforeSnapshot", "tags")


@dataclass
class InventoryResult:
    seen: int = 0
    written: int = 0
    vanished: int = 0
    refused: bool = False


def sync_inventory(api: VProtect) -> InventoryResult:
    """Mirrors machines and destinations; returns what it wrote. Raises `UpstreamError` when they cannot be listed."""
    walk = api.walk_virtual_machines()
    inventory = read_inventory(api, walk, read_known())
    result = InventoryResult(seen=len(inventory.seen), written=inventory.written)
    _mark_vanished(api, inventory, result, is_whole=walk.complete and not inventory.dropped)
    if walk.complete and not result.refused:
        UpstreamStatus.objects.filter(pk=1).update(inventory_at=timezone.now())
    sync_destinations(api)
    sync_restore_targets(api)
    return result


def _mark_vanished(api: VProtect, inventory: Inventory, result: InventoryResult, *, is_whole: bool) -> None:
    """Only a complete listing shows that something is gone; one that lost a fifth at once waits for an operator."""
    if not is_whole:
        logger.warning("the inventory is not whole (%d rows dropped): nothing vanishes by it", inventory.dropped)
        return
    living = {guid for guid, machine in inventory.known.items() if not machine.is_vanished}
    missing = living - inventory.seen
    is_far_too_short = len(missing) > max(FEW, MOST_MISSING * len(living)) or (missing and not inventory.seen)
    status = UpstreamStatus.objects.filter(pk=1)
    if is_far_too_short and not status.filter(inventory_accepted_count__gte=len(missing)).exists():
        logger.error("the inventory lacks %d of %d machines: not believed", len(missing), len(living))
        status.update(
            inventory_refused_at=timezone.now(),
            inventory_refused_count=len(missing),
            inventory_accepted_count=None,
        )
        result.refused = True
        return
    status.filter(inventory_refused_at__isnull=False).update(
        inventory_refused_at=None, inventory_refused_count=None, inventory_accepted_count=None
    )
    now, gone = timezone.now(), Machine.across_tenants.filter(guid__in=missing - _seen_at_second_look(api, missing))
    vanished = list(gone.values_list("pk", flat=True))
    Machine.across_tenants.filter(pk__in=vanished).update(vanished_at=now, changed_at=now)
    update_protection(vanished)
    result.vanished = len(vanished)
    result.written += len(vanished)


def _seen_at_second_look(api: VProtect, missing: set[str]) -> set[str]:
    """Rows may move between two pages while a list is walked: who is missing is looked for once more."""
    if not missing:
        return set()
    again = api.list_virtual_machines()
    is_whole = again.complete and not again.dropped
    return {row.guid for row in again.items} if is_whole else missing


def sync_backups(api: VProtect, *, limit: int = 20) -> int:
    """Reads what pages and changes asked for, oldest wish first, and a few histories more in a slow sweep.

    Returns how many answers it wrote. A machine that vProtect cannot tell about waits, the others go on; after a few
    of those the run ends. Raises `UpstreamError` when vProtect does not answer at all.
    """
    now = timezone.now()
    machines = Machine.across_tenants.defer("details", "tags")
    details = machines.filter(details_wanted_at__lte=now).order_by("details_wanted_at")[:limit]
    wanted = machines.filter(backups_wanted_at__lte=now).order_by("backups_wanted_at")[:limit]
    is_old = Q(backups_at__isnull=True) | Q(backups_at__lte=now - SWEPT_AFTER)
    swept = machines.filter(is_old, backups_wanted_at=None).order_by(F("backups_at").asc(nulls_first=True))
    histories = [*wanted, *swept[:SWEPT_AT_ONCE]]
    return _refresh_all(
        api,
        *(("details_wanted_at", refresh_details, machine) for machine in details),
        *(("backups_wanted_at", refresh_backups, machine) for machine in histories),
    )


def _refresh_all(api: VProtect, *asked: tuple[str, Callable[[VProtect, Machine], object], Machine]) -> int:
    done = failures = 0
    for wish, refresh, machine in asked:
        try:
            refresh(api, machine)
            done += 1
        except (Ambiguous, Rejected) as error:
            logger.warning("%s of machine %s: %s", refresh.__name__, machine.guid, error)
            # Also one that gets no answer goes to the end of the line: else it would be the first of every run.
            Machine.across_tenants.filter(pk=machine.pk).update(**{wish: timezone.now() + AFTER_FAILURE})
            failures += 1
            if not error.was_answered:
                raise
            if failures == MOST_FAILURES:
                break
    return done


def refresh_details(api: VProtect, machine: Machine) -> None:
    """`GET /virtual-machines/{guid}` into the few members that a tenant may see (guide, "Getting VM details")."""
    asked_at = timezone.now()
    details = {}
    try:
        raw = api.get_virtual_machine(machine.guid).raw
        details = {name: raw[name] for name in SAFE_DETAILS if raw.get(name) is not None}
    except NotFound:
        logger.info("machine %s has no details any more", machine.guid)
    row = Machine.across_tenants.filter(pk=machine.pk)
    row.update(details=details, details_at=asked_at)
    row.filter(details_wanted_at__lte=asked_at).update(details_wanted_at=None)


# ── Histories ────────────────────────────────────────────────────────────────


def refresh_backups(api: VProtect, machine: Machine) -> int:
    """Mirrors a machine's history as of now; returns how many rows were written.

    A backup once somebody's keeps its tenant: history does not follow the machine. What was seen before the machine
    had an owner becomes its first owner's. Raises `UpstreamError`, then nothing was written.
    """
    asked_at = timezone.now()
    listing = _list_backups(api, machine)
    of_projects = _owners_of_other_projects(api, machine, listing.items)
    with transaction.atomic():
        machine = Machine.across_tenants.select_for_update(no_key=True).get(pk=machine.pk)
        if machine.backups_at and machine.backups_at > asked_at:
            return 0  # another job asked later and was faster
        written = _write_history(machine, listing, of_projects)
        machine.backups_at = asked_at
        if machine.backups_wanted_at and machine.backups_wanted_at <= asked_at:
            machine.backups_wanted_at = None
        machine.save(update_fields=["backups_at", "backups_wanted_at"])
        update_protection([machine.pk])
    return written


def _list_backups(api: VProtect, machine: Machine) -> Listing[UpstreamBackup]:
    try:
        return api.list_backups(protected_entity=machine.guid)
    except NotFound:
        logger.info("machine %s is unknown upstream; its history stays as it is", machine.guid)
        return Listing((), complete=False)


def _owners_of_other_projects(api: VProtect, machine: Machine, rows: tuple[UpstreamBackup, ...]) -> Mapping[str, int]:
    """Projects are asked for only when a backup that is nobody's yet was made in another one than the machine's."""
    made_elsewhere = {row.guid for row in rows if _is_from_elsewhere(row, machine)}
    settled = Backup.across_tenants.filter(guid__in=made_elsewhere, tenant__isnull=False).count()
    return owners_of_projects(api) if len(made_elsewhere) > settled else {}


def _is_from_elsewhere(row: UpstreamBackup, machine: Machine) -> bool:
    return row.source_project is not None and row.source_project.guid != machine.project_guid


def _owner_then(row: UpstreamBackup, machine: Machine, of_projects: Mapping[str, int]) -> int | None:
    """The tenant of a backup's own project where told, else the machine's owner."""
    if row.source_project is not None and _is_from_elsewhere(row, machine):
        return of_projects.get(row.source_project.guid)
    return machine.tenant_id


def _write_history(machine: Machine, listing: Listing[UpstreamBackup], of_projects: Mapping[str, int]) -> int:
    rows = {row.guid: row for row in listing.items}
    # By GUID as well: vProtect may have tied a backup to a machine that it inventoried anew.
    stored = Backup.across_tenants.filter(Q(machine=machine) | Q(guid__in=rows))
    known = {backup.guid: backup for backup in stored}
    is_first_owner = {backup.tenant_id for backup in known.values()} <= {None, machine.tenant_id}
    new: list[Backup] = []
    changed: list[Backup] = []
    for row in rows.values():
        backup = known.get(row.guid) or Backup(guid=row.guid)
        tenant_id = backup.tenant_id
        if row.guid not in known or (tenant_id is None and is_first_owner):
            tenant_id = _owner_then(row, machine, of_projects)
        facts = _facts_of_backup(row) | {"machine_id": machine.pk, "tenant_id": tenant_id}
        digest = _digest(facts)
        if backup.row_digest == digest and backup.vanished_at is None:
            continue
        for name, value in (facts | {"row_digest": digest, "vanished_at": None}).items():
            setattr(backup, name, value)
        (changed if row.guid in known else new).append(backup)
    Backup.across_tenants.bulk_create(new, batch_size=BATCH)
    Backup.across_tenants.bulk_update(changed, WRITTEN_OF_A_BACKUP, batch_size=BATCH)
    if machine.backups_at is not None:
        elsewhere.note_ended_backups(machine, [*new, *changed])
    gone = [backup.pk for guid, backup in known.items() if guid not in rows and backup.vanished_at is None]
    if not gone or not listing.complete or listing.dropped:
        return len(new) + len(changed)
    Backup.across_tenants.filter(pk__in=gone).update(vanished_at=timezone.now())
    return len(new) + len(changed) + len(gone)


def _facts_of_backup(row: UpstreamBackup) -> dict[str, Any]:
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
            {
                **{"guid": copy.destination.guid, "name": copy.destination.name},
                **{"role": copy.role, "status": copy.status, "location_guid": copy.guid},
            }
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
        "archive_expires_at": row.archive_expires,
    }


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
