"""How backups went day by day, for charts: kept for whole tenants (`BackupDay`), counted here for some machines."""

from __future__ import annotations

from datetime import tzinfo

from django.db.models import BigIntegerField, Count, F, Q, QuerySet, Sum, TextField, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, TruncDate

from vprotect_bridge.client.types import FINAL_BACKUP_STATUSES
from vprotect_bridge.models import Backup, BackupDay

GOOD = Q(status__in=["SUCCESS", "SUCCESS_REMOVED"])
WARNED = Q(status="PARTIAL_SUCCESS")
FAILED = Q(status="FAILED")
RESTORABLE = Q(status__in=["SUCCESS", "PARTIAL_SUCCESS"], vanished_at=None)
TIMED = ~FAILED & Q(duration_ms__isnull=False)


def days_of(backups: QuerySet[Backup], zone: tzinfo) -> list[BackupDay]:
    """What the triggers keep of these backups, counted anew: rows without a tenant, by day and destination.

    Days are the zone's. What was removed or vanished was a success all the same; it is not restorable.
    """
    rows = (
        backups.filter(status__in=FINAL_BACKUP_STATUSES)
        .order_by()
        .values(
            day=TruncDate("sort_at", tzinfo=zone),
            destination_guid=Coalesce(KT("destinations__0__guid"), Value(""), output_field=TextField()),
        )
        .annotate(
            succeeded=Count("pk", filter=GOOD),
            with_warnings=Count("pk", filter=WARNED),
            failed=Count("pk", filter=FAILED),
            timed=Count("pk", filter=TIMED),
            restorable_size=_sum("size", RESTORABLE),
            # Last: from here on these names are the sums.
            size=_sum("size", ~FAILED),
            duration_ms=_sum("duration_ms", TIMED),
        )
        .order_by("day", "destination_guid")
    )
    return [BackupDay(**row) for row in rows]


def _sum(field: str, which: Q) -> Cast:
    """As a bigint: PostgreSQL's sum of bigints is a numeric."""
    return Cast(Coalesce(Sum(F(field), filter=which), Value(0)), BigIntegerField())
