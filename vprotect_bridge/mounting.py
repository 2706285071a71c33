"""What is peculiar to opening a backup for its single files in the submit protocol (docs/submit-protocol.md, "Marker").

It begins with a RESTORE task as a restore does, and is looked up like one. What was mounted is known by its path, which
is ours alone. It is never sent again by itself: a person decides.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from tenants.models import Membership
from vprotect_bridge import restoring
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.dialects import MountRequest
from vprotect_bridge.client.errors import NotFound
from vprotect_bridge.client.mounts import MountedBackup, MountedFileSystem
from vprotect_bridge.client.types import Task
from vprotect_bridge.file_paths import is_below
from vprotect_bridge.models import Backup, Mount, Operation
from vprotect_bridge.sight import Sight

NOT_MOUNTABLE = _("The single files of this backup cannot be read. Choose another restore point.")
# A moment is not counted from when it is mounted, which may be long after it was sent.
UNTIL_MOUNTED = timedelta(hours=2)


def refusal(operation: Operation) -> str:
    """Why the wish may not be sent any more, in words for its owner; empty = it may."""
    membership = Membership.objects.filter(user=operation.created_by_id, tenant=operation.tenant_id).first()
    if not operation.tenant.is_active or not membership or not may_open(membership, operation.subject_guid):
        return _("The person who asked for it may not take files out of this machine's backups any more.")
    backup = Backup.across_tenants.filter(
        guid=operation.request["backup_guid"], tenant=operation.tenant_id, vanished_at=None
    ).first()
    if backup is None or backup.status not in restoring.RESTORABLE:
        return _("This backup cannot be opened any more.")
    return ""


def may_open(membership: Membership, machine_guid: str) -> bool:
    in_scope = membership.machine_guids is None or machine_guid in membership.machine_guids
    return membership.may_open_backups and in_scope


def look_up(api: VProtect, operation: Operation) -> Sight:
    """As for a restore. What of this backup is mounted already is remembered, so that it is never taken for ours."""
    sight = restoring.look_up(api, operation)
    mounts = api.mounts.list()
    there = [row.guid for row in mounts.items if row.backup_guid in {"", operation.request["backup_guid"]}]
    is_complete = mounts.complete and not mounts.dropped
    return replace(sight, absent=sight.absent and is_complete, seen_guids=(*sight.seen_guids, *there))


def prepare(api: VProtect, operation: Operation) -> str:
    """Notes from where the backup is read: a copy that is present, or a node. Returns why it cannot be, in words."""
    try:
        backup = api.get_backup(operation.request["backup_guid"])
    except NotFound:
        return NOT_MOUNTABLE
    if backup.status not in restoring.RESTORABLE or backup.mountable is False:
        return NOT_MOUNTABLE
    if api.dialect.mounts_by_location:
        present = [copy.guid for copy in backup.copies if copy.status == "PRESENT" and copy.guid]
        place = {"location_guid": next(iter(present), "")}
    else:
        place = {"node_guid": next((node.guid for node in api.mounts.nodes(backup.guid).items), "")}
    operation.request = {**operation.request, **place}
    return "" if all(place.values()) else NOT_MOUNTABLE


def post(api: VProtect, operation: Operation) -> Task:
    request = operation.request
    return api.mounts.restore_and_mount(
        MountRequest(
            backup_guid=request["backup_guid"],
            mount_path=request["mount_path"],
            node_guid=request.get("node_guid", ""),
            location_guid=request.get("location_guid", ""),
            unmount_time=_unmount_time(api, timedelta(hours=request["hours"])),
        )
    )


def _unmount_time(api: VProtect, length: timedelta) -> int | None:
    """As this server reads it (API reference, 20, trap 21). We unmount by our own clock all the same."""
    match settings.VPROTECT_UNMOUNT_TIME:
        case "duration":
            return int(length.total_seconds() * 1000)
        case "absolute":
            moment = timezone.now() + UNTIL_MOUNTED + length
            return int(moment.timestamp() * 1000) + (api.transport.clock_skew_ms or 0)
        case _:
            return None


# ── When it is mounted ───────────────────────────────────────────────────────


def lay_open(api: VProtect, operation: Operation) -> Mount | None:
    """The mount that this operation made; None = it is not to be found yet."""
    known = Mount.across_tenants.filter(operation=operation).first()
    found = None if known else _find(api, operation)
    backup = Backup.across_tenants.filter(guid=operation.request["backup_guid"]).first()
    if known or found is None or backup is None:
        return known
    row, systems = found
    mount, _made = Mount.across_tenants.get_or_create(
        operation=operation,
        defaults={
            "tenant_id": operation.tenant_id,
            "backup": backup,
            "machine_guid": operation.subject_guid,
            "machine_name": operation.machine.name,
            "guid": row.guid,
            "file_systems": [_shown(system) for system in systems],
            "closes_at": timezone.now() + timedelta(hours=operation.request["hours"]),
        },
    )
    return mount


def _find(api: VProtect, operation: Operation) -> tuple[MountedBackup, list[MountedFileSystem]] | None:
    """By the path that we asked for. A server that tells no paths is believed only if its filter is one."""
    listing = api.mounts.list()
    tied = set(Mount.across_tenants.exclude(operation=operation).values_list("guid", flat=True))
    new = [
        row
        for row in listing.items
        if row.backup_guid == operation.request["backup_guid"]
        and row.guid not in operation.baseline
        and row.guid not in tied
        and not row.is_unmounted
    ]
    told_no_path: list[tuple[MountedBackup, list[MountedFileSystem]]] = []
    for row in new:
        systems = api.mounts.file_systems(row.guid).items
        ours = [system for system in systems if is_below(system.mount_path, operation.request["mount_path"])]
        if ours:
            return row, ours
        if systems and not any(system.mount_path for system in systems):
            told_no_path.append((row, list(systems)))
    is_filtered = len(new) == len(told_no_path) == 1 and not api.mounts.file_systems(str(uuid.uuid4())).items
    return told_no_path[0] if is_filtered else None


def _shown(system: MountedFileSystem) -> dict[str, object]:
    shown = {"guid": system.guid, "volume": system.volume, "label": system.label, "type": system.type}
    return {**shown, "size": system.size}
