"""Rights on the mirror, on operations and on the connection to vProtect (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_TENANT, EVERYTHING, Access, tenant_owned

_GRANTED = (
    "guid IN (SELECT g.guid FROM tenants_grant g"  # noqa: S608 — constants only
    f" WHERE g.kind = 'destination' AND g.tenant_id = {CURRENT_TENANT})"
)

TABLES = {
    "vprotect_bridge_machine": tenant_owned(
        web="SELECT, UPDATE (details_wanted_at, backups_wanted_at)", operator="SELECT, UPDATE"
    ),
    "vprotect_bridge_backup": tenant_owned(web="SELECT", operator="SELECT, UPDATE"),
    "vprotect_bridge_destination": Access(
        web="SELECT",
        operator="SELECT",
        worker=EVERYTHING,
        rows=_GRANTED,
    ),
    "vprotect_bridge_operation": tenant_owned(
        web="SELECT, INSERT, UPDATE (cancel_wanted_at)", operator="SELECT, INSERT, UPDATE"
    ),
    # Events may hold vProtect's original words, with names of other people's infrastructure: not for web.
    "vprotect_bridge_operationevent": tenant_owned(web="INSERT", operator="SELECT, INSERT"),
    "vprotect_bridge_question": tenant_owned(web="SELECT, INSERT", operator="SELECT"),
    "vprotect_bridge_upstreamstatus": Access(
        web="SELECT", operator="SELECT, UPDATE", worker=EVERYTHING, reason="one row, how vProtect is"
    ),
    "vprotect_bridge_upstreamsession": Access(worker=EVERYTHING, reason="the service account's session: workers only"),
}
