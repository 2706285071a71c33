"""Looks after the backups that are open, and closes them: when somebody wants it, when their time is up, and when they
must not be seen any more. Asking vProtect twice to unmount one is harmless, so it is asked until it is done.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import NotFound, Rejected
from vprotect_bridge.models import ChosenEntry, FileEntry, Folder, Mount

logger = logging.getLogger(__name__)

ClosedBy = Mount.ClosedBy
ASKED_AGAIN_AFTER = timedelta(minutes=2)


def follow_mounts(api: VProtect) -> int:
    """One cycle; returns how many were closed. Raises `UpstreamError` when vProtect cannot be asked."""
    mounts = list(Mount.across_tenants.filter(closed_at=None).select_related("backup", "tenant"))
    if not mounts:
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
    return closed


def is_unmounted(api: VProtect, mount: Mount) -> bool:
    """Asked for by its GUID: a list may be short, and rows move while it is walked."""
    try:
        return api.mounts.get(mount.guid).is_unmounted
    except NotFound:
        return True


def note_closed(mount: Mount) -> int:
    """With all that was read in it."""
    reason = mount.closed_by or (ClosedBy.TIME if mount.closes_at <= timezone.now() else ClosedBy.UPSTREAM)
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
    try:
        api.mounts.unmount(mount.guid)
    except Rejected as error:
        # It is on its way in or out already; the next cycle sees which.
        logger.info("mount %s is not to be unmounted now: %s", mount.pk, error)
    Mount.across_tenants.filter(pk=mount.pk).update(close_sent_at=now, closed_by=mount.closed_by or reason)
