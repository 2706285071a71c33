"""One search over what support is asked for: names, addresses, GUIDs, ids of operations, tasks and requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime

from tenants.models import AuditEntry, Claim, Tenant, User
from vprotect_bridge.models import Backup, Destination, Download, Machine, Mount, Operation, Plan, PlanChange

SEARCHED: tuple[type[Model], ...] = (
    *(Tenant, User, Machine, Operation, Plan, PlanChange, Mount, Download, Claim, Backup, Destination),
    AuditEntry,
)
FEW = 5
LONGEST = 200


@dataclass(frozen=True)
class Found:
    """Of one kind: the first few rows, each as address, name and what tells it from the others; and the whole list."""

    title: str
    rows: list[tuple[str, str, str]]
    has_more: bool
    all_of_them: str


def find(site: AdminSite, request: HttpRequest, text: str) -> list[Found]:
    """By the search of each kind's own list, so that both find the same; kinds that may not be seen are left out."""
    text = text.replace("\x00", "").strip()[:LONGEST]
    kinds = (_found(site, request, model, text) for model in SEARCHED) if text else ()
    return [found for found in kinds if found is not None and found.rows]


def _found(site: AdminSite, request: HttpRequest, model: type[Model], text: str) -> Found | None:
    model_admin: Any = site._registry[model]
    if not model_admin.has_view_permission(request):
        return None
    rows, may_repeat = model_admin.get_search_results(request, model_admin.get_queryset(request), text)
    rows = rows.order_by(*model_admin.get_ordering(request) or ["pk"]).select_related(
        *model_admin.list_select_related or []
    )
    few = list((rows.distinct() if may_repeat else rows)[: FEW + 1])
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return Found(
        title=str(capfirst(model._meta.verbose_name_plural)),
        rows=[
            (reverse(f"{name}_change", args=[row.pk]), str(row) or str(row.pk), _told_apart(row)) for row in few[:FEW]
        ],
        has_more=len(few) > FEW,
        all_of_them=f"{reverse(f'{name}_changelist')}?{urlencode({'q': text})}",
    )


def _told_apart(row: Any) -> str:
    """Whose it is, and since when; machines of the same name are told apart by their GUID."""
    since = getattr(row, "created_at", None) or getattr(row, "date_joined", None)
    parts = (
        getattr(row, "tenant", None),
        getattr(row, "guid", None),
        since and date_format(localtime(since), "DATETIME_FORMAT"),
    )
    return " · ".join(str(part) for part in parts if part)
