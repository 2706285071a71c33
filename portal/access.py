"""The one place where what an address names becomes an object, and where 403 and 404 are decided.

Foreign, unknown and malformed are all 404, by one query with the tenant in it. 403 is only for what a person can see
but may not do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Lower
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from portal import polls
from tenants.middleware import TenantRequest
from tenants.models import Grant, Invitation, Membership, Role
from vprotect_bridge.models import (
    Alert,
    Backup,
    BulkRequest,
    Destination,
    Download,
    FileEntry,
    Folder,
    Hypervisor,
    Machine,
    Mount,
    Operation,
    Plan,
    Protection,
    Question,
)
from vprotect_bridge.restore_wishes import restore_targets

View = Callable[..., Any]
BY_NAME = (Lower("name"), "guid")


class GuidConverter:
    """vProtect's GUIDs are opaque; anything else cannot name a machine (docs/vprotect-api.md, 3.4)."""

    regex = "[A-Za-z0-9-]{1,64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


def needs(role: Role) -> Callable[[View], View]:
    """The view is for this role and those that include it. The others may know that it is there: 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.membership.may(role):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def for_administrators(view: View) -> View:
    """For who administers all of the tenant, not only some of its machines."""

    @wraps(view)
    def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        needs_every_machine(request)
        return view(request, *args, **kwargs)

    return needs(Role.ADMIN)(guarded)


def visible_machines(membership: Membership) -> QuerySet[Machine]:
    """The tenant's machines, or those of them to which the membership is limited."""
    machines = Machine.objects.all()
    return machines if membership.machine_guids is None else machines.filter(guid__in=membership.machine_guids)


def listed_machines(membership: Membership) -> QuerySet[Machine]:
    """Those that a person can still do something with: without what is deleted and has no restore point left."""
    return visible_machines(membership).exclude(protection=Protection.GONE)


def visible_backups(membership: Membership) -> QuerySet[Backup]:
    """The tenant's backups, or those of the machines to which the membership is limited."""
    backups = Backup.objects.all()
    if membership.machine_guids is None:
        return backups
    return backups.filter(machine__in=visible_machines(membership))


def visible_operations(membership: Membership) -> QuerySet[Operation]:
    operations = Operation.objects.select_related("machine", "created_by")
    if membership.machine_guids is None:
        return operations
    return operations.filter(subject_guid__in=membership.machine_guids)


def visible_plans(membership: Membership) -> QuerySet[Plan]:
    """The tenant's plans, or those that hold one of the machines to which the membership is limited."""
    plans = Plan.objects.filter(vanished_at=None)
    if membership.machine_guids is None:
        return plans
    policies = visible_machines(membership).exclude(policy_guid="").values("policy_guid")
    return plans.filter(policy_guid__in=policies)


def visible_alerts(membership: Membership) -> QuerySet[Alert]:
    """Of machines and plans that this person may see."""
    machines, plans = visible_machines(membership), visible_plans(membership)
    return Alert.objects.filter(Q(machine__in=machines) | Q(machine=None, plan__in=plans))


def needs_every_machine(request: TenantRequest) -> None:
    """For what is about all machines of the tenant: 403 for who is limited to some."""
    if request.membership.machine_guids is not None:
        raise PermissionDenied(_("You see some machines of your organisation; this is about all of them."))


def machine_for(
    request: TenantRequest, guid: str, enrich: Callable[[QuerySet[Machine]], QuerySet[Machine]] | None = None
) -> Machine:
    """`enrich` adds to the statement what the page shows beside the machine itself."""
    machines = visible_machines(request.membership)
    return get_object_or_404(enrich(machines) if enrich else machines, guid=guid)


def machines_for(request: TenantRequest, guids: Collection[str]) -> list[Machine]:
    """All of them, by name, or 404: one that is foreign or unknown takes the others with it."""
    if not all(re.fullmatch(GuidConverter.regex, guid) for guid in guids):
        raise Http404
    found = list(visible_machines(request.membership).filter(guid__in=guids).defer("details").order_by(*BY_NAME))
    if len(found) < len(set(guids)):
        raise Http404
    return found


def bulk_request_for(request: TenantRequest, bulk_id: UUID) -> BulkRequest:
    bulk = get_object_or_404(BulkRequest.objects.select_related("created_by", "plan_change__plan"), pk=bulk_id)
    _needs_one_of(request, bulk.machine_guids, bulk.left_out)
    return bulk


def bulk_request_shown(request: TenantRequest, bulk_id: UUID) -> str:
    """The word for what its page shows now, in one statement; 404 as for the page itself."""
    operations = visible_operations(request.membership).filter(bulk_request=OuterRef("pk")).order_by()
    versions = operations.values("bulk_request").annotate(sum=Sum("version")).values("sum")
    facts = ("plan_change__state", "plan_change__steps", "machine_guids", "left_out")
    rows = BulkRequest.objects.filter(pk=bulk_id).values_list(Subquery(versions), polls.AWAY_SINCE, *facts)
    if not (row := rows.first()):
        raise Http404
    _needs_one_of(request, *row[-2:])
    return polls.word_for([row])


