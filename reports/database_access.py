"""Rights on the record of usage, on prices and on what is asked for (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_TENANT, EVERYTHING, OF_CURRENT_TENANT, Access, tenant_owned

TABLES = {
    "reports_machineusage": tenant_owned(web="SELECT", operator="SELECT"),
    "reports_tenantusage": tenant_owned(web="SELECT", operator="SELECT"),
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
