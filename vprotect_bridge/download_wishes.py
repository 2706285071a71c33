"""What people may ask to have fetched out of an open backup, within the tenant's day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tenants.audit import record_of
from tenants.correlation import correlation_id
from tenants.models import Membership, Tenant
from tenants.people import lock
from vprotect_bridge import file_paths
from vprotect_bridge.client.mounts import DIRECTORY, REGULAR_FILE
from vprotect_bridge.doorbell import ring_fetch
from vprotect_bridge.limits import GIB, midnight_of
from vprotect_bridge.models import ChosenEntry, Download, FileEntry, Mount
from vprotect_bridge.mounting import may_open
from vprotect_bridge.services import WishRefused

MOST_CHOSEN = 1000
# So many paths of a download are in the audit; the count of all is beside them.
MOST_AUDITED = 50
LONGEST_AUDITED = 500


@dataclass(frozen=True)
class Allowance:
    """What a tenant may still fetch today, in bytes."""

    cap: int
    used: int

    @property
    def left(self) -> int:
        return max(self.cap - self.used, 0)


def allowance_of(tenant: Tenant) -> Allowance:
    """Of the tenant's own day. What is on its way counts with what may come at most, what is over with what came."""
    cap = Tenant.objects.values_list("download_cap_gib", flat=True).get(pk=tenant.pk)
    today = Download.objects.filter(tenant=tenant, created_at__gte=midnight_of(tenant))
    return Allowance(cap * GIB, today.aggregate(bytes=Sum("reserved_bytes"))["bytes"] or 0)


# ── Choosing ─────────────────────────────────────────────────────────────────


def fetchable(entries: Sequence[FileEntry]) -> list[FileEntry]:
    return [entry for entry in entries if file_paths.can_be_fetched(entry.name, entry.type)]


def choose(membership: Membership, mount: Mount, entries: Sequence[FileEntry]) -> int:
    """Adds to what the person has chosen; returns how many are chosen now. Raises `WishRefused` for too many."""
    chosen = set(ChosenEntry.objects.filter(user=membership.user, mount=mount).values_list("entry_id", flat=True))
    rows = [
        ChosenEntry(tenant=membership.tenant, user=membership.user, mount=mount, entry=entry)
        for entry in fetchable(entries)
        if entry.pk not in chosen
    ]
    if len(chosen) + len(rows) > MOST_CHOSEN:
        raise WishRefused(_("You can choose %(most)d at once. Choose their folder instead.") % {"most": MOST_CHOSEN})
    ChosenEntry.objects.bulk_create(rows, ignore_conflicts=True)
    return len(chosen) + len(rows)


def chosen_by(membership: Membership, mount: Mount) -> list[FileEntry]:
    chosen = ChosenEntry.objects.filter(user=membership.user, mount=mount).select_related("entry__folder")
    return [row.entry for row in chosen.order_by("entry__folder__path", "entry__name")]


# ── Fetching ─────────────────────────────────────────────────────────────────


def request_download(
    membership: Membership, mount: Mount, entries: Sequence[FileEntry], *, client_key: UUID, address: str | None
) -> Download:
    """Keeps the wish and rings for a worker. The same `client_key` again returns the download that is there.

    Raises `WishRefused`, for more than is left of the day with what is left.
    """
    if there := Download.objects.filter(client_key=client_key, created_by=membership.user).first():
        return there
    wanted = fetchable(entries)
    _check(membership, mount, wanted)
    with transaction.atomic():
        # Two clicks at the same moment take turns, so that both together fit into the day.
        lock(membership.tenant)
        download = _keep(membership, mount, wanted, client_key)
        record_of(
            membership,
            "download_requested",
            address=address,
            machine_guid=mount.machine_guid,
            machine_name=mount.machine_name,
            mount=str(mount.pk),
            download=str(download.pk),
            **_audited(download),
        )
    transaction.on_commit(ring_fetch, robust=True)
    return download


def _check(membership: Membership, mount: Mount, wanted: list[FileEntry]) -> None:
    if not may_open(membership, mount.machine_guid):
        raise WishRefused(_("You may not take single files out of backups."))
    if not mount.is_open:
        raise WishRefused(_("This backup is closed. Open it again to take files out of it."))
    if not wanted:
        raise WishRefused(_("Choose at least one file or folder."))
    if len(wanted) > MOST_CHOSEN:
        raise WishRefused(_("You can choose %(most)d at once. Choose their folder instead.") % {"most": MOST_CHOSEN})


