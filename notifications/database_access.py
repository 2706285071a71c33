"""Rights on what people are told (see `tenants.database_roles`)."""

from tenants.database_roles import CURRENT_USER, Access, tenant_owned

TABLES = {
    "notifications_event": tenant_owned(web="SELECT", operator="SELECT, DELETE"),
    "notifications_tenantchoices": tenant_owned(web="SELECT, INSERT, UPDATE", operator="SELECT, DELETE"),
    "notifications_personalchoices": tenant_owned(web="SELECT, INSERT, UPDATE", operator="SELECT, DELETE"),
    "notifications_notice": tenant_owned(web="SELECT, UPDATE (read_at)", operator="SELECT, DELETE"),
    # What a mail says is not kept. Operators have one sent again.
    "notifications_mail": tenant_owned(operator="SELECT, UPDATE (state, next_at, attempts), DELETE"),
    "notifications_digestclock": tenant_owned(web="SELECT, DELETE", operator="SELECT, DELETE"),
    # Only a secret's cipher is in it.
    "notifications_webhook": tenant_owned(
        web="SELECT, INSERT, UPDATE, DELETE",
        operator="SELECT, UPDATE (encrypted_secret, encrypted_former_secret), DELETE",
    ),
    "notifications_webhookdelivery": tenant_owned(
        web="SELECT, INSERT, UPDATE (state, next_at, attempts, problem), DELETE",
        operator="SELECT, UPDATE (state, next_at, attempts), DELETE",
    ),
    # A person's own, in every tenant.
    "notifications_mailtimes": Access(
        web="SELECT, INSERT, UPDATE", operator="SELECT, DELETE", worker="SELECT", rows=f"user_id = {CURRENT_USER}"
    ),
}
