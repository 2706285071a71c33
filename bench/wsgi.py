"""The portal as gunicorn serves it, telling with each answer how many statements it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.db import connection

from bench.browser import QUERIES

# The page has 50 rows, twice the product's.
PAGE_SIZE = 50


def _adapt() -> None:
    """After Django knows its models: longer pages, and one person who asks as fast as the machine can."""
    from portal import machine_list
    from portal.views import machines
    from tenants import request_rates

    machine_list.PAGE_SIZE = machines.PAGE_SIZE = PAGE_SIZE
    for allowance in (request_rates.OF_A_PERSON, request_rates.OF_A_TENANT):
        allowance.at_once = inf  # type: ignore[assignment]


_portal = get_wsgi_application()
_adapt()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    count = 0

    def counted(execute: Any, *statement: Any) -> Any:
        nonlocal count
        count += 1
        return execute(*statement)

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, (QUERIES, str(count))], *rest)

    with connection.execute_wrapper(counted):
        return _portal(environ, start)
