"""Rights on the mirror, on operations and on the connection to vProtect (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_TENANT, EVERYTHING, Access, tenant_owned


def _granted(kind: str) -> Access:
    """Shared infrastructure, of which a tenant sees what it was granted."""
    rows = (
        "guid IN (SELECT g.guid FROM tenants_grant g"  # noqa: S608 — constants only
        f" WHERE g.kind = '{kind}' AND g.tenant_id = {CURRENT_TENANT})"
    )
    return Access(web="SELECT", operator="SELECT", worker=EVERYTHING, rows=rows)


TABLES = {
    "vprotect_bridge_machine": tenant_owned(
        web="SELECT, UPDATE (details_wanted_at, backups_wanted_at)", operator="SELECT, UPDATE"
    ),
    "vprotect_bridge_ownerchange": Access(
        operator="SELECT, UPDATE", worker=EVERYTHING, reason="between tenants; not for web"
    ),
    "vprotect_bridge_backup": tenant_owned(web="SELECT", operator="SELECT, UPDATE"),
    # Written by triggers alone, with the rights of the tables' owner.
    "vprotect_bridge_backupday": tenant_owned(web="SELECT", operator="SELECT", worker="SELECT"),
    "vprotect_bridge_destination": _granted("destination"),
    "vprotect_bridge_hypervisor": _granted("hypervisor"),
    "vprotect_bridge_cluster": _granted("cluster"),
    "vprotect_bridge_storage": _granted("storage"),
    "vprotect_bridge_operation": tenant_owned(web="SELECT, INSERT, UPDATE (cancel_wanted_at)", operator=EVERYTHING),
    "vprotect_bridge_bulkrequest": tenant_owned(web="SELECT, INSERT", operator="SELECT, DELETE"),
    "vprotect_bridge_operationtask": tenant_owned(web="SELECT", operator="SELECT, DELETE"),
    # What happened is for everybody; how vProtect put it (`detail`) names other people's infrastructure: not for web.
    "vprotect_bridge_operationevent": tenant_owned(
        web="INSERT, SELECT (id, tenant_id, operation_id, at, moved_from, moved_to)", operator="SELECT, INSERT, DELETE"
    ),
    # What vProtect holds under names of all tenants: web reads what of it is in a tenant's plan.
    "vprotect_bridge_policy": Access(operator="SELECT", worker=EVERYTHING, reason="names of all tenants; not for web"),
    "vprotect_bridge_schedule": Access(
        operator="SELECT", worker=EVERYTHING, reason="names of all tenants; not for web"
    ),
    "vprotect_bridge_plan": tenant_owned(web="SELECT, INSERT, UPDATE (look_wanted_at)", operator="SELECT, DELETE"),
    "vprotect_bridge_planchange": tenant_owned(
        web="SELECT, INSERT, UPDATE (state, next_at, decided_at)", operator="SELECT, UPDATE, DELETE"
    ),
    "vprotect_bridge_alert": tenant_owned(web="SELECT", operator="SELECT, DELETE"),
    "vprotect_bridge_question": tenant_owned(web="SELECT, INSERT", operator="SELECT, DELETE"),
    "vprotect_bridge_mount": tenant_owned(web="SELECT, UPDATE (close_wanted_at)", operator="SELECT, DELETE"),
    # What is inside machines is for their tenants alone.
    "vprotect_bridge_folder": tenant_owned(
        web="SELECT, INSERT, UPDATE (asked_at, answered_at, problem)", operator="SELECT (id, tenant_id), DELETE"
    ),
    "vprotect_bridge_fileentry": tenant_owned(web="SELECT", operator="SELECT (id, tenant_id), DELETE"),
    "vprotect_bridge_chosenentry": tenant_owned(
        web="SELECT, INSERT, DELETE", operator="SELECT (id, tenant_id), DELETE"
    ),
    "vprotect_bridge_download": tenant_owned(
        web="SELECT, INSERT, UPDATE (cancel_wanted_at, taken_at)",
        operator="SELECT (id, tenant_id, mount_id, created_by_id, created_at, client_key, correlation_id, is_archive,"
        " state, problem, attempts, next_at, reserved_bytes, expected_bytes, received_bytes, file_count,"
        " left_out_count, finished_at, expires_at, taken_at, cancel_wanted_at), DELETE",
    ),
    "vprotect_bridge_upstreamstatus": Access(
        web="SELECT", operator="SELECT, UPDATE", worker=EVERYTHING, reason="one row, how vProtect is"
    ),
    # Operators see when it logged in and whether it may, never the session itself.
    "vprotect_bridge_upstreamsession": Access(
        operator="SELECT (id, logged_in_at, refused_logins, login_paused_until), UPDATE (login_paused_until)",
        worker=EVERYTHING,
        reason="the service account's session: workers only",
    ),
}
