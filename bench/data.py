"""The installation that is measured: made inside PostgreSQL once, kept as databases that a run copies.

500 tenants own 20,000 machines, the first of them 5,000, the second 50; 1,200,000 backups and 800,000 operations lie
behind them, 200 operations are open, and five people of each of their tenants watch. Two tenants more, in the
database of the pages alone, own 20,000 machines and 200. Everything follows from numbers, so that two runs measure
the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import psycopg
from psycopg import sql

from vprotect_simulator.names import guid_of

TENANTS, MACHINES, BIG, SMALL = 500, 20_000, 5_000, 50
MANY, FEW = 20_000, 200
BIG_TENANT, SMALL_TENANT, MANY_TENANT, FEW_TENANT = 1, 2, TENANTS + 1, TENANTS + 2
FIRST_WATCHED, OPEN_OPERATIONS, WATCHERS_OF_EACH = 3, 200, 5
# Squares of the last thirty days want young data.
LASTS_SECONDS = 5 * 24 * 3600
DESTINATIONS = ("primary-fs", "offsite-s3", "archive-tape")


@dataclass(frozen=True)
class Size:
    """How much history lies behind each machine."""

    name: str
    backups: int
    operations: int


FULL, QUICK = Size("full", backups=60, operations=40), Size("quick", backups=5, operations=3)


def slug(tenant: int) -> str:
    return f"t-{tenant:03d}"


def tenant_value(tenant: int) -> str:
    return hashlib.md5(f"tenant {tenant}".encode(), usedforsecurity=False).hexdigest()


def machines_of(tenant: int) -> int:
    special = {BIG_TENANT: BIG, SMALL_TENANT: SMALL, MANY_TENANT: MANY, FEW_TENANT: FEW}
    if tenant in special:
        return special[tenant]
    others = TENANTS - 2
    usual, left = divmod(MACHINES - BIG - SMALL, others)
    return usual + (tenant - 3 < left)


def machine_names(tenants: range) -> Iterator[tuple[int, str]]:
    """Tenant and name of each machine; the simulated vProtect makes its GUIDs of the same names."""
    for tenant in tenants:
        for number in range(1, machines_of(tenant) + 1):
            yield tenant, machine_name(tenant, number)


def machine_name(tenant: int, number: int) -> str:
    return f"vm-{tenant:03d}-{number:05d}"


def machine_guid(tenant: int, number: int) -> str:
    return guid_of(f"vm/{machine_name(tenant, number)}")


def task_guid(tenant: int) -> str:
    """Of the operation that is open in this tenant."""
    return guid_of(f"task/{tenant}")


def watched_tenants() -> range:
    return range(FIRST_WATCHED, FIRST_WATCHED + OPEN_OPERATIONS)


# ── Databases ────────────────────────────────────────────────────────────────


def fingerprint(root: Path) -> str:
    """Another one as soon as the tables or what fills them changed."""
    files = [Path(__file__), *sorted(root.glob("*/migrations/*.py")), *sorted(root.glob("*/database_access.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class Databases:
    """`start` has tenants and people, `history` all of it, `pages` the two tenants more; the others are copies."""

    def __init__(self, admin_url: str, note: Path, mark: str) -> None:
        self._admin_url, self._note, self._mark = admin_url, note, mark

    def are_ready(self) -> bool:
        try:
            kept = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return False
        return kept["mark"] == self._mark and time.time() - kept["made_at"] < LASTS_SECONDS

    def note_ready(self) -> None:
        self._note.write_text(json.dumps({"mark": self._mark, "made_at": time.time()}))

    def copy(self, source: str, target: str) -> None:
        with psycopg.connect(self._admin_url, autocommit=True) as pg:
            self._drop(pg, target)
            names = sql.Identifier(target), sql.Identifier(source)
            pg.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY OWNER portal_owner").format(*names))

    def drop_all(self, names: dict[str, str]) -> None:
        self._note.unlink(missing_ok=True)
        with psycopg.connect(self._admin_url, autocommit=True) as pg:
            for name in names.values():
                self._drop(pg, name)

    @staticmethod
    def _drop(pg: psycopg.Connection, name: str) -> None:
        pg.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


# ── What is in them ──────────────────────────────────────────────────────────


def fill_start(url: str) -> None:
    with _loading(url) as pg:
        pg.execute(_TENANTS, {"last": FEW_TENANT})
        pg.cursor().executemany(
            "INSERT INTO tenants_claim (tenant_id, kind, value, created_at) VALUES (%s, 'tenant_value', %s, now())",
            [(tenant, tenant_value(tenant)) for tenant in range(1, FEW_TENANT + 1)],
        )
        watched = watched_tenants()
        pg.execute(_PEOPLE, {"first": watched[0], "end": watched[-1], "each": WATCHERS_OF_EACH})
        pg.execute(_MEMBERSHIPS)
        pg.execute(_DESTINATIONS, {"guids": [guid_of(f"destination/{name}") for name in DESTINATIONS]})
        pg.execute(_PLANS)
        pg.execute(_STATUS)


def fill_history(url: str, size: Size) -> None:
    with _loading(url) as pg:
        _fill_machines(pg, range(1, TENANTS + 1), size)
        watched = watched_tenants()
        open_ones = [(tenant, machine_guid(tenant, 1), task_guid(tenant)) for tenant in watched]
        pg.execute("CREATE TEMP TABLE wanted (tenant bigint, machine text, task text)")
        pg.cursor().executemany("INSERT INTO wanted VALUES (%s, %s, %s)", open_ones)
        pg.execute(_OPEN_OPERATIONS)
    _tidy(url)


def fill_pages(url: str) -> None:
    with _loading(url) as pg:
        _fill_machines(pg, range(MANY_TENANT, FEW_TENANT + 1), QUICK)
    _tidy(url)


def _fill_machines(pg: psycopg.Connection, tenants: range, size: Size) -> None:
    pg.execute("CREATE TEMP TABLE given (n bigserial, tenant bigint, name text, guid text)")
    with pg.cursor().copy("COPY given (tenant, name, guid) FROM STDIN") as copy:
        for tenant, name in machine_names(tenants):
            copy.write_row((tenant, name, guid_of(f"vm/{name}")))
    values = {tenant: tenant_value(tenant) for tenant in tenants}
    pg.execute("CREATE TEMP TABLE value_of (tenant bigint PRIMARY KEY, value text)")
    pg.cursor().executemany("INSERT INTO value_of VALUES (%s, %s)", list(values.items()))
    pg.execute(_MACHINES)
    pg.execute("CREATE TEMP TABLE mine AS SELECT m.* FROM vprotect_bridge_machine m JOIN given USING (guid)")
    pg.execute("ANALYZE mine")
    destination = guid_of(f"destination/{DESTINATIONS[0]}")
    pg.execute(_BACKUPS, {"backups": size.backups, "destination": destination})
    pg.execute(_OPERATIONS, {"operations": size.operations, "destination": destination})
    counting = import_module("vprotect_bridge.migrations.0014_backup_days_are_counted")
    came = f"SELECT 1 AS sign, {counting.COLUMNS} FROM vprotect_bridge_backup WHERE tenant_id = ANY(%(tenants)s)"
    pg.execute(counting.COUNT.format(rows=came), {"tenants": list(tenants)})


def _loading(url: str) -> psycopg.Connection:
    """Triggers and foreign keys are off: what is loaded is right, and nothing has to be counted row by row."""
    pg = psycopg.connect(url)
    pg.execute(
        "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'"
    )
    return pg


def _tidy(url: str) -> None:
    """As a database is that has been running: without it, each first page would pay for hint bits and plans."""
    with psycopg.connect(url, autocommit=True) as pg:
        pg.execute("VACUUM (FREEZE, ANALYZE)")


_TENANTS = """
    INSERT INTO tenants_tenant (id, name, slug, is_active, time_zone, priority_cap, created_at,
        second_factor_required, download_cap_gib, mount_cap)
    SELECT n, 'Tenant ' || n, 't-' || to_char(n, 'FM000'), true, 'Europe/Berlin', 50, now(), false, 20, 2
    FROM generate_series(1, %(last)s) n
