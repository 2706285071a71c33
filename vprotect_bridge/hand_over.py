"""History does not follow a machine: an operator hands it over, and both sides have it in their audit."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Count, Max, Min, Sum
from django.utils.translation import gettext_lazy as _

from tenants.audit import record
from tenants.models import Tenant
from vprotect_bridge.models import Backup, Machine
from vprotect_bridge.protection import update_protection


def history_by_owner(machine: Machine) -> list[dict[str, Any]]:
    """One row for each owner of backups of the machine: `tenant`, `count`, `first`, `last`, `size` in bytes."""
    backups = Backup.across_tenants.filter(machine=machine, vanished_at=None)
    figures = {"count": Count("pk"), "first": Min("sort_at"), "last": Max("sort_at"), "size": Sum("size")}
    rows: Any = backups.order_by().values("tenant_id").annotate(**figures)
    tenants = Tenant.objects.in_bulk([row["tenant_id"] for row in rows if row["tenant_id"]])
    return sorted(({**row, "tenant": tenants.get(row["tenant_id"])} for row in rows), key=lambda row: row["first"])


def hand_over(
    machine: Machine,
    was: Tenant | None,
    now: Tenant,
    *,
    by: AbstractBaseUser | AnonymousUser,
    address: str | None,
) -> int:
    """Backups of the machine that were `was`'s (None = nobody's) become `now`'s; returns how many.

    Operations stay where they are: they are what people of the former owner did.
    """
    with transaction.atomic():
        handed = Backup.across_tenants.filter(machine=machine, tenant=was).exclude(tenant=now).update(tenant=now)
        if handed:
            update_protection([machine.pk])
        for tenant in {was, now} - {None} if handed else ():
            other = now if tenant == was else was
            record(
                tenant,
                by,
                "operator",
                "history_received" if tenant == now else "history_handed_over",
                address=address,
                machine_guid=machine.guid,
                machine_name=machine.name,
                backups=handed,
                # Who the other side is, is the operator's knowledge, not the tenant's.
                other=str(_("another customer")) if other else "",
            )
    return handed
