"""Rights on tokens (see `tenants.database_roles`)."""

from tenants.database_roles import OF_CURRENT_TENANT, Access

_BY_HASH = "current_setting('app.token', true)"

TABLES = {
    # Of one tenant, or the one whose secret was shown. A person's go with the membership that an administrator removes.
    "tokens_token": Access(
        web="SELECT, INSERT, UPDATE (revoked_at, last_used_at, last_used_address), DELETE",
        operator="SELECT, UPDATE (created_by_id), DELETE",
        worker="SELECT",
        rows=f"{OF_CURRENT_TENANT} OR token_hash = {_BY_HASH}",
        written=OF_CURRENT_TENANT,
    ),
}
