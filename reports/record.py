"""Writes down each day what is kept for whom: the figures over time, which vProtect does not have.

What is stored on a day are the sizes of the restore points that existed at its last look, each copy where it lies: two
copies take the room of two. A restore point exists while vProtect lists it as good (also with warnings) and its copy as
present. It belongs to who owned its machine when it was made. A machine is protected on a day if it stood as
"Protected" at the last look. Days are the tenant's own.

Looks come every hour, and each takes the place of the one before; a day without any has no record, and is said so.
What a month's days add up to for each machine is kept beside them (`MachineMonth`), so that a page need not add.

Days before the first look can be put together later, by an operator's command: with the restore points that are still
there, each from the day on which it was made. That is the least that was kept then, for what was removed since is
missing; which machines there were, in which plan, and which were protected, is not known and stays empty.
"""

from __future__ import annotations

from datetime import date, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from reports.models import MachineMonth, MachineUsage, TenantUsage
from reports.months import Month
from tenants.models import Tenant

# Two workers at once would wait for each other's rows in another order.
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('reports: usage', 0))"
# Whole tables are joined here, and nobody can estimate what is found of them: row by row it took minutes for 20,000.
_WHOLE_TABLES = "SELECT set_config('enable_nestloop', 'off', true)"
# One row for each copy. `stored_on`: which restore points; `look`: the days that are written, by tenant.
_MACHINES = """
    WITH look AS (
        SELECT id AS tenant_id, (now() AT TIME ZONE time_zone)::date AS day
        FROM tenants_tenant WHERE removed_at IS NULL
    ), stored AS (
        SELECT b.tenant_id, b.machine_id, coalesce(copy.row ->> 'guid', '') AS destination_guid, sum(b.size) AS bytes
        FROM vprotect_bridge_backup b LEFT JOIN LATERAL jsonb_array_elements(b.destinations) AS copy(row) ON true
        WHERE b.status IN ('SUCCESS', 'PARTIAL_SUCCESS') AND b.vanished_at IS NULL AND b.tenant_id IS NOT NULL
            AND (copy.row IS NULL OR coalesce(copy.row ->> 'status', '') IN ('', 'PRESENT'))
        GROUP BY 1, 2, 3
    ), there AS (
        SELECT id, tenant_id FROM vprotect_bridge_machine
        WHERE tenant_id IS NOT NULL AND present AND vanished_at IS NULL
    ), found AS (
        SELECT coalesce(stored.tenant_id, there.tenant_id) AS tenant_id,
            coalesce(stored.machine_id, there.id) AS machine_id,
            coalesce(stored.destination_guid, '') AS destination_guid, coalesce(stored.bytes, 0) AS bytes,
            there.id IS NOT NULL AND row_number() OVER (
                PARTITION BY coalesce(stored.tenant_id, there.tenant_id), coalesce(stored.machine_id, there.id)
                ORDER BY stored.destination_guid
            ) = 1 AS counts
        FROM stored FULL JOIN there ON there.id = stored.machine_id AND there.tenant_id = stored.tenant_id
    ), told AS (
        SELECT look.tenant_id, look.day, machine.guid AS machine_guid,
            CASE WHEN machine.tenant_id = look.tenant_id THEN machine.name ELSE '' END AS machine_name,
            coalesce(plan.id::text, '') AS plan_id, coalesce(plan.name, '') AS plan_name, found.destination_guid,
            found.bytes AS stored_bytes, found.counts::int AS machines,
            (found.counts AND machine.protection = 'protected')::int AS protected_machines
        FROM found
        JOIN look ON look.tenant_id = found.tenant_id
        JOIN vprotect_bridge_machine machine ON machine.id = found.machine_id
        LEFT JOIN vprotect_bridge_plan plan ON plan.tenant_id = look.tenant_id AND plan.vanished_at IS NULL
            AND machine.tenant_id = look.tenant_id AND plan.policy_guid = machine.policy_guid
            AND machine.policy_guid <> ''
    ), gone AS (
        DELETE FROM reports_machineusage kept USING look
        WHERE kept.tenant_id = look.tenant_id AND kept.day = look.day AND NOT EXISTS (
            SELECT FROM told WHERE told.tenant_id = kept.tenant_id AND told.machine_guid = kept.machine_guid
                AND told.destination_guid = kept.destination_guid
        )
    )
    INSERT INTO reports_machineusage AS kept (tenant_id, day, machine_guid, machine_name, plan_id, plan_name,
        destination_guid, stored_bytes, machines, protected_machines)
    SELECT tenant_id, day, machine_guid, machine_name, plan_id, plan_name,
        destination_guid, stored_bytes, machines, protected_machines FROM told
    ON CONFLICT (tenant_id, day, machine_guid, destination_guid) DO UPDATE SET
        machine_name = EXCLUDED.machine_name, plan_id = EXCLUDED.plan_id, plan_name = EXCLUDED.plan_name,
        stored_bytes = EXCLUDED.stored_bytes, machines = EXCLUDED.machines,
        protected_machines = EXCLUDED.protected_machines
        WHERE (kept.machine_name, kept.plan_id, kept.plan_name, kept.stored_bytes, kept.machines,
            kept.protected_machines) IS DISTINCT FROM (EXCLUDED.machine_name, EXCLUDED.plan_id, EXCLUDED.plan_name,
            EXCLUDED.stored_bytes, EXCLUDED.machines, EXCLUDED.protected_machines)
"""
_FORGET_TENANTS = """
    DELETE FROM reports_tenantusage WHERE (tenant_id, day) IN (
        SELECT id, (now() AT TIME ZONE time_zone)::date FROM tenants_tenant WHERE removed_at IS NULL
    )
"""
# A look at a tenant without machines is a record too: of nothing.
_TENANTS = """
    INSERT INTO reports_tenantusage (tenant_id, day, plan_id, plan_name, destination_guid, stored_bytes, machines,
        protected_machines)
    SELECT look.tenant_id, look.day, coalesce(plan_id, ''), coalesce(max(plan_name), ''),
        coalesce(destination_guid, ''), coalesce(sum(stored_bytes), 0), coalesce(sum(machines), 0),
        coalesce(sum(protected_machines), 0)
    FROM (
        SELECT id AS tenant_id, (now() AT TIME ZONE time_zone)::date AS day
        FROM tenants_tenant WHERE removed_at IS NULL
    ) look LEFT JOIN reports_machineusage kept ON kept.tenant_id = look.tenant_id AND kept.day = look.day
    GROUP BY look.tenant_id, look.day, kept.plan_id, kept.destination_guid
"""
# The days of each tenant from `first` on to the one before its record begins.
_MACHINES_BEFORE = """
    INSERT INTO reports_machineusage (tenant_id, day, machine_guid, machine_name, plan_id, plan_name,
        destination_guid, stored_bytes, machines, protected_machines)
    SELECT tenant.id, day::date, machine.guid,
        CASE WHEN machine.tenant_id = tenant.id THEN machine.name ELSE '' END, '', '',
        coalesce(copy.row ->> 'guid', ''), sum(b.size), 0, NULL
    FROM tenants_tenant tenant
    CROSS JOIN LATERAL generate_series(%(first)s::date, (
        SELECT min(day) FROM reports_tenantusage WHERE tenant_id = tenant.id
    ) - 1, interval '1 day') AS day
    JOIN vprotect_bridge_backup b ON b.tenant_id = tenant.id
        AND (b.sort_at AT TIME ZONE tenant.time_zone)::date <= day::date
    LEFT JOIN LATERAL jsonb_array_elements(b.destinations) AS copy(row) ON true
    JOIN vprotect_bridge_machine machine ON machine.id = b.machine_id
    WHERE tenant.removed_at IS NULL AND b.status IN ('SUCCESS', 'PARTIAL_SUCCESS') AND b.vanished_at IS NULL
        AND (copy.row IS NULL OR coalesce(copy.row ->> 'status', '') IN ('', 'PRESENT'))
    GROUP BY 1, 2, 3, 4, 7
"""
_TENANTS_BEFORE = """
    INSERT INTO reports_tenantusage (tenant_id, day, plan_id, plan_name, destination_guid, stored_bytes, machines,
        protected_machines)
    SELECT tenant_id, day, '', '', destination_guid, sum(stored_bytes), 0, NULL
    FROM reports_machineusage kept
    WHERE day < (SELECT min(day) FROM reports_tenantusage WHERE tenant_id = kept.tenant_id)
    GROUP BY tenant_id, day, destination_guid
"""
# All months from the one that begins on `since`.
_MONTHS = """
    WITH summed AS (
        SELECT tenant_id, date_trunc('month', day)::date AS month, machine_guid, max(machine_name) AS machine_name,
            plan_id, max(plan_name) AS plan_name, destination_guid, sum(stored_bytes)::bigint AS byte_days,
            coalesce(sum(protected_machines), 0) AS machine_days
        FROM reports_machineusage WHERE day >= %(since)s GROUP BY 1, 2, 3, 5, 7
    ), gone AS (
        DELETE FROM reports_machinemonth kept WHERE month >= %(since)s AND NOT EXISTS (
            SELECT FROM summed WHERE summed.tenant_id = kept.tenant_id AND summed.month = kept.month
                AND summed.machine_guid = kept.machine_guid AND summed.plan_id = kept.plan_id
                AND summed.destination_guid = kept.destination_guid
        )
    )
    INSERT INTO reports_machinemonth AS kept (tenant_id, month, machine_guid, machine_name, plan_id, plan_name,
        destination_guid, byte_days, machine_days)
    SELECT tenant_id, month, machine_guid, machine_name, plan_id, plan_name, destination_guid, byte_days, machine_days
    FROM summed
    ON CONFLICT (tenant_id, month, machine_guid, plan_id, destination_guid) DO UPDATE SET
        machine_name = EXCLUDED.machine_name, plan_name = EXCLUDED.plan_name, byte_days = EXCLUDED.byte_days,
        machine_days = EXCLUDED.machine_days
        WHERE (kept.machine_name, kept.plan_name, kept.byte_days, kept.machine_days) IS DISTINCT FROM
            (EXCLUDED.machine_name, EXCLUDED.plan_name, EXCLUDED.byte_days, EXCLUDED.machine_days)
"""