"""
_PEOPLE = """
    INSERT INTO tenants_user (id, password, is_superuser, first_name, last_name, is_staff, is_active, date_joined,
        email, name, language, theme, time_zone)
    SELECT tenant.id * 10 + k, '!', false, '', '', false, true, now(),
        'person-' || k || '@' || tenant.slug || '.example', '', '', 'system', ''
    FROM tenants_tenant tenant, generate_series(1, CASE WHEN tenant.id BETWEEN %(first)s AND %(end)s
        THEN %(each)s ELSE 1 END) k
"""
_MEMBERSHIPS = """
    INSERT INTO tenants_membership (user_id, tenant_id, role, created_at, last_seen_at, may_open_backups)
    SELECT id, id / 10, CASE WHEN id %% 10 = 1 THEN 'admin' ELSE 'viewer' END, now(), now(), false FROM tenants_user
""".replace("%%", "%")
_DESTINATIONS = """
    WITH made AS (
        INSERT INTO vprotect_bridge_destination (guid, name, type, is_default, capacity, used)
        SELECT guid, 'destination ' || n, 'FILESYSTEM', n = 1, 1e14, 5e13
        FROM unnest(%(guids)s::text[]) WITH ORDINALITY AS given(guid, n) RETURNING guid
    )
    INSERT INTO tenants_grant (tenant_id, kind, guid, name, created_at)
    SELECT tenant.id, 'destination', made.guid, '', now() FROM tenants_tenant tenant, made
