"""The operator site: the mirror, operations and how vProtect is. Only decisions of operators change anything."""

from vprotect_bridge.admin import (  # noqa: F401 — each registers its models
    alerts,
    claims,
    connection,
    machines,
    mirror,
    mounts,
    operations,
    plans,
    tenants,
)
