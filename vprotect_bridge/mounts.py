"""Looks after the backups that are open, and closes them: when somebody wants it, when their time is up, and when they
must not be seen any more. Asking vProtect twice to unmount one is harmless, so it is asked until it is done. What an
operation mounted although it had ended is unmounted as well.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound, Rejected
from vprotect_bridge.client.mounts import MountedBackup
from vprotect_bridge.file_paths import is_below
from vprotect_bridge.models import ChosenEntry, FileEntry, Folder, Mount, Operation

logger = logging.getLogger(__name__)

ClosedBy = Mount.ClosedBy
ASKED_AGAIN_AFTER = timedelta(minutes=2)
UNMOUNTED_BY_VPROTECT_AFTER = timedelta(hours=25)


def follow_mounts(api: VProtect) -> int:
    """One cycle; returns how many were closed. Raises `UpstreamError` when vProtect cannot be asked."""
    mounts = list(Mount.across_tenants.filter(closed_at=None).select_related("backup", "tenant"))
    ended = _ended_without_a_mount()
    if not mounts and not ended:
        return 0
    listing = api.mounts.list()
    rows = {row.guid: row for row in listing.items}
    closed = 0
    for mount in mounts:
        row = rows.get(mount.guid)
        is_gone = is_unmounted(api, mount) if row is None else row.is_unmounted
        if is_gone:
            closed += note_closed(mount)
        elif reason := _why_to_close(mount, timezone.now()):
            _ask_to_unmount(api, mount, reason)
    for row in rows.values():
        if not row.is_unmounted and _is_of_one(api, row, ended):
            logger.warning("%s was mounted after its operation had ended", row.guid)
            _unmount(api, row.guid)
    return closed


def is_unmounted(api: VProtect, mount: Mount) -> bool:
    """Asked for by its GUID: a list may be short, and rows move while it is walked."""
    try:
        return api.mounts.get(mount.guid).is_unmounted
    except NotFound:
        return True


def note_closed(mount: Mount) -> int:
    """With all that was read in it."""
    reason = mount.closed_by or _why_to_close(mount, timezone.now()) or ClosedBy.UPSTREAM
    with transaction.atomic():
        row = Mount.across_tenants.filter(pk=mount.pk, closed_at=None)
        closed = row.update(closed_at=timezone.now(), closed_by=reason)
        _forget(ChosenEntry.across_tenants.filter(mount=mount))
        folders = Folder.across_tenants.filter(mount=mount)
        _forget(FileEntry.across_tenants.filter(folder_id__in=list(folders.values_list("pk", flat=True))))
        # From the deepest up: a folder names its parent.
        folders.update(parent=None)
        _forget(folders)
    return closed


def _forget(rows: QuerySet[ChosenEntry] | QuerySet[FileEntry] | QuerySet[Folder]) -> None:
    """In one statement: there may be a million, and nothing hangs on them."""
    rows._raw_delete(rows.db)


def _why_to_close(mount: Mount, now: datetime) -> str:
    if mount.close_wanted_at is not None:
        return ClosedBy.PERSON
    if mount.backup.tenant_id != mount.tenant_id or not mount.tenant.is_active:
        return ClosedBy.OWNER
    return ClosedBy.TIME if mount.closes_at <= now else ""


def _ask_to_unmount(api: VProtect, mount: Mount, reason: str) -> None:
    now = timezone.now()
    if mount.close_sent_at is not None and mount.close_sent_at > now - ASKED_AGAIN_AFTER:
        return
    _unmount(api, mount.guid)
    Mount.across_tenants.filter(pk=mount.pk).update(close_sent_at=now, closed_by=mount.closed_by or reason)


def _unmount(api: VProtect, guid: str) -> None:
    try:
        api.mounts.unmount(guid)
    except Rejected as error:
        # It is on its way in or out already; the next cycle sees which.
        logger.info("%s is not to be unmounted now: %s", guid, error)


# ── What nobody looks into ───────────────────────────────────────────────────


def _ended_without_a_mount() -> list[Operation]:
    """Cancelled or given up, and perhaps mounted all the same. A day later vProtect unmounts (API reference, 15)."""
    since = timezone.now() - UNMOUNTED_BY_VPROTECT_AFTER
    ours = Operation.across_tenants.filter(kind=Operation.Kind.MOUNT, origin=Operation.Origin.PORTAL, sent_at__gt=since)
    return list(ours.filter(mount=None).exclude(outcome=Operation.Outcome.OPEN))


def _is_of_one(api: VProtect, row: MountedBackup, operations: list[Operation]) -> bool:
    """By the path, which is that operation's alone: what was mounted elsewhere is left alone."""
    paths = [one.request["mount_path"] for one in operations if one.request["backup_guid"] == row.backup_guid]
    systems = api.mounts.file_systems(row.guid).items if paths else ()
    return any(is_below(system.mount_path, path) for system in systems for path in paths)