@transaction.atomic
def record_usage() -> None:
    """Of today, by each tenant's own day. Twice is as good as once."""
    # No tenant's own day is further back than yesterday.
    since = Month.of(timezone.now().date() - timedelta(days=1)).first
    with connection.cursor() as cursor:
        for statement in (_ALONE, _WHOLE_TABLES, _MACHINES, _FORGET_TENANTS, _TENANTS):
            cursor.execute(statement)
        cursor.execute(_MONTHS, {"since": since})


@transaction.atomic
def reconstruct_usage(first: date) -> int:
    """Puts together the days from `first` on that come before each tenant's record; returns how many rows that are.

    A tenant without any record gets none: there is nothing to begin before.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ALONE)
        cursor.execute(_MACHINES_BEFORE, {"first": first})
        rows = cursor.rowcount
        cursor.execute(_TENANTS_BEFORE)
        cursor.execute(_MONTHS, {"since": Month.of(first).first})
    return rows


def forget_old_usage(today: date) -> int:
    """Months that ended more than `USAGE_RETENTION_DAYS` ago (0 = kept for ever), and all of tenants that were removed.

    Whole months: what is left of one would be its bill.
    """
    removed = 0
    kept_from = Month.of(today - timedelta(days=settings.USAGE_RETENTION_DAYS)).first
    for tenant in Tenant.objects.all():
        if tenant.removed_at is None and not settings.USAGE_RETENTION_DAYS:
            continue
        for model, field in ((MachineUsage, "day"), (TenantUsage, "day"), (MachineMonth, "month")):
            rows = model.across_tenants.filter(tenant=tenant)
            rows = rows if tenant.removed_at else rows.filter(**{f"{field}__lt": kept_from})
            removed += rows._raw_delete(rows.db) or 0
    return removed
