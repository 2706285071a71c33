"""A tenant leaves: suspended at once, exported as files, removed after a retention. Its row, its audit and the marks on
backups stay, so that no later owner of its machines inherits what was made under it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Model, QuerySet
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.audit import record
from tenants.models import AuditEntry, Brand, Claim, Grant, IdentityProvider, Invitation, Membership, Tenant, User
from tenants.spreadsheets import safe_cell
from vprotect_bridge.models import (
    Alert,
    Backup,
    BulkRequest,
    ChosenEntry,
    Download,
    FileEntry,
    Folder,
    Machine,
    Mount,
    Operation,
    OperationEvent,
    OperationTask,
    Plan,
    PlanChange,
    Question,
)

# In the transaction of a removal, with `tenant`: for apps above this one, which take away what is theirs.
tenant_removed = Signal()

STILL_TO_COME = _("Its time to be removed has not come yet.")
STILL_RUNNING = _("%(count)d operations are not finished. Wait for them, or decide those that need attention.")
STILL_OPEN = _("%(count)d backups are still open for their single files. They are being closed; wait a moment.")


class NotYet(Exception):
    def __init__(self, user_message: object) -> None:
        super().__init__(str(user_message))
        self.user_message = user_message


def running_plans(tenant: Tenant) -> QuerySet[Plan]:
    """Plans that vProtect goes on with by itself, whoever is suspended here."""
    return Plan.across_tenants.filter(tenant=tenant, vanished_at=None, standing="acting")


def is_due(tenant: Tenant) -> bool:
    return not tenant.is_active and tenant.leaves_at is not None and tenant.leaves_at <= timezone.now()


# ── Export ───────────────────────────────────────────────────────────────────

_FILES: dict[str, tuple[type[Model], tuple[str, ...]]] = {
    "machines": (
        Machine,
        ("name", "guid", "uuid", "platform", "project_name", "protection", "last_success_at", "vanished_at"),
    ),
    "restore-points": (
        Backup,
        ("machine__name", "machine__guid", "guid", "type", "status", "sort_at", "size", "vanished_at"),
    ),
    "activity": (
        Operation,
        (
            *("id", "machine__name", "kind", "origin", "created_at", "created_by__email", "request"),
            *("outcome", "user_message", "started_at", "finished_at", "task_guid", "backup_guid", "correlation_id"),
        ),
    ),
    "opened-backups": (
        Mount,
        ("machine_name", "machine_guid", "backup__guid", "opened_at", "closed_at", "closed_by", "operation__id"),
    ),
    "alerts": (
        Alert,
        ("kind", "turn", "machine__name", "plan__name", "began_at", "opened_at", "closed_at", "details"),
    ),
    "plans": (Plan, ("name", "policy_guid", "standing", "vanished_at")),
    "members": (Membership, ("user__email", "user__name", "role", "machine_guids", "created_at", "last_seen_at")),
    "claims": (Claim, ("kind", "value", "created_at")),
    "grants": (Grant, ("kind", "guid", "name", "created_at")),
    "audit": (
        AuditEntry,
        ("at", "actor_name", "role", "action", "machine_name", "machine_guid", "detail", "address", "correlation_id"),
    ),
}


def export(tenant: Tenant) -> bytes:
    """A zip of one CSV per kind of row, safe for spreadsheets, times in UTC, and the tenant's own settings as JSON."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        own = {name: getattr(tenant, name) for name in ("name", "slug", "time_zone", "second_factor_required")}
        zipped.writestr("tenant.json", json.dumps({**own, "exported_at": timezone.now().isoformat()}, indent=2))
        for name, (model, columns) in _FILES.items():
            manager = getattr(model, "across_tenants", model._default_manager)
            rows = manager.filter(tenant=tenant).order_by("pk").values_list(*columns).iterator(chunk_size=2000)
            with zipped.open(f"{name}.csv", "w") as binary, io.TextIOWrapper(binary, "utf-8", newline="") as text:
                _write(text, columns, rows)
    return file.getvalue()


def _write(text: io.TextIOWrapper, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    writer = csv.writer(text)
    writer.writerow(column.replace("__", " ").replace("_", " ") for column in columns)
    for row in rows:
        writer.writerow(safe_cell(json.dumps(cell) if isinstance(cell, dict | list) else cell) for cell in row)


# ── Removal ──────────────────────────────────────────────────────────────────


def remove(tenant: Tenant, *, by: AbstractBaseUser | AnonymousUser, address: str | None) -> None:
    """Takes away what the tenant has, for good. Raises `NotYet` before its time and while something runs.

    People who belonged to no other tenant lose name, address and ways to sign in.
    """
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        if not is_due(tenant):
            raise NotYet(STILL_TO_COME)
        if running := Operation.across_tenants.filter(tenant=tenant, outcome="").count():
            raise NotYet(STILL_RUNNING % {"count": running})
        if opened := Mount.across_tenants.filter(tenant=tenant, closed_at=None).count():
            raise NotYet(STILL_OPEN % {"count": opened})
        people = list(User.objects.filter(memberships__tenant=tenant).exclude(is_staff=True))
        of_mounts = (Download, ChosenEntry, FileEntry, Folder, Mount)
        of_operations = (OperationEvent, OperationTask, Question, Operation, BulkRequest)
        for model in (*of_mounts, *of_operations, Alert, PlanChange, Plan, Invitation, Grant):
            rows = model._default_manager.filter(tenant=tenant)
            rows._raw_delete(rows.db)
        for claim in Claim.across_tenants.filter(tenant=tenant):
            claim.delete()  # one by one: each gives its machines back
        tenant_removed.send(Tenant, tenant=tenant)
        IdentityProvider.across_tenants.filter(tenant=tenant).delete()
        Brand.across_tenants.filter(tenant=tenant).delete()
        Membership.objects.filter(tenant=tenant).delete()
        Machine.across_tenants.filter(tenant=tenant).update(tenant=None, owned_by="", owner_value="")
        for person in people:
            if not person.memberships.exists():
                _forget(person)
        record(tenant, by, "operator", "tenant_removed", address=address, slug=tenant.slug)
        # The address is free again; the row keeps the marks on backups.
        Tenant.objects.filter(pk=tenant.pk).update(slug=f"removed-{tenant.pk}", removed_at=timezone.now())


def _forget(person: User) -> None:
    for model in (EmailAddress, Authenticator, SocialAccount, UserSession):
        model._default_manager.filter(user=person).delete()
    person.email, person.name, person.is_active = f"removed-{person.pk}@invalid.example", "", False
    person.set_unusable_password()
    person.save()
