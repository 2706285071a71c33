"""Rights on the tables of tenancy and of the libraries beneath it (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_TENANT, CURRENT_USER, EVERYTHING, OF_CURRENT_TENANT, Access, tenant_owned

_PEOPLE = "people span tenants, and are read before it is known who they are"
_OWN = f"SELECT tenant_id FROM tenants_membership WHERE user_id = {CURRENT_USER}"  # noqa: S608 — constants only
_BY_LINK = "current_setting('app.invitation', true)"
_BY_NAME = "current_setting('app.identity_provider', true)"
_DJANGO = "holds no tenant's data"

TABLES = {
    # Whoever was invited becomes a person here, never an operator; a trigger keeps web from making one later.
    "tenants_user": Access(
        web="SELECT, INSERT, UPDATE",
        operator=EVERYTHING,
        worker="SELECT",
        rows="true",
        inserted="NOT is_staff AND NOT is_superuser",
    ),
    # A person's own tenants and memberships; while a tenant is set, everybody's in it.
    "tenants_tenant": Access(
        web="SELECT, UPDATE (time_zone, second_factor_required, target_hours)",
        operator=EVERYTHING,
        worker="SELECT",
        rows=f"id = {CURRENT_TENANT} OR id IN ({_OWN})",
        written=f"id = {CURRENT_TENANT}",
    ),
    "tenants_membership": Access(
        web="SELECT, INSERT, UPDATE (role, machine_guids, may_open_backups, last_seen_at), DELETE",
        operator=EVERYTHING,
        worker="SELECT",
        rows=f"{OF_CURRENT_TENANT} OR user_id = {CURRENT_USER}",
        written=OF_CURRENT_TENANT,
    ),
    # Of one tenant, or the one whose link was opened.
    "tenants_invitation": Access(
        web="SELECT, INSERT, UPDATE (accepted_at, accepted_by_id, revoked_at)",
        operator=EVERYTHING,
        rows=f"{OF_CURRENT_TENANT} OR token_hash = {_BY_LINK}",
        written=OF_CURRENT_TENANT,
    ),
    # Of the person's tenants, or the one that somebody signs in through. Only a secret's cipher is in it.
    "tenants_identityprovider": Access(
        web="SELECT",
        operator=EVERYTHING,
        # Whether a mail may have a file enclosed; nothing of the sign-in itself.
        worker="SELECT (tenant_id, only_single_sign_on)",
        rows=f"{OF_CURRENT_TENANT} OR tenant_id IN ({_OWN}) OR slug = {_BY_NAME}",
    ),
    "tenants_brand": Access(
        web="SELECT", operator=EVERYTHING, worker="SELECT", rows=f"{OF_CURRENT_TENANT} OR tenant_id IN ({_OWN})"
    ),
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
    "mfa_authenticator": Access(web=EVERYTHING, operator=EVERYTHING, reason=_PEOPLE),
    "socialaccount_socialaccount": Access(web=EVERYTHING, operator="SELECT, DELETE", reason=_PEOPLE),
    "socialaccount_socialapp": Access(reason="unused: identity providers are the tenants' own"),
    "socialaccount_socialtoken": Access(reason="unused: no token is kept"),
    "usersessions_usersession": Access(web=EVERYTHING, operator=EVERYTHING, reason=_PEOPLE),
    "portal_cache": Access(web=EVERYTHING, operator=EVERYTHING, worker=EVERYTHING, reason="counts of login attempts"),
}
