"""Triggers count how backups went day by day, so that no way of writing backups forgets it."""

from django.db import migrations

# Adds what `rows` (each with a `sign`) come to. One statement for all of a statement's rows, in the order of the key,
# so that two workers never wait for each other. What is counted is said once more in `backup_days.days_of`.
COUNT = """
    INSERT INTO vprotect_bridge_backupday AS kept (tenant_id, day, destination_guid,
        succeeded, with_warnings, failed, size, restorable_size, timed, duration_ms)
    SELECT tenant.id, (b.sort_at AT TIME ZONE tenant.time_zone)::date, coalesce(b.destinations->0->>'guid', ''),
        coalesce(sum(b.sign) FILTER (WHERE b.status IN ('SUCCESS', 'SUCCESS_REMOVED')), 0),
        coalesce(sum(b.sign) FILTER (WHERE b.status = 'PARTIAL_SUCCESS'), 0),
        coalesce(sum(b.sign) FILTER (WHERE b.status = 'FAILED'), 0),
        coalesce(sum(b.sign * b.size) FILTER (WHERE b.status <> 'FAILED'), 0),
        coalesce(sum(b.sign * b.size)
            FILTER (WHERE b.status IN ('SUCCESS', 'PARTIAL_SUCCESS') AND b.vanished_at IS NULL), 0),
        coalesce(sum(b.sign) FILTER (WHERE b.status <> 'FAILED' AND b.duration_ms IS NOT NULL), 0),
        coalesce(sum(b.sign * b.duration_ms) FILTER (WHERE b.status <> 'FAILED'), 0)
    FROM ({rows}) b JOIN tenants_tenant tenant ON tenant.id = b.tenant_id
    WHERE b.status IN ('SUCCESS', 'PARTIAL_SUCCESS', 'SUCCESS_REMOVED', 'FAILED')
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, day, destination_guid) DO UPDATE SET
        succeeded = kept.succeeded + EXCLUDED.succeeded,
        with_warnings = kept.with_warnings + EXCLUDED.with_warnings,
        failed = kept.failed + EXCLUDED.failed,
        size = kept.size + EXCLUDED.size,
        restorable_size = kept.restorable_size + EXCLUDED.restorable_size,
        timed = kept.timed + EXCLUDED.timed,
        duration_ms = kept.duration_ms + EXCLUDED.duration_ms
        WHERE (EXCLUDED.succeeded, EXCLUDED.with_warnings, EXCLUDED.failed, EXCLUDED.size, EXCLUDED.restorable_size,
            EXCLUDED.timed, EXCLUDED.duration_ms) <> (0, 0, 0, 0, 0, 0, 0);
"""
COLUMNS = "tenant_id, sort_at, destinations, status, size, duration_ms, vanished_at"
CAME, WENT = f"SELECT 1 AS sign, {COLUMNS} FROM came", f"SELECT -1 AS sign, {COLUMNS} FROM went"
# A tenant's zone does not change between being read here and the end of the transaction.
HOLD_ZONE = """
    PERFORM pg_advisory_xact_lock_shared(hashtext('backup days'), tenant_id::integer)
    FROM (SELECT DISTINCT tenant_id FROM ({rows}) b WHERE tenant_id IS NOT NULL ORDER BY 1) tenants;
"""
# A day of which no backup is left in the mirror.
FORGET = """
    DELETE FROM vprotect_bridge_backupday WHERE (succeeded, with_warnings, failed) = (0, 0, 0)
        AND (tenant_id, day) IN (SELECT tenant.id, (went.sort_at AT TIME ZONE tenant.time_zone)::date
            FROM went JOIN tenants_tenant tenant ON tenant.id = went.tenant_id);
"""
# With the rights of the tables' owner: nobody else writes these rows.
FUNCTION = """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN {body} RETURN NULL; END $$;
"""
ON_BACKUP = """
    CREATE TRIGGER {name} AFTER {event} ON vprotect_bridge_backup REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION {name}();
"""


def counter(name: str, event: str, tables: str, rows: str, after: str = "") -> str:
    body = HOLD_ZONE.format(rows=rows) + COUNT.format(rows=rows) + after
    return FUNCTION.format(name=name, body=body) + ON_BACKUP.format(name=name, event=event, tables=tables)


OF_TENANT = f"SELECT 1 AS sign, {COLUMNS} FROM vprotect_bridge_backup WHERE tenant_id = NEW.id"
REBUILD = """
    PERFORM pg_advisory_xact_lock(hashtext('backup days'), NEW.id::integer);
    DELETE FROM vprotect_bridge_backupday WHERE tenant_id = NEW.id;
"""
APPLY = (
    counter("backups_came", "INSERT", "NEW TABLE AS came", CAME)
    + counter("backups_went", "DELETE", "OLD TABLE AS went", WENT, FORGET)
    + counter("backups_changed", "UPDATE", "OLD TABLE AS went NEW TABLE AS came", f"{CAME} UNION ALL {WENT}", FORGET)
    + FUNCTION.format(name="backup_days_in_new_zone", body=REBUILD + COUNT.format(rows=OF_TENANT))
    + """
    CREATE TRIGGER backup_days_in_new_zone AFTER UPDATE OF time_zone ON tenants_tenant
    FOR EACH ROW WHEN (OLD.time_zone <> NEW.time_zone) EXECUTE FUNCTION backup_days_in_new_zone();
    """
    + COUNT.format(rows=f"SELECT 1 AS sign, {COLUMNS} FROM vprotect_bridge_backup")
)
REMOVE = "DROP TRIGGER backup_days_in_new_zone ON tenants_tenant; DROP FUNCTION backup_days_in_new_zone();" + "".join(
    f"DROP TRIGGER {name} ON vprotect_bridge_backup; DROP FUNCTION {name}();"
    for name in ("backups_came", "backups_went", "backups_changed")
)


class Migration(migrations.Migration):
    dependencies = [("vprotect_bridge", "0013_backup_days")]
    operations = [migrations.RunSQL(APPLY, REMOVE)]
