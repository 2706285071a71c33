"""Fetches what was asked for out of an open backup into the spool, file by file.

Each file is asked for by itself, by a path that was listed, and must be as long as it was listed. A folder is walked by
its listings instead of being asked for whole: an archive that the server makes may follow links out of the backup, and
nobody could tell what should be in it. A transfer that breaks goes on where it was, or from the beginning without what
came already. A worker that dies leaves its lock, and another one starts the download again.
"""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from tenants.correlation import correlated
from tenants.models import Membership
from vprotect_bridge import file_paths, spool
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.download import Download as Transfer
from vprotect_bridge.client.errors import Rejected, UpstreamError
from vprotect_bridge.client.mounts import DIRECTORY, REGULAR_FILE
from vprotect_bridge.connection import own_connection, try_lock, wait_for_lock
from vprotect_bridge.models import Download
from vprotect_bridge.mounting import may_open
from vprotect_bridge.mounts import is_unmounted, note_closed

logger = logging.getLogger(__name__)

State, Problem = Download.State, Download.Problem

MOST_FILES = 10_000
MOST_FOLDERS = 5_000
DEEPEST = 100
MOST_ATTEMPTS = 5
MOST_TRANSFERS = 4
PAUSE_SECONDS = 1.0
TOLD_EVERY_SECONDS = 1.0
MOST_NAMED_AS_LEFT_OUT = 100
EARLIEST_IN_A_ZIP = (1980, 1, 1, 0, 0, 0)


class Stopped(Exception):
    """Ends a download in this state with this reason."""

    def __init__(self, state: str, problem: str = "") -> None:
        super().__init__(problem)
        self.state, self.problem = state, problem


@dataclass(frozen=True)
class WantedFile:
    """`place`: its name in the archive, relative and with slashes."""

    file_system: str
    path: str
    size: int
    place: str
    modified: datetime | None = None
    mode: int | None = None


def due() -> int:
    return _due().count()


def _due() -> QuerySet[Download]:
    return Download.across_tenants.filter(state__in=Download.UNDER_WAY, next_at__lte=timezone.now())


def fetch(api: VProtect) -> Download | None:
    """Answers one ring: takes the download that waits longest and fetches it; None = there is nothing to do.

    One that another process works on is locked, for as long as that process lives.
    """
    with own_connection() as pg:
        for pk in _due().order_by("created_at").values_list("pk", flat=True)[:50]:
            if try_lock(pg, f"download {pk}") and (download := _claimed(pk)):
                with correlated(download.correlation_id):
                    _fetch(api, download)
                return download
    return None


def _claimed(pk: Any) -> Download | None:
    """Read only now that it is ours: it may have ended since it was listed. Each try counts, also one that dies."""
    if not _due().filter(pk=pk).update(attempts=F("attempts") + 1):
        return None
    return Download.across_tenants.select_related("mount__backup", "mount__tenant").get(pk=pk)


def _fetch(api: VProtect, download: Download) -> None:
    fetcher = _Fetcher(api, download)
    try:
        if download.attempts > MOST_ATTEMPTS:
            raise Stopped(State.FAILED, Problem.BROKEN)
        fetcher.run()
    except Stopped as stopped:
        _end(download, stopped, fetcher.received)
    except OSError as error:
        # The disk is full in spite of the look at it, or gone.
        logger.error("download %s: %s", download.pk, error)
        _end(download, Stopped(State.FAILED, Problem.NO_ROOM), fetcher.received)
    except UpstreamError as error:
        logger.warning("download %s: %s", download.pk, error)
        if download.attempts == MOST_ATTEMPTS:
            _end(download, Stopped(State.FAILED, Problem.BROKEN), fetcher.received)
        else:
            pause = timedelta(seconds=5 * 2**download.attempts)
            Download.across_tenants.filter(pk=download.pk).update(next_at=timezone.now() + pause)


def _end(download: Download, stopped: Stopped, received: int) -> None:
    """What did not come is given back to the day."""
    spool.part_of(download.pk).unlink(missing_ok=True)
    Download.across_tenants.filter(pk=download.pk, state__in=Download.UNDER_WAY).update(
        state=stopped.state,
        problem=stopped.problem,
        received_bytes=received,
        reserved_bytes=received,
        finished_at=timezone.now(),
    )


