"""A request of a program, after its token was accepted."""

from __future__ import annotations

from tenants.middleware import TenantRequest
from tokens.models import Token


class ApiRequest(TenantRequest):
    """`membership` is in no table: what the token may do now (`tokens.bearer`). `query` as `api.bodies` read it."""

    token: Token
    query: dict[str, str]