def _needs_one_of(request: TenantRequest, guids: list[str], left_out: list[dict[str, str]]) -> None:
    """404 for who is limited to machines of which none is among these."""
    own = request.membership.machine_guids
    if own is not None and not set(own) & {*guids, *(row["guid"] for row in left_out)}:
        raise Http404


def operation_for(request: TenantRequest, operation_id: UUID) -> Operation:
    return get_object_or_404(visible_operations(request.membership), pk=operation_id)


def operation_like(request: TenantRequest, machine: Machine, kind: str) -> Operation | None:
    """The earlier one of this machine as which a form is to be filled in; anything else names none."""
    try:
        named = UUID(request.GET.get("like", ""))
    except ValueError:
        return None
    return visible_operations(request.membership).filter(pk=named, machine=machine, kind=kind).first()


def operation_shown(request: TenantRequest, operation_id: UUID) -> str:
    """The word for what a page shows of it, for its poll: one statement without joins."""
    rows = polls.operations_shown(visible_operations(request.membership).filter(pk=operation_id))
    if not rows:
        raise Http404
    return polls.word_for(rows)


def plan_for(request: TenantRequest, plan_id: UUID, *, with_gone: bool = False) -> Plan:
    """One that is gone still shows how it ended to those who could see it."""
    plans = visible_plans(request.membership)
    if with_gone and request.membership.machine_guids is None:
        plans = Plan.objects.all()
    return get_object_or_404(plans, pk=plan_id)


def visible_members(request: TenantRequest) -> QuerySet[Membership]:
    return Membership.objects.filter(tenant=request.tenant).select_related("user", "tenant")


def member_for(request: TenantRequest, member_id: int) -> Membership:
    return get_object_or_404(visible_members(request), pk=member_id)


def invitation_for(request: TenantRequest, invitation_id: UUID) -> Invitation:
    return get_object_or_404(Invitation, pk=invitation_id, tenant=request.tenant)


def question_for(request: TenantRequest, question_id: UUID) -> Question:
    questions = Question.objects.select_related("machine")
    return get_object_or_404(questions, pk=question_id, machine__in=visible_machines(request.membership))


def restore_target_for(machine: Machine, guid: str) -> Hypervisor:
    """One that the tenant may use for this machine."""
    return get_object_or_404(restore_targets(machine), guid=guid)


def granted_destinations() -> QuerySet[Destination]:
    """What the operator granted the tenant, and is still there. Nothing granted = nothing offered."""
    granted = Grant.objects.filter(kind=Grant.Kind.DESTINATION)
    return Destination.objects.filter(guid__in=granted.values("guid"), vanished_at__isnull=True)


# ── Single files out of backups ──────────────────────────────────────────────


def opens_backups(view: View) -> View:
    """For who takes single files out of backups, a right that is in no role. The others may know that it is there."""

    @wraps(view)
    def guarded(request: TenantRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.membership.may_open_backups:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def visible_mounts(membership: Membership) -> QuerySet[Mount]:
    """Of backups that are the tenant's still, whoever owns the machine; or of the machines that a membership names."""
    mounts = Mount.objects.select_related("backup").filter(backup__tenant=membership.tenant)
    if membership.machine_guids is None:
        return mounts
    return mounts.filter(machine_guid__in=membership.machine_guids)


def mount_for(request: TenantRequest, mount_id: UUID) -> Mount:
    return get_object_or_404(visible_mounts(request.membership), pk=mount_id)


def folder_for(mount: Mount, folder_id: UUID) -> Folder:
    return get_object_or_404(Folder, pk=folder_id, mount=mount)


def folder_named(mount: Mount, text: str) -> Folder:
    try:
        return folder_for(mount, UUID(text))
    except ValueError:
        raise Http404 from None


def entry_for(mount: Mount, text: str) -> FileEntry:
    entries = FileEntry.objects.select_related("folder__mount")
    return get_object_or_404(entries, pk=_number(text), folder__mount=mount)


def entries_for(mount: Mount, texts: list[str]) -> list[FileEntry]:
    """Each once; one that is not there makes all of it not there."""
    wanted = {_number(text) for text in texts}
    entries = list(FileEntry.objects.select_related("folder").filter(pk__in=wanted, folder__mount=mount))
    if len(entries) != len(wanted):
        raise Http404
    return entries


def own_downloads(request: TenantRequest) -> QuerySet[Download]:
    """A person's own: what one fetched, no colleague takes."""
    downloads = Download.objects.select_related("mount__backup").filter(created_by=request.membership.user_id)
    return downloads.filter(mount__in=visible_mounts(request.membership))


def download_for(request: TenantRequest, mount_id: UUID, download_id: UUID) -> Download:
    return get_object_or_404(own_downloads(request), pk=download_id, mount=mount_id)


def _number(text: str) -> int:
    """An id as text; what is none, or none that a row could have, is not there."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Http404
    return int(text)