class _Fetcher:
    def __init__(self, api: VProtect, download: Download) -> None:
        self.api, self.download = api, download
        self.left_out: list[str] = []
        self.received = 0
        self._told_at = 0.0

    def run(self) -> None:
        self._check_wanted()
        files = self._listed()
        total = sum(file.size for file in files)
        self._begin(files, total)
        path = spool.open_part(self.download.pk)
        if self.download.is_archive:
            self._write_archive(path, files)
        else:
            with path.open("wb") as part:
                for piece in self._bytes_of(files[0]):
                    part.write(piece)
            if path.stat().st_size != total:
                raise Stopped(State.FAILED, Problem.DIFFERENT)
        spool.finish(self.download.pk)
        self._be_ready(total)

    # ── Before anything is asked for ─────────────────────────────────────────

    def _check_wanted(self) -> None:
        """Somebody may have cancelled, closed the backup, or taken the right away since the click."""
        download, mount = self.download, self.download.mount
        row = Download.across_tenants.filter(pk=download.pk).values("cancel_wanted_at", "mount__closed_at").get()
        if row["cancel_wanted_at"] is not None:
            raise Stopped(State.CANCELLED)
        member = Membership.objects.filter(user=download.created_by_id, tenant=download.tenant_id).first()
        is_theirs = mount.tenant.is_active and mount.backup.tenant_id == download.tenant_id
        if not is_theirs or member is None or not may_open(member, mount.machine_guid):
            raise Stopped(State.FAILED, Problem.NOT_ALLOWED)
        if row["mount__closed_at"] is not None:
            raise Stopped(State.FAILED, Problem.CLOSED)

    def _begin(self, files: list[WantedFile], total: int) -> None:
        """Refuses before a byte was asked for; from then on there is room for all of it."""
        if not files:
            raise Stopped(State.REFUSED, Problem.NOTHING)
        if total > settings.SPOOL_FILE_BYTES:
            raise Stopped(State.REFUSED, Problem.TOO_LARGE)
        if total > self.download.reserved_bytes:
            raise Stopped(State.REFUSED, Problem.DAY_IS_OVER)
        with own_connection() as pg:
            # One at a time looks for room and takes it.
            wait_for_lock(pg, "spool")
            if not spool.has_room_for(self.download, total):
                raise Stopped(State.REFUSED, Problem.NO_ROOM)
            Download.across_tenants.filter(pk=self.download.pk).update(
                state=State.FETCHING,
                expected_bytes=total,
                reserved_bytes=total,
                received_bytes=0,
                file_count=len(files),
                left_out=self.left_out[:MOST_NAMED_AS_LEFT_OUT],
                left_out_count=len(self.left_out),
            )

    # ── What there is to fetch ───────────────────────────────────────────────

    def _listed(self) -> list[WantedFile]:
        """Files and what lies in folders, without links and without names that cannot be asked for."""
        files: list[WantedFile] = []
        folders: list[tuple[str, str, str, int]] = []
        for item, place in zip(self.download.items, _places(self.download.items), strict=True):
            path = file_paths.checked(item["path"])
            if item["type"] == DIRECTORY:
                folders.append((item["file_system"], path, place, 0))
            else:
                # Downloads from before an update have neither.
                modified = datetime.fromisoformat(item["modified"]) if item.get("modified") else None
                files.append(WantedFile(item["file_system"], path, item["size"], place, modified, item.get("mode")))
        seen = 0
        while folders:
            seen += 1
            file_system, path, place, depth = folders.pop()
            if seen > MOST_FOLDERS or len(files) > MOST_FILES or depth > DEEPEST:
                raise Stopped(State.REFUSED, Problem.TOO_MANY)
            for entry in self._folder(file_system, path).items:
                if not file_paths.can_be_fetched(entry.name, entry.type):
                    self.left_out.append(f"{place}/{entry.name}")
                    continue
                try:
                    below = file_paths.joined(path, entry.name, is_folder=entry.type == DIRECTORY)
                except file_paths.Unsafe:  # too long
                    self.left_out.append(f"{place}/{entry.name}")
                    continue
                if entry.type == REGULAR_FILE:
                    inner = f"{place}/{entry.name}"
                    files.append(WantedFile(file_system, below, entry.size, inner, entry.modified, entry.mode))
                else:
                    folders.append((file_system, below, f"{place}/{entry.name}", depth + 1))
        if len(files) > MOST_FILES:
            raise Stopped(State.REFUSED, Problem.TOO_MANY)
        return files

    def _folder(self, file_system: str, path: str) -> Any:
        self._note_progress()
        try:
            return self.api.mounts.folder(file_system, path)
        except Rejected as error:
            raise self._gone() from error

    def _gone(self) -> Stopped:
        """Whether it is the file that is gone, or all of the backup."""
        mount = self.download.mount
        if is_unmounted(self.api, mount):
            note_closed(mount)
            return Stopped(State.FAILED, Problem.CLOSED)
        return Stopped(State.FAILED, Problem.GONE)

    # ── Bytes ────────────────────────────────────────────────────────────────

    def _bytes_of(self, file: WantedFile) -> Iterator[bytes]:
        """Every byte of the file once and in order, over as many transfers as it takes."""
        got = 0
        for transfer in range(MOST_TRANSFERS):
            try:
                with self.api.mounts.download(file.file_system, file.path, start=got) as answer:
                    _check_announced(file, answer)
                    surplus = got - answer.start
                    for piece in answer.pieces():
                        new = piece[surplus:]
                        surplus -= len(piece) - len(new)
                        got += len(new)
                        if got > file.size:
                            raise Stopped(State.FAILED, Problem.DIFFERENT)
                        if new:
                            yield new
                        self._note_progress(len(new))
            except Rejected as error:
                raise self._gone() from error
            except UpstreamError:
                if transfer + 1 == MOST_TRANSFERS:
                    raise
                time.sleep(PAUSE_SECONDS * 2**transfer)
                continue
            if got == file.size:
                return
            raise Stopped(State.FAILED, Problem.DIFFERENT)

    def _write_archive(self, path: Path, files: list[WantedFile]) -> None:
        """Stored, not compressed: so it is known before how much room it needs."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for file in files:
                with archive.open(_zip_info(file), "w", force_zip64=file.size >= 2**31) as inner:
                    for piece in self._bytes_of(file):
                        inner.write(piece)
        with zipfile.ZipFile(path) as archive:
            there = {info.filename: info.file_size for info in archive.infolist()}
        if there != {file.place: file.size for file in files}:
            raise Stopped(State.FAILED, Problem.DIFFERENT)

    # ── How far it is ────────────────────────────────────────────────────────

    def _note_progress(self, size: int = 0) -> None:
        """Once a second says how far it is, and looks whether it is still wanted."""
        self.received += size
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_SECONDS:
            self._told_at = now
            self._check_wanted()
            Download.across_tenants.filter(pk=self.download.pk).update(received_bytes=self.received)

    def _be_ready(self, total: int) -> None:
        now = timezone.now()
        row = Download.across_tenants.filter(pk=self.download.pk, state=State.FETCHING)
        row.update(
            state=State.READY,
            received_bytes=total,
            reserved_bytes=total,
            finished_at=now,
            expires_at=now + timedelta(hours=settings.SPOOL_HOURS),
        )


def _check_announced(file: WantedFile, answer: Transfer) -> None:
    """Before a byte is read. The name counts only where neither side can have changed it on the way."""
    if answer.length is not None and answer.length != file.size:
        raise Stopped(State.FAILED, Problem.DIFFERENT)
    wanted, told = file.path.rpartition("/")[2], answer.name.strip("_")
    if told and _is_plain(wanted) and _is_plain(told) and wanted.strip("_") != told:
        raise Stopped(State.FAILED, Problem.DIFFERENT)


def _is_plain(name: str) -> bool:
    return name.isascii() and name.replace(".", "").replace("-", "").replace("_", "").isalnum()


def _places(items: list[dict[str, Any]]) -> list[str]:
    """Names in the archive: what lies in one folder by its name alone, else by its path below its file system."""
    folders = {(item["file_system"], item["path"].rstrip("/").rpartition("/")[0]) for item in items}
    if len(folders) == 1:
        return [item["name"] for item in items]
    systems = sorted({item["file_system"] for item in items})
    number = {system: place for place, system in enumerate(systems, 1)}
    whole = [item["path"].strip("/") for item in items]
    if len(systems) == 1:
        return whole
    return [f"disk-{number[item['file_system']]}/{path}" for item, path in zip(items, whole, strict=True)]


def _zip_info(file: WantedFile) -> zipfile.ZipInfo:
    moment = file.modified.timetuple()[:6] if file.modified else EARLIEST_IN_A_ZIP
    info = zipfile.ZipInfo(file.place, max(moment, EARLIEST_IN_A_ZIP))
    # A name is taken as it is: zipfile would cut it at a NUL, which none of ours has.
    info.external_attr = (0o100000 | (file.mode if file.mode is not None else 0o644)) << 16
    return info