"""
# Two plans for each tenant: nightly and weekly, as vProtect would hold them.
_PLANS = """
    WITH plan AS (
        SELECT tenant.id AS tenant_id, k, 'policy-' || tenant.id || '-' || k AS guid, 'plan-' || tenant.id || '-' || k
            AS name, (SELECT guid FROM vprotect_bridge_destination ORDER BY id LIMIT 1) AS destination
        FROM tenants_tenant tenant, generate_series(1, 2) k
    ), facts AS (
        SELECT plan.*, jsonb_build_array(jsonb_build_object('guid', 'rule-' || guid, 'name', name, 'active', true,
            'position', null, 'schedule_guids', jsonb_build_array('schedule-' || guid),
            'destination_guids', jsonb_build_array(destination), 'destinations', '[]'::jsonb)) AS rules,
            jsonb_build_object('guid', 'schedule-' || guid, 'name', name, 'active', true, 'backup_type', 'FULL',
            'execution_type', 'TIME', 'hour_ms', 7200000, 'start_ms', null, 'end_ms', null, 'frequency_ms', null,
            'window_ms', 14400000, 'days', CASE k WHEN 1 THEN
                '["FRIDAY","MONDAY","SATURDAY","SUNDAY","THURSDAY","TUESDAY","WEDNESDAY"]'::jsonb
                ELSE '["SUNDAY"]'::jsonb END, 'months', '[]'::jsonb, 'occurrences', '[]'::jsonb,
            'rule_guids', jsonb_build_array('rule-' || guid), 'tenant_value', '') AS schedule
        FROM plan
    ), policies AS (
        INSERT INTO vprotect_bridge_policy (guid, name, tenant_value, auto_assign_mode, standing, rules, row_digest)
        SELECT guid, name, '', 'DISABLED', 'acting', rules, '' FROM facts
    ), schedules AS (
        INSERT INTO vprotect_bridge_schedule (guid, name, tenant_value, rule_guids, facts, row_digest)
        SELECT schedule->>'guid', name, '', schedule->'rule_guids', schedule, '' FROM facts
    )
    INSERT INTO vprotect_bridge_plan (id, name, is_made_here, created_at, time_zone, schedules, destination_guid,
        priority, removes_absent_machines, upstream_name, policy_guid, rule_guid, schedule_guids, held, held_digest,
        held_at, is_editable, standing, has_incremental, tenant_id)
    SELECT uuidv7(), CASE k WHEN 1 THEN 'Every night' ELSE 'Every week' END, true, now(), 'Europe/Berlin', '[]',
        destination, 50, false, name, guid, 'rule-' || guid, jsonb_build_array(schedule->>'guid'), jsonb_build_object(
            'policy', jsonb_build_object('guid', guid, 'name', name, 'active', true, 'vm_guids', '[]'::jsonb,
                'priority', 50, 'removes_absent_machines', false, 'auto_assign_mode', 'DISABLED', 'tenant_value', ''),
            'rules', rules, 'schedules', jsonb_build_array(schedule)), 'held', now(), true, 'acting', false, tenant_id
    FROM facts
