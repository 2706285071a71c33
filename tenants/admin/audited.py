"""Whatever an operator changes on the site is in the audit, with what it was changed to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from tenants.audit import address_of, record
from tenants.models import Tenant

SECRETS = {"password", "password1", "password2", "client_secret"}


class AuditedAdmin(admin.ModelAdmin):
    """Beside Django's journal, which names fields only, an entry in the audit of the tenant."""

    def tenant_of(self, row: Any) -> Tenant | None:
        return row if isinstance(row, Tenant) else getattr(row, "tenant", None)

    def construct_change_message(
        self, request: HttpRequest, form: forms.Form, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        message = super().construct_change_message(request, form, formsets, add)
        request.audited = _values(form) | {  # type: ignore[attr-defined]
            f"{formset.prefix}-{number}": _values(row) | ({"deleted": True} if row in formset.deleted_forms else {})
            for formset in formsets or []
            for number, row in enumerate(formset.forms)
            if row.has_changed()
        }
        return message

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, obj, "added")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, obj, "changed")
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            self._audit(request, row, "removed")
        return super().log_deletions(request, queryset)

    def _audit(self, request: HttpRequest, row: Any, what: str) -> None:
        detail = getattr(request, "audited", {})
        action = f"{row._meta.verbose_name} {what}".replace(" ", "_").replace("-", "_")
        address = address_of(request)
        record(self.tenant_of(row), request.user, "operator", action, address=address, about=str(row), changed=detail)


def _values(form: forms.BaseForm) -> dict[str, Any]:
    chosen = getattr(form, "cleaned_data", {})
    return {name: "…" if name in SECRETS else str(chosen.get(name, "")) for name in form.changed_data}
