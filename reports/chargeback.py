"""Our record of what is kept, held against what vProtect counts for its own chargeback.

Both count each copy. They may differ by what happened between the two looks; what stays different is a restore point
that we do not know, or one that we still list and vProtect no longer has.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max, OuterRef, Subquery, Sum
from django.utils import timezone

from reports.models import ChargebackSize, MachineUsage, TenantUsage
from tenants.models import Tenant
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine

MOST_SHOWN = 50


def read_chargeback(api: VProtect) -> int:
    """Takes the place of what was read before; returns how many machines. Raises `UpstreamError`.

    An answer that names a machine twice, or has rows without a GUID, is not half believed: those rows count as told.
    """
    sizes: Counter[str] = Counter()
    for row in api.chargeback_sizes().items:
        sizes[row.guid] += row.size
    now = timezone.now()
    with transaction.atomic():
        ChargebackSize.objects.all().delete()
        rows = [ChargebackSize(machine_guid=guid, stored_bytes=size, read_at=now) for guid, size in sizes.items()]
        ChargebackSize.objects.bulk_create(rows, batch_size=1000)
    return len(rows)


@dataclass(frozen=True)
class Compared:
    """Bytes by our record and by vProtect's; `name` of a tenant or a machine."""

    name: str
    ours: int
    theirs: int

    @property
    def difference(self) -> int:
        return self.ours - self.theirs

    @property
    def percent(self) -> float | None:
        """Of vProtect's figure."""
        return 100 * self.difference / self.theirs if self.theirs else None


@dataclass(frozen=True)
class Check:
    """`tenants`: by who owns the machines now; `machines`: those that differ, the most first; `nobodys`: bytes that
    vProtect keeps of machines that no tenant owns, which we do not write down."""

    read_at: datetime | None
    tenants: list[Compared]
    machines: list[Compared]
    nobodys: int


def check() -> Check:
    """For operators alone: it is of all tenants. A machine's figures are of all who ever had restore points of it."""
    ours, theirs = _our_sizes(), dict(ChargebackSize.objects.values_list("machine_guid", "stored_bytes"))
    known = Machine.across_tenants.filter(guid__in={*ours, *theirs}).values_list("guid", "name", "tenant")
    machines = {guid: (name, tenant) for guid, name, tenant in known}
    owned = [guid for guid, (_name, tenant) in machines.items() if tenant is not None or guid in ours]
    rows = [Compared(machines[guid][0], ours.get(guid, 0), theirs.get(guid, 0)) for guid in owned]
    return Check(
        read_at=ChargebackSize.objects.aggregate(at=Max("read_at"))["at"],
        tenants=_by_tenant(rows, [machines[guid][1] for guid in owned]),
        machines=sorted((row for row in rows if row.difference), key=lambda row: -abs(row.difference))[:MOST_SHOWN],
        nobodys=sum(theirs.values()) - sum(row.theirs for row in rows),
    )


def _our_sizes() -> dict[str, int]:
    """Of each tenant's newest recorded day."""
    newest = TenantUsage.across_tenants.filter(tenant=OuterRef("tenant")).order_by("-day").values("day")[:1]
    rows = MachineUsage.across_tenants.filter(day=Subquery(newest)).order_by().values("machine_guid")
    return {row["machine_guid"]: int(row["bytes"]) for row in rows.annotate(bytes=Sum("stored_bytes"))}


def _by_tenant(rows: list[Compared], owners: list[int | None]) -> list[Compared]:
    names: dict[int | None, str] = dict(Tenant.objects.values_list("pk", "name"))
    ours, theirs = Counter[str](), Counter[str]()
    for row, owner in zip(rows, owners, strict=True):
        name = names.get(owner, "–")
        ours[name] += row.ours
        theirs[name] += row.theirs
    return [Compared(name, ours[name], theirs[name]) for name in sorted(ours)]
