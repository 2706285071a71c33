"""Makes the files that people asked for, of what they may see when it is made.

A worker that dies leaves its lock, and another one begins the file anew. What cannot be made ends after a few tries.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_scopes import scope

from reports import protection_file, restore_file, usage_file
from reports.files import Kind, may_have, part_of, path_of
from reports.models import ReportFile
from tenants.models import Membership
from tenants.preferences import as_read_by
from vprotect_bridge.connection import own_connection, try_lock
from vprotect_bridge.spool import LEFT_FREE, begin, put_in_place

logger = logging.getLogger(__name__)

State = ReportFile.State
MOST_ATTEMPTS = 3
MOST_BYTES = 64 * 1024**2
ROWS_KEPT_FOR = timedelta(days=7)
# What writes a file, with the progress in percent told on the way.
Writer = Callable[[Path, ReportFile, Membership, Callable[[int], None]], None]
WRITERS: dict[str, Writer] = {
    Kind.PROTECTION: protection_file.write,
    Kind.USAGE: usage_file.write,
    Kind.RESTORE: restore_file.write,
}


class NotForThem(Exception):
    """Who asked may not see it any more, or what it is about is gone."""


def due() -> QuerySet[ReportFile]:
    return ReportFile.across_tenants.filter(state__in=ReportFile.UNDER_WAY, next_at__lte=timezone.now())


def make_file() -> ReportFile | None:
    """Answers one ring: makes the file that waits longest; None = there is nothing to do."""
    with own_connection() as pg:
        for pk in due().order_by("created_at").values_list("pk", flat=True)[:50]:
            if try_lock(pg, f"report {pk}") and (file := _claimed(pk)):
                _make(file)
                return file
    return None


def _claimed(pk: UUID) -> ReportFile | None:
    """Each try counts, also one that dies."""
    if not due().filter(pk=pk).update(attempts=F("attempts") + 1, state=State.MAKING, progress=0):
        return None
    return ReportFile.across_tenants.select_related("tenant", "created_by").get(pk=pk)


def _make(file: ReportFile) -> None:
    if file.attempts > MOST_ATTEMPTS:
        return _end(file, State.FAILED)
    part = part_of(file)
    try:
        write(begin(part), file)
        if part.stat().st_size > MOST_BYTES or not _has_room():
            logger.warning("report %s: no room for its %d bytes", file.pk, part.stat().st_size)
            return _end(file, State.FAILED)
        _keep(file, part)
    except NotForThem:
        _end(file, State.FAILED)
    except Exception:
        logger.exception("report %s was not made", file.pk)
        pause = timedelta(seconds=5 * 2**file.attempts)
        under_way = ReportFile.across_tenants.filter(pk=file.pk, state__in=ReportFile.UNDER_WAY)
        under_way.update(state=State.WAITING, next_at=timezone.now() + pause)
    finally:
        part.unlink(missing_ok=True)
    return None


def write(path: Path, file: ReportFile, tell: Callable[[int], None] | None = None) -> None:
    """With the eyes of who asked: their machines, language and time zone. Raises `NotForThem`."""
    membership = (
        Membership.objects.select_related("user", "tenant")
        .filter(user=file.created_by_id, tenant=file.tenant_id, user__is_active=True, tenant__is_active=True)
        .first()
    )
    if membership is None or membership.machine_guids != file.machine_guids or not may_have(membership, file.kind):
        raise NotForThem
    with as_read_by(file.created_by, file.tenant, file.language), scope(tenant=file.tenant):
        try:
            WRITERS[file.kind](path, file, membership, tell or (lambda percent: _note(file, percent)))
        except restore_file.NotThere as error:
            raise NotForThem from error


def _note(file: ReportFile, percent: int) -> None:
    ReportFile.across_tenants.filter(pk=file.pk).update(progress=min(percent, 99))


def _has_room() -> bool:
    return shutil.disk_usage(settings.SPOOL_FOLDER).free > LEFT_FREE


def _keep(file: ReportFile, part: Path) -> None:
    size = part.stat().st_size
    put_in_place(part, path_of(file))
    _end(file, State.READY, size=size, progress=100)


def _end(file: ReportFile, state: str, **more: Any) -> None:
    now = timezone.now()
    until = now + timedelta(hours=settings.SPOOL_HOURS)
    under_way = ReportFile.across_tenants.filter(pk=file.pk, state__in=ReportFile.UNDER_WAY)
    under_way.update(state=state, finished_at=now, expires_at=until, **more)


def sweep() -> int:
    """Removes files whose time is over, or that nobody's row wants; returns how many."""
    now = timezone.now()
    ReportFile.across_tenants.filter(state=State.READY, expires_at__lte=now).update(state=State.REMOVED)
    ReportFile.across_tenants.filter(created_at__lte=now - ROWS_KEPT_FOR).exclude(
        Q(state__in=ReportFile.UNDER_WAY) | Q(state=State.READY)
    ).delete()
    wanted = {path_of(file).name for file in ReportFile.across_tenants.filter(state=State.READY)}
    coming = {part_of(file).name for file in ReportFile.across_tenants.filter(state__in=ReportFile.UNDER_WAY)}
    gone = [path for path in _files() if path.name not in wanted | coming]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _files() -> list[Path]:
    """Only such as are made here: of downloads the spool takes care itself."""
    folder = Path(settings.SPOOL_FOLDER)
    suffixes = {f".{format}{end}" for format in ReportFile.Format.values for end in ("", "-part")}
    return [path for path in folder.iterdir() if path.suffix in suffixes and path.is_file()] if folder.is_dir() else []