def _keep(membership: Membership, mount: Mount, wanted: list[FileEntry], client_key: UUID) -> Download:
    is_archive = len(wanted) > 1 or wanted[0].type == DIRECTORY
    return Download.objects.create(
        tenant=membership.tenant,
        mount=mount,
        created_by=membership.user,
        client_key=client_key,
        correlation_id=correlation_id.get(),
        name=_archive_name(mount) if is_archive else wanted[0].name,
        items=[_item(entry) for entry in wanted],
        is_archive=is_archive,
        reserved_bytes=_reserved(membership.tenant, wanted),
    )


def _reserved(tenant: Tenant, wanted: list[FileEntry]) -> int:
    """Their sizes, which were listed; with a folder, which nobody has added up yet, all that may come at most."""
    most, allowance = settings.SPOOL_FILE_BYTES, allowance_of(tenant)
    left = allowance.left
    known = sum(entry.size for entry in wanted if entry.type == REGULAR_FILE)
    if known > most:
        raise WishRefused(_("These are %(size)s; one download may be %(most)s.") % _sizes(size=known, most=most))
    if left == 0:
        raise WishRefused(
            _("Nothing is left of the %(cap)s that your organisation may fetch in a day. It begins anew at midnight.")
            % _sizes(cap=allowance.cap)
        )
    if known > left:
        raise WishRefused(
            _("These are %(size)s, and %(left)s are left of today's files of your organisation.")
            % _sizes(size=known, left=left)
        )
    has_folder = any(entry.type == DIRECTORY for entry in wanted)
    return min(most, left) if has_folder else known


def _sizes(**sizes: int) -> dict[str, str]:
    return {name: readable_size(size) for name, size in sizes.items()}


def readable_size(size: int) -> str:
    """In the unit in which it says something: 0 bytes, 12 KiB, 3.4 GiB."""
    value, units = float(size), ["KiB", "MiB", "GiB", "TiB"]
    if size < 1024:
        return ngettext("%(n)d byte", "%(n)d bytes", size) % {"n": size}
    while value >= 1024 and units:
        value, unit = value / 1024, units.pop(0)
    return f"{number_format(round(value, 1), 1)} {unit}"


def _item(entry: FileEntry) -> dict[str, Any]:
    folder = entry.folder
    return {
        "file_system": folder.file_system_guid,
        "path": file_paths.joined(folder.path, entry.name, is_folder=entry.type == DIRECTORY),
        "name": entry.name,
        "type": entry.type,
        "size": entry.size,
        "modified": entry.modified_at.isoformat() if entry.modified_at else None,
        "mode": entry.mode,
    }


def _archive_name(mount: Mount) -> str:
    at = timezone.localtime(mount.backup.sort_at)
    return f"{mount.machine_name[:100]} {at:%Y-%m-%d %H.%M}.zip"


def _audited(download: Download) -> dict[str, Any]:
    """Bounded: a name may be long, and a thousand may be chosen."""
    paths = [item["path"] for item in download.items]
    shown = [path if len(path) <= LONGEST_AUDITED else f"{path[:LONGEST_AUDITED]}…" for path in paths[:MOST_AUDITED]]
    return {"paths": shown, "count": len(paths), "reserved_bytes": download.reserved_bytes}


def request_removal(membership: Membership, download: Download, *, address: str | None) -> bool:
    """What is on its way stops, what is there is taken out of the spool. False = somebody wanted it before."""
    with transaction.atomic():
        kept = Download.objects.filter(pk=download.pk, cancel_wanted_at=None)
        if not kept.update(cancel_wanted_at=timezone.now()):
            return False
        mount = download.mount
        record_of(
            membership,
            "download_removed",
            address=address,
            machine_guid=mount.machine_guid,
            machine_name=mount.machine_name,
            download=str(download.pk),
        )
    transaction.on_commit(ring_fetch, robust=True)
    return True


def note_taken(membership: Membership, download: Download, *, address: str | None) -> None:
    """At each time that the file is handed out; the first one begins the hour after which it is removed."""
    with transaction.atomic():
        Download.objects.filter(pk=download.pk, taken_at=None).update(taken_at=timezone.now())
        mount = download.mount
        record_of(
            membership,
            "download_taken",
            address=address,
            machine_guid=mount.machine_guid,
            machine_name=mount.machine_name,
            mount=str(mount.pk),
            download=str(download.pk),
            **_audited(download),
        )