"""
_STATUS = """
    UPDATE vprotect_bridge_upstreamstatus
    SET inventory_at = now() + interval '5 days', followed_at = now(), marker_fidelity = 'ms'
"""
_MACHINES = """
    INSERT INTO vprotect_bridge_machine (guid, name, uuid, present, platform, is_standalone_hypervisor,
        hypervisor_guid, hypervisor_name, hv_manager_guid, cluster_name, project_guid, project_name, tenant_value,
        policy_guid, policy_name, backup_up_to_date, last_backup_at, last_size, last_full_size, warnings_present, tags,
        row_digest, details, details_at, backups_at, tenant_id, owned_by, owner_value, protection, last_success_at,
        first_seen_at, changed_at)
    SELECT guid, name, guid, true, CASE n % 3 WHEN 0 THEN 'RHV' ELSE 'OPENSTACK' END, false, 'host-' || n % 40,
        'hv-' || n % 40, 'manager', 'cluster', 'project-' || tenant, 'Project ' || tenant, value,
        CASE WHEN fate = 'unprotected' THEN '' ELSE 'policy-' || tenant || '-' || 1 + n % 2 END,
        CASE WHEN fate = 'unprotected' THEN '' ELSE 'plan-' || tenant || '-' || 1 + n % 2 END,
        CASE fate WHEN 'protected' THEN true WHEN 'overdue' THEN false END, now() - n % 24 * interval '1 hour',
        1e9 + n * 1000, 5e9 + n * 1000, false, '["production"]', '', '{"supportsQuiesceSnapshot": true}', now(), now(),
        tenant, 'tenant_id', value, fate, now() - n % 24 * interval '1 hour', now() - interval '1 year', now()
    FROM given JOIN value_of USING (tenant), LATERAL (SELECT CASE WHEN n % 20 < 16 THEN 'protected'
        WHEN n % 20 = 16 THEN 'failed' WHEN n % 20 = 17 THEN 'overdue' WHEN n % 20 = 18 THEN 'unprotected'
        WHEN n % 40 = 19 THEN 'paused' ELSE 'unknown' END AS fate) f
    ORDER BY n
