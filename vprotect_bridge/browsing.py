"""Folders of an open backup: a page asks, a worker answers, the page polls. What was read once is read from here."""

from __future__ import annotations

import hashlib
import logging
from itertools import islice

from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.utils import timezone

from vprotect_bridge import file_paths
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import BadAnswer, NotFound, Rejected, UpstreamError
from vprotect_bridge.client.mounts import DIRECTORY
from vprotect_bridge.client.mounts import FileEntry as UpstreamEntry
from vprotect_bridge.client.types import Listing
from vprotect_bridge.connection import own_connection, try_lock
from vprotect_bridge.doorbell import ring_answer
from vprotect_bridge.models import FileEntry, Folder, Mount
from vprotect_bridge.mounts import is_unmounted, note_closed

logger = logging.getLogger(__name__)

Problem = Folder.Problem
MOST_ENTRIES = 300_000
LONGEST_NAME = 512
BATCH = 5000


# ── Asking ───────────────────────────────────────────────────────────────────


def root_of(mount: Mount, file_system_guid: str) -> Folder | None:
    """The top folder of one of the mount's file systems; None = it has no such one."""
    if file_system_guid not in {system["guid"] for system in mount.file_systems}:
        return None
    return _asked(mount, file_system_guid, file_paths.ROOT, None)


def folder_in(entry: FileEntry) -> Folder | None:
    """What an entry that was listed opens; None for what is no folder, or cannot be asked for."""
    if entry.type != DIRECTORY or not file_paths.can_be_asked_for(entry.name):
        return None
    folder = entry.folder
    try:
        path = file_paths.joined(folder.path, entry.name, is_folder=True)
    except file_paths.Unsafe:
        return None
    return _asked(folder.mount, folder.file_system_guid, path, folder)


def _asked(mount: Mount, file_system_guid: str, path: str, parent: Folder | None) -> Folder:
    """The one row of this folder. One that could not be asked for is asked for again."""
    folder, made = Folder.objects.get_or_create(
        mount=mount,
        file_system_guid=file_system_guid,
        path_digest=hashlib.sha256(path.encode()).hexdigest(),
        defaults={"tenant": mount.tenant, "path": path, "parent": parent},
    )
    if made:
        transaction.on_commit(ring_answer, robust=True)
        return folder
    return once_more(folder)


def once_more(folder: Folder) -> Folder:
    """Asks for it again if it could not be asked for; one that was read stays as it was read."""
    failed = Folder.objects.filter(pk=folder.pk, problem=Problem.AWAY)
    if failed.update(answered_at=None, asked_at=timezone.now(), problem=""):
        transaction.on_commit(ring_answer, robust=True)
    return folder


# ── Answering ────────────────────────────────────────────────────────────────


def has_waiting() -> bool:
    return Folder.across_tenants.filter(answered_at=None).exists()


def answer_folders(api: VProtect) -> int:
    """Reads every folder that somebody waits for and no other worker is reading; returns how many.

    When vProtect is away, all are told at once; one that takes longer than the task may is told too.
    """
    waiting = Folder.across_tenants.filter(answered_at=None)
    answered = 0
    for folder in waiting.select_related("mount").order_by("asked_at"):
        try:
            with own_connection() as pg:
                if not try_lock(pg, f"folder {folder.pk}"):
                    continue
                problem = _read(api, folder)
        except SoftTimeLimitExceeded:
            # Whoever began it anew each time would never come to the folders behind it.
            logger.warning("folder %s: not read in time", folder.pk)
            waiting.filter(pk=folder.pk).update(answered_at=timezone.now(), problem=Problem.AWAY)
            break
        except UpstreamError as error:
            logger.warning("folder %s: %s", folder.pk, error)
            others = waiting if not error.was_answered else waiting.filter(pk=folder.pk)
            others.update(answered_at=timezone.now(), problem=Problem.AWAY)
            if not error.was_answered:
                break
            continue
        if problem:
            waiting.filter(pk=folder.pk).update(answered_at=timezone.now(), problem=problem)
        answered += 1
    return answered


def _read(api: VProtect, folder: Folder) -> str:
    """Keeps what lies in it, or returns what is the matter."""
    mount = folder.mount
    if not mount.is_open:
        return Problem.CLOSED
    try:
        listing = api.mounts.folder(folder.file_system_guid, file_paths.checked(folder.path))
    except file_paths.Unsafe:
        return Problem.GONE
    except NotFound:
        if is_unmounted(api, mount):
            note_closed(mount)
            return Problem.CLOSED
        return Problem.GONE
    except Rejected:
        return Problem.GONE
    except BadAnswer as error:
        if "larger than" in str(error):
            return Problem.TOO_LARGE
        raise
    if len(listing.items) > MOST_ENTRIES:
        return Problem.TOO_LARGE
    _keep(folder, listing)
    return ""


def _keep(folder: Folder, listing: Listing[UpstreamEntry]) -> None:
    """Once, also when two workers read the same folder."""
    kept = [entry for entry in listing.items if len(entry.name) <= LONGEST_NAME]
    with transaction.atomic():
        waiting = Folder.across_tenants.select_for_update(no_key=True).filter(pk=folder.pk, answered_at=None)
        if not waiting.exists():
            return
        rest = iter(kept)
        while batch := list(islice(rest, BATCH)):
            FileEntry.across_tenants.bulk_create(_entry(folder, entry) for entry in batch)
        left_out = listing.dropped + len(listing.items) - len(kept)
        waiting.update(answered_at=timezone.now(), problem="", count=len(kept), left_out=left_out)


def _entry(folder: Folder, entry: UpstreamEntry) -> FileEntry:
    return FileEntry(
        tenant_id=folder.tenant_id,
        folder=folder,
        name=entry.name,
        type=entry.type[:40],
        size=entry.size,
        modified_at=entry.modified,
        owner=entry.owner,
        group=entry.group,
        mode=entry.mode,
    )
