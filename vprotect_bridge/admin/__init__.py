"""The operator site: the mirror, operations and how vProtect is. Only decisions of operators change anything."""

from vprotect_bridge.admin import claims, connection, machines, mirror, operations, plans, tenants  # noqa: F401 — each registers its models
