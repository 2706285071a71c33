"""Rights on the record of usage, on prices and on what is asked for (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_TENANT, EVERYTHING, OF_CURRENT_TENANT, Access, tenant_owned

_BY_ADDRESS = "current_setting('app.calendar', true)"

TABLES = {
    # Of one tenant, or the one whose address was asked for.
    "reports_calendarfeed": Access(
        web="SELECT, INSERT, UPDATE (token_hash, provider_key, created_at, last_used_at), DELETE",
        operator="SELECT (id, tenant_id, user_id), DELETE",
        worker=EVERYTHING,
        rows=f"{OF_CURRENT_TENANT} OR token_hash = {_BY_ADDRESS}",
        written=OF_CURRENT_TENANT,
    ),
    "reports_chargebacksize": Access(operator="SELECT", worker=EVERYTHING, reason="of all tenants; not for web"),
    "reports_machineusage": tenant_owned(web="SELECT", operator="SELECT"),
    "reports_machinemonth": tenant_owned(web="SELECT", operator="SELECT"),
    "reports_tenantusage": tenant_owned(web="SELECT", operator="SELECT"),
    "reports_reportsubscription": tenant_owned(
        web="SELECT, INSERT, UPDATE (every, enclosed, next_at), DELETE", operator="SELECT, DELETE"
    ),
    "reports_reportmail": tenant_owned(operator="SELECT, DELETE"),
    "reports_reportfile": tenant_owned(
        web="SELECT, INSERT, UPDATE (state)", operator="SELECT (id, tenant_id, created_by_id), DELETE"
    ),
    # A tenant's own, and those of all; none at all while no tenant is set.
    "reports_price": Access(
        web="SELECT",
        operator=EVERYTHING,
        worker="SELECT",
        rows=f"{OF_CURRENT_TENANT} OR tenant_id IS NULL AND {CURRENT_TENANT} IS NOT NULL",
    ),
}
