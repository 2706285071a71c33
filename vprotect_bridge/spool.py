"""Where files lie on their way to a browser: one folder that web reads and the workers of downloads write.

A file has the name of its download's id and is there under it only when it is whole; what is on its way ends in
`.part`. Whatever lies there without a row that wants it is swept away, so that a crash leaves nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db.models import Q, Sum
from django.utils import timezone

from vprotect_bridge.models import Download

logger = logging.getLogger(__name__)

State = Download.State
ROWS_KEPT_FOR = timedelta(days=7)
# What no file may take away from the rest of the machine.
LEFT_FREE = 256 * 1024**2


def path_of(download_id: UUID) -> Path:
    return Path(settings.SPOOL_FOLDER) / str(download_id)


def part_of(download_id: UUID) -> Path:
    return path_of(download_id).with_suffix(".part")


def open_part(download_id: UUID) -> Path:
    return begin(part_of(download_id))


def finish(download_id: UUID) -> None:
    put_in_place(part_of(download_id), path_of(download_id))


def begin(part: Path) -> Path:
    """An empty file to write to, for its owner alone; what an earlier try left is gone."""
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return part


def put_in_place(part: Path, path: Path) -> None:
    """From now on it is whole, also after a power cut."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def has_room_for(download: Download, size: int) -> bool:
    """Beside what others may still write: the cap of the spool, and the disk itself."""
    Path(settings.SPOOL_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    others = Download.across_tenants.filter(state__in=[State.FETCHING, State.READY]).exclude(pk=download.pk)
    taken = others.aggregate(bytes=Sum("expected_bytes"))["bytes"] or 0
    still_to_come = (
        others.filter(state=State.FETCHING).aggregate(bytes=Sum("expected_bytes") - Sum("received_bytes"))["bytes"] or 0
    )
    free = shutil.disk_usage(settings.SPOOL_FOLDER).free - max(still_to_come, 0)
    return taken + size <= settings.SPOOL_BYTES and size + LEFT_FREE <= free


def sweep() -> int:
    """Removes what is too old, was taken, or is nobody's; returns how many files."""
    now = timezone.now()
    is_old = Q(expires_at__lte=now) | Q(taken_at__lte=now - Download.KEPT_WHEN_TAKEN)
    is_over = is_old | Q(cancel_wanted_at__isnull=False)
    Download.across_tenants.filter(is_over, state=State.READY).update(state=State.REMOVED)
    wanted = set(Download.across_tenants.filter(state=State.READY).values_list("pk", flat=True))
    coming = set(Download.across_tenants.filter(state__in=Download.UNDER_WAY).values_list("pk", flat=True))
    removed = 0
    for path in _files():
        owner = wanted | coming if path.suffix == ".part" else wanted
        if path.stem not in {str(pk) for pk in owner}:
            path.unlink(missing_ok=True)
            removed += 1
    Download.across_tenants.filter(created_at__lte=now - ROWS_KEPT_FOR).exclude(
        state__in=[*Download.UNDER_WAY, State.READY]
    ).delete()
    if removed:
        logger.info("%d files removed from the spool", removed)
    return removed


def _files() -> list[Path]:
    """Only such as we make: whatever else lies in the folder is not ours to remove."""
    folder = Path(settings.SPOOL_FOLDER)
    return [path for path in folder.iterdir() if _is_ours(path)] if folder.is_dir() else []


def _is_ours(path: Path) -> bool:
    try:
        UUID(path.stem)
    except ValueError:
        return False
    return path.suffix in {"", ".part"} and path.is_file() and not path.is_symlink()