"""
_BACKUPS = """
    INSERT INTO vprotect_bridge_backup (guid, tenant_id, machine_id, status, type, status_info, backup_at, snapshot_at,
        sort_at, size, parent_guid, destinations, queued_export_ms, export_ms, queued_store_ms, store_ms, duration_ms,
        origin, warnings, row_digest)
    SELECT m.guid || '-' || k, m.tenant_id, m.id,
        CASE WHEN (k = 1 AND m.protection = 'failed') OR (m.id + k) % 53 = 0 THEN 'FAILED'
            WHEN (m.id + k) % 31 = 0 THEN 'PARTIAL_SUCCESS' WHEN k > 45 THEN 'SUCCESS_REMOVED' ELSE 'SUCCESS' END,
        CASE k % 7 WHEN 0 THEN 'FULL' ELSE 'INCREMENTAL' END, 'Backup of the machine stored.',
        at, at, at, 1e9 + m.id, '', jsonb_build_array(jsonb_build_object('guid', %(destination)s::text,
            'name', 'destination 1', 'role', 'PRIMARY', 'status', 'PRESENT', 'location_guid', '')),
        30000, 600000, 5000, 300000, 900000, 'SCHEDULE', '[]', ''
    FROM mine m, generate_series(1, %(backups)s) k,
        LATERAL (SELECT now() - k * interval '1 day' + m.id %% 1440 * interval '1 minute' AS at) t
    ORDER BY k DESC, m.id
""".replace(" % ", " %% ")
_OPERATIONS = """
    INSERT INTO vprotect_bridge_operation (id, tenant_id, origin, kind, machine_id, subject_guid, created_by_id,
        created_at, client_key, is_bulk, correlation_id, request, marker_ws_ms, marker_we_ms, deadline_at, submission,
        fence, attempts, next_at, claimed_at, sent_at, absent_seen, baseline, adopted, task_guid, backup_guid,
        restore_job_guid, restored_guid, phase, outcome, progress, made_type, user_message, started_at, finished_at,
        version)
    SELECT uuidv7(at - now()), m.tenant_id, CASE WHEN is_ours THEN 'portal' ELSE 'schedule' END,
        CASE WHEN (m.id + k) % 40 = 0 THEN 'restore' ELSE 'backup' END, m.id, m.guid,
        CASE WHEN is_ours THEN m.tenant_id * 10 + 1 END, at, gen_random_uuid(), false, '-',
        jsonb_build_object('backup_type', 'FULL', 'destination_guid', %(destination)s::text, 'priority', 50),
        CASE WHEN is_ours THEN extract(epoch FROM at)::bigint * 1000 END,
        CASE WHEN is_ours THEN extract(epoch FROM at)::bigint * 1000 + 21600000 END,
        CASE WHEN is_ours THEN at + interval '5 hours' END, 'accepted', 1, 1, at, at, at, 0, '[]', false,
        m.guid || '-t' || k, m.guid || '-' || k, '', '', '',
        CASE WHEN (m.id + k) % 53 = 0 THEN 'failed' WHEN (m.id + k) % 31 = 0 THEN 'partial' ELSE 'succeeded' END,
        100, 'FULL', '', at, at + interval '15 minutes', 12
    FROM mine m, generate_series(1, %(operations)s) k,
        LATERAL (SELECT now() - k * interval '36 hours' + m.id %% 1440 * interval '1 minute' AS at,
            (m.id + k) %% 4 = 0 AS is_ours) t
    ORDER BY k DESC, m.id
""".replace(" % ", " %% ")
_OPEN_OPERATIONS = """
    INSERT INTO vprotect_bridge_operation (id, tenant_id, origin, kind, machine_id, subject_guid, created_at,
        client_key, is_bulk, correlation_id, request, submission, fence, attempts, next_at, absent_seen, baseline,
        adopted, task_guid, backup_guid, restore_job_guid, restored_guid, phase, outcome, progress, made_type,
        user_message, started_at, version)
    SELECT uuidv7(), m.tenant_id, 'schedule', 'backup', m.id, m.guid, now(), gen_random_uuid(), false, '-',
        '{"task_type": "EXPORT", "backup_type": "FULL", "destination_guid": "", "name": ""}', 'accepted', 0, 0, now(),
        0, '[]', false, wanted.task, '', '', '', 'exporting', '', 10, '', '', now(), 3
    FROM wanted JOIN vprotect_bridge_machine m ON m.guid = wanted.machine
"""
