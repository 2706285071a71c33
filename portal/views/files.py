"""Single files out of a backup: open it, look into its folders, choose, close it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import access, polls
from portal.file_lists import FolderQuery, page_of
from portal.files_forms import MountForm
from tenants.audit import address_of
from tenants.middleware import TenantRequest
from vprotect_bridge import browsing
from vprotect_bridge.download_wishes import allowance_of, choose, chosen_by
from vprotect_bridge.file_paths import DIRECTORY
from vprotect_bridge.models import ChosenEntry, Folder, Machine, Mount, Operation, Question
from vprotect_bridge.mount_wishes import MountWish, mount_of, mounts_in_use, request_close, request_mount
from vprotect_bridge.restore_wishes import restore_points
from vprotect_bridge.services import WishRefused, ask, open_operation

PATIENCE = timedelta(seconds=10)
# A folder of a hundred thousand takes its time; the page goes on asking, and says that it does.
PATIENCE_WITH_FOLDERS = timedelta(seconds=30)
MOST_POINTS = 400
CLOSED_SHOWN = 10


# ── Opening ──────────────────────────────────────────────────────────────────


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.opens_backups
def mount_create(request: TenantRequest, tenant: str, guid: str) -> HttpResponse:
    machine = access.machine_for(request, guid)
    if request.method != "POST" and (running := open_operation(machine, Operation.Kind.MOUNT)):
        messages.info(request, _("A backup of this machine is being opened already."))
        return redirect("operation", tenant, running.pk)
    # A wish asks nothing more: the worker looks once more before it sends it.
    is_wish = request.method == "POST"
    question = None if is_wish else ask(request.membership, machine, Question.Kind.MOUNTABLE_BACKUPS)
    offered = _offered(machine, question)
    points = offered["points"]
    data = request.POST if request.method == "POST" else None
    initial = {"client_key": uuid4(), "backup": request.GET.get("backup") or (points[0].guid if points else "")}
    form = MountForm(data, initial=initial, points=points)
    if request.method == "POST" and form.is_valid() and (response := _open(request, machine, form)):
        return response
    context = {
        "machine": machine,
        "form": form,
        **offered,
        "cap": request.tenant.mount_cap,
        "in_use": mounts_in_use(request.tenant),
    }
    return render(request, "portal/mount_create.html", context, status=422 if form.errors else 200)


def _offered(machine: Machine, question: Question | None) -> dict[str, Any]:
    """All restore points until a worker knows which of them can be opened, and when it cannot find out."""
    everything = list(restore_points(machine)[:MOST_POINTS])
    known = set(question.answer["guids"]) if question and question.answer and not question.failed else None
    is_late = question is not None and timezone.now() - question.asked_at > PATIENCE
    return {
        "points": [point for point in everything if known is None or point.guid in known],
        "has_points": bool(everything),
        "is_asking": question is not None and question.answered_at is None and not is_late,
        "is_unknown": known is None,
    }


def _open(request: TenantRequest, machine: Machine, form: MountForm) -> HttpResponse | None:
    """What is open already is shown instead of being opened twice; None = the form again, with the reason."""
    chosen = form.cleaned_data
    already = mount_of(restore_points(machine).get(guid=chosen["backup"]))
    if already:
        messages.info(request, _("This backup is open already."))
        return redirect("mount", request.tenant.slug, already.pk)
    wish = MountWish(chosen["backup"], chosen["hours"])
    key, address = chosen["client_key"], address_of(request)
    try:
        operation, is_new = request_mount(request.membership, machine, wish, client_key=key, address=address)
    except WishRefused as refused:
        form.add_error(refused.field or None, str(refused.user_message))
        return None
    if not is_new and operation.client_key != key:
        messages.info(request, _("A backup of this machine is being opened already, so nothing new was started."))
    return redirect("operation", request.tenant.slug, operation.pk)


# ── What is open ─────────────────────────────────────────────────────────────


@require_safe
@never_cache
@access.opens_backups
def mount_list(request: TenantRequest, tenant: str) -> HttpResponse:
    mounts = access.visible_mounts(request.membership)
    opening = access.visible_operations(request.membership).filter(
        kind=Operation.Kind.MOUNT, outcome="", origin=Operation.Origin.PORTAL
    )
    shown = list(mounts.filter(closed_at=None).order_by("closes_at"))
    on_their_way = list(opening.order_by("-created_at"))
    downloads = list(access.own_downloads(request).order_by("-created_at")[:20])
    word = polls.word_for(
        [
            *((mount.pk, mount.is_open) for mount in shown),
            *((operation.pk, operation.version) for operation in on_their_way),
            *((download.pk, download.state, download.is_there) for download in downloads),
        ]
    )
    if unchanged := polls.nothing_new(request, word):
        return unchanged
    is_closing = any(not mount.is_open for mount in shown)
    context = {
        "mounts": shown,
        "opening": on_their_way,
        "downloads": downloads,
        "seen": word,
        "is_moving": on_their_way or is_closing or any(download.is_under_way for download in downloads),
        "closed": mounts.exclude(closed_at=None).order_by("-closed_at")[:CLOSED_SHOWN],
        "cap": request.tenant.mount_cap,
        "in_use": mounts_in_use(request.tenant),
        "allowance": allowance_of(request.tenant),
    }
    return render(request, "portal/mounts.html", context)


@require_safe
@never_cache
@access.opens_backups
def mount_detail(request: TenantRequest, tenant: str, mount_id: UUID) -> HttpResponse:
    mount = access.mount_for(request, mount_id)
    downloads = list(access.own_downloads(request).filter(mount=mount).order_by("-created_at")[:20])
    context = {
        "mount": mount,
        "downloads": downloads,
        "chosen_count": ChosenEntry.objects.filter(user=request.membership.user_id, mount=mount).count(),
    }
    return render(request, "portal/mount.html", context)


@require_POST
@access.opens_backups
def mount_close(request: TenantRequest, tenant: str, mount_id: UUID) -> HttpResponse:
    mount = access.mount_for(request, mount_id)
    if request_close(request.membership, mount, address=address_of(request)):
        messages.success(request, _("The backup is being closed. It stays as it is."))
    else:
        messages.info(request, _("It is closed already, or is being closed."))
    return redirect("mounts", tenant)


# ── Folders ──────────────────────────────────────────────────────────────────


@require_safe
@never_cache
@access.opens_backups
def folder_open(request: TenantRequest, tenant: str, mount_id: UUID) -> HttpResponse:
    """Leads to the folder of a file system or of an entry that was listed, or to one that could not be read, again."""
    mount = access.mount_for(request, mount_id)
    if not mount.is_open:
        return redirect("mount", tenant, mount.pk)
    if "entry" in request.GET:
        folder = browsing.folder_in(access.entry_for(mount, request.GET["entry"]))
    elif "again" in request.GET:
        folder = browsing.once_more(access.folder_named(mount, request.GET["again"]))
    else:
        folder = browsing.root_of(mount, request.GET.get("system", ""))
    if folder is None:
        raise Http404
    return redirect("folder", tenant, mount.pk, folder.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@access.opens_backups
def folder(request: TenantRequest, tenant: str, mount_id: UUID, folder_id: UUID) -> HttpResponse:
    """A page of what lies in it. A POST chooses what is ticked, or takes it back, and shows the same page again."""
    mount = access.mount_for(request, mount_id)
    if not mount.is_open:
        # What was read of it is forgotten with it.
        return redirect("mount", tenant, mount.pk)
    shown = access.folder_for(mount, folder_id)
    if request.method == "POST":
        _choose(request, mount)
        return redirect(f"{request.path}?{request.GET.urlencode()}")
    is_asking = shown.answered_at is None
    is_late = is_asking and timezone.now() - shown.asked_at > PATIENCE_WITH_FOLDERS
    word = polls.word_for([(shown.pk, shown.answered_at, shown.problem, is_late)])
    if unchanged := polls.nothing_new(request, word):
        return unchanged
    query = FolderQuery.read(request.GET)
    context = {
        "mount": mount,
        "folder": shown,
        "seen": word,
        "is_asking": is_asking,
        "is_late": is_late,
        "crumbs": _crumbs(mount, shown),
        "query": query,
        "client_key": uuid4(),
        **page_of(shown, query),
        **tray_context(request, mount),
    }
    return render(request, "portal/folder.html", context)


def _choose(request: TenantRequest, mount: Mount) -> None:
    """`put`: ids that are ticked; `drop`: ids to take back; `clear`: all of them."""
    if "clear" in request.POST:
        ChosenEntry.objects.filter(user=request.membership.user_id, mount=mount).delete()
        return
    if dropped := access.entries_for(mount, request.POST.getlist("drop")):
        ChosenEntry.objects.filter(user=request.membership.user_id, entry__in=dropped).delete()
        return
    try:
        choose(request.membership, mount, access.entries_for(mount, request.POST.getlist("put")))
    except WishRefused as refused:
        messages.warning(request, str(refused.user_message))


def tray_context(request: TenantRequest, mount: Mount) -> dict[str, Any]:
    """What is chosen, how much that is as far as it is known, and what is left of the day."""
    chosen = chosen_by(request.membership, mount)
    return {
        "chosen": chosen,
        "chosen_ids": {entry.pk for entry in chosen},
        "chosen_size": sum(entry.size for entry in chosen if entry.type != DIRECTORY),
        "has_folder": any(entry.type == DIRECTORY for entry in chosen),
        "allowance": allowance_of(request.tenant),
    }


def _crumbs(mount: Mount, shown: Folder) -> list[dict[str, Any]]:
    """From the file system down; each has been read, as its entry was listed there."""
    system: dict[str, Any] = next((one for one in mount.file_systems if one["guid"] == shown.file_system_guid), {})
    parts = [part for part in shown.path.split("/") if part]
    paths = ["/", *("/" + "/".join(parts[: place + 1]) + "/" for place in range(len(parts)))]
    above = Folder.objects.filter(mount=mount, file_system_guid=shown.file_system_guid, path__in=paths[:-1])
    known = dict(above.values_list("path", "pk"))
    names = [system.get("label") or system.get("volume") or "/", *parts]
    return [{"name": name, "pk": known.get(path)} for name, path in zip(names, paths, strict=True)]
