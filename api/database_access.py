"""Rights on what was answered (see `tenants.database_roles`)."""

from tenants.database_roles import tenant_owned

TABLES = {
    # Web forgets what is older than a day; a removed member's go with the tokens.
    "api_idempotencykey": tenant_owned(web="SELECT, INSERT, DELETE", operator="SELECT, DELETE", worker=""),
}
