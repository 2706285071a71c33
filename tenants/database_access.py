"""Rights on the tables of tenancy and of the libraries beneath it (see `tenants.database_roles`)."""

from tenants.database_roles import EVERYTHING, Access, tenant_owned

_PEOPLE = "people and their memberships span tenants; every request reads them before a tenant is known"
_DJANGO = "holds no tenant's data"

TABLES = {
    "tenants_user": Access(
        web="SELECT, UPDATE (password, last_login, name)",
        operator=EVERYTHING,
        worker="SELECT",
        reason=_PEOPLE,
    ),
    "tenants_tenant": Access(web="SELECT", operator=EVERYTHING, worker="SELECT", reason=_PEOPLE),
    "tenants_membership": Access(web="SELECT", operator=EVERYTHING, worker="SELECT", reason=_PEOPLE),
    "tenants_claim": tenant_owned(),
    "tenants_grant": tenant_owned(web="SELECT"),
    "tenants_auditentry": tenant_owned(web="SELECT, INSERT", operator="SELECT, INSERT", worker="SELECT, INSERT"),
    "tenants_user_groups": Access(operator=EVERYTHING, reason=_DJANGO),
    "tenants_user_user_permissions": Access(operator=EVERYTHING, reason=_DJANGO),
    "auth_group": Access(operator=EVERYTHING, reason=_DJANGO),
    "auth_group_permissions": Access(operator=EVERYTHING, reason=_DJANGO),
    "auth_permission": Access(operator="SELECT", reason=_DJANGO),
    "django_content_type": Access(web="SELECT", operator="SELECT", worker="SELECT", reason=_DJANGO),
    "django_migrations": Access(web="SELECT", operator="SELECT", worker="SELECT", reason=_DJANGO),
    "django_admin_log": Access(operator=EVERYTHING, reason="the operator site's own journal"),
    "django_session": Access(web=EVERYTHING, operator=EVERYTHING, reason="read before the person is known"),
    "account_emailaddress": Access(web=EVERYTHING, operator=EVERYTHING, reason=_PEOPLE),
    "account_emailconfirmation": Access(web=EVERYTHING, operator=EVERYTHING, reason=_PEOPLE),
    "portal_cache": Access(web=EVERYTHING, operator=EVERYTHING, worker=EVERYTHING, reason="counts of login attempts"),
}
