"""What becomes of tokens when their tenant is removed for good."""

from __future__ import annotations

from typing import Any

from tenants.models import Tenant
from tokens.models import Token


def remove_of(tenant: Tenant, **kwargs: Any) -> None:
    """The tenant's own; those of its people went with their memberships."""
    Token.across_tenants.filter(tenant=tenant).delete()
