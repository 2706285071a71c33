"""Asking for files of reports, and who may have one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import get_language

from reports.models import ReportFile
from tenants.audit import record_of
from tenants.models import Membership, Role
from vprotect_bridge.doorbell import ring

Kind, Format, State = ReportFile.Kind, ReportFile.Format, ReportFile.State
# Of each person; the oldest ones go.
MOST_KEPT = 20


def may_have(membership: Membership, kind: str) -> bool:
    """Protection and restores are for everybody, usage is for administrators; all of the machines that they see."""
    return kind != Kind.USAGE or membership.may(Role.ADMIN)


def own_files(membership: Membership) -> QuerySet[ReportFile]:
    """A person's own, of what they may see now: one of other machines is not there any more."""
    guids = membership.machine_guids
    scope = {"machine_guids__isnull": True} if guids is None else {"machine_guids": guids}
    files = ReportFile.objects.filter(created_by=membership.user_id, **scope)
    return files if may_have(membership, Kind.USAGE) else files.exclude(kind=Kind.USAGE)


def request_file(
    membership: Membership,
    kind: str,
    format: str,
    *,
    client_key: UUID,
    address: str | None,
    days: tuple[date, date] | None = None,
    operation_id: UUID | None = None,
    machine_guid: str = "",
    machine_name: str = "",
) -> ReportFile:
    """Keeps the wish and rings for a worker. The same `client_key` again returns the file that is there."""
    if there := own_files(membership).filter(client_key=client_key).first():
        return there
    with transaction.atomic():
        file = ReportFile.objects.create(
            tenant=membership.tenant,
            created_by=membership.user,
            client_key=client_key,
            kind=kind,
            format=format,
            language=get_language() or "",
            first_day=days[0] if days else None,
            last_day=days[1] if days else None,
            operation_id=operation_id,
            machine_guids=membership.machine_guids,
        )
        detail = {"report": kind, "format": format, "file": str(file.pk)}
        record_of(
            membership,
            "report_requested",
            address=address,
            machine_guid=machine_guid,
            machine_name=machine_name,
            **detail,
            **({"operation": str(operation_id)} if operation_id else {}),
        )
    _remove_oldest(membership)
    transaction.on_commit(lambda: ring("reports.tasks.make_files"), robust=True)
    return file


def _remove_oldest(membership: Membership) -> None:
    """Their files are swept away by a worker."""
    kept = ReportFile.objects.filter(created_by=membership.user_id).exclude(state=State.REMOVED)
    old = list(kept.order_by("-created_at").values_list("pk", flat=True)[MOST_KEPT:])
    if old:
        ReportFile.objects.filter(pk__in=old).update(state=State.REMOVED)


def path_of(file: ReportFile) -> Path:
    """Beside downloads in the spool, with a name that theirs never have."""
    return Path(settings.SPOOL_FOLDER) / f"{file.pk}.{file.format}"


def part_of(file: ReportFile) -> Path:
    return Path(settings.SPOOL_FOLDER) / f"{file.pk}.{file.format}-part"


def name_of(file: ReportFile) -> str:
    """Under which it is saved; it names no machine."""
    parts = [file.kind, file.tenant.slug]
    if file.kind == Kind.USAGE and file.first_day:
        parts.append(f"{file.first_day:%Y-%m}")
    elif file.last_day:
        parts.append(f"{file.first_day}-{file.last_day}")
    else:
        parts.append(f"{file.created_at:%Y-%m-%d}")
    return f"{'-'.join(parts)}.{file.format}"
