"""What people decided in this tenant: a page to look through and a file to take away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import access
from portal.audit_words import AUDIT_ACTION
from tenants.audit_file import audit_file as csv_of
from tenants.middleware import TenantRequest
from tenants.models import AuditEntry

PAGE_SIZE = 50


class AuditFilter(forms.Form):
    """Anything odd in the address falls back, so that a shared link always opens."""

    q = forms.CharField(max_length=100, required=False, label=_("Person or machine"))
    action = forms.ChoiceField(choices=[("", _("Everything")), *AUDIT_ACTION.items()], required=False, label=_("What"))
    since = forms.DateField(required=False, label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label=_("To"), widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-select" if name == "action" else "form-control"

    def entries(self) -> QuerySet[AuditEntry]:
        """Days are the tenant's, the last one included."""
        self.is_valid()
        chosen, entries = self.cleaned_data, AuditEntry.objects.all()
        if text := chosen.get("q"):
            entries = entries.filter(Q(actor_name__icontains=text) | Q(machine_name__icontains=text))
        if action := chosen.get("action"):
            entries = entries.filter(action=action)
        if since := chosen.get("since"):
            entries = entries.filter(at__gte=_midnight(since))
        if until := chosen.get("until"):
            entries = entries.filter(at__lt=_midnight(until) + timedelta(days=1))
        return entries.order_by("-at", "-id")


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime(day.year, day.month, day.day))


@require_safe
@never_cache
@access.for_administrators
def audit(request: TenantRequest, tenant: str) -> HttpResponse:
    """Newest first, paged by the last one seen."""
    form = AuditFilter(request.GET)
    entries = form.entries()
    before = _before(request.GET.get("before"))
    if before is not None:
        entries = entries.filter(Q(at__lt=before.at) | Q(at=before.at, pk__lt=before.pk))
    rows = list(entries[: PAGE_SIZE + 1])
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "form": form,
        "rows": rows[:PAGE_SIZE],
        "older": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
        "is_first_page": before is None,
        "query": query.urlencode(),
        "is_filtered": any(form.cleaned_data.values()),
    }
    return render(request, "portal/audit.html", context)


def _before(text: str | None) -> AuditEntry | None:
    try:
        return AuditEntry.objects.filter(pk=UUID(text or "")).first()
    except ValueError:
        return None


@require_safe
@never_cache
@access.for_administrators
def audit_file(request: TenantRequest, tenant: str) -> HttpResponse:
    """The same as CSV."""
    return csv_of(AuditFilter(request.GET).entries(), f"audit-{request.tenant.slug}")
