"""Backups that are kept, and days that were written down."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from reports.models import MachineMonth, MachineUsage, TenantUsage
from tenants.models import Tenant
from vprotect_bridge.models import Backup, Machine

GIB = 1024**3


def copy_in(guid: str, status: str = "PRESENT") -> dict[str, str]:
    return {"guid": guid, "name": f"Store {guid}", "role": "", "status": status, "location_guid": ""}


def backup_of(machine: Machine, gib: float = 1, **fields: Any) -> Backup:
    """Good, of an hour ago, in store-1."""
    number = Backup.across_tenants.count()
    usual: dict[str, Any] = {
        "guid": f"backup-of-{machine.guid}-{number}",
        "tenant": machine.tenant,
        "status": "SUCCESS",
        "type": "FULL",
        "sort_at": timezone.now() - timedelta(hours=1),
        "size": int(gib * GIB),
        "destinations": [copy_in("store-1")],
    }
    return Backup.across_tenants.create(machine=machine, **{**usual, **fields})


def written_down(
    tenant: Tenant, day: date, guid: str, stored: int, *, protected: int = 1, **fields: Any
) -> MachineUsage:
    """A machine's day, also added to the tenant's. `stored` in bytes."""
    usual = {"destination_guid": "store-1", "plan_id": "plan-1", "plan_name": "Nightly", **fields}
    name = usual.pop("machine_name", f"machine {guid}")
    sums, _made = TenantUsage.across_tenants.get_or_create(
        tenant=tenant,
        day=day,
        **{key: usual[key] for key in ("destination_guid", "plan_id")},
        defaults={"stored_bytes": 0, "machines": 0, "protected_machines": 0, "plan_name": usual["plan_name"]},
    )
    sums.stored_bytes += stored
    sums.machines += 1
    sums.protected_machines = (sums.protected_machines or 0) + protected
    sums.save()
    month, _made = MachineMonth.across_tenants.get_or_create(
        tenant=tenant,
        month=day.replace(day=1),
        machine_guid=guid,
        plan_id=usual["plan_id"],
        destination_guid=usual["destination_guid"],
        defaults={"machine_name": name, "plan_name": usual["plan_name"], "byte_days": 0, "machine_days": 0},
    )
    month.byte_days += stored
    month.machine_days += protected
    month.save()
    return MachineUsage.across_tenants.create(
        tenant=tenant,
        day=day,
        machine_guid=guid,
        machine_name=name,
        stored_bytes=stored,
        machines=1,
        protected_machines=protected,
        **usual,
    )
