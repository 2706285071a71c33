"""The portal as gunicorn serves it, telling with each answer how many statements it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.db import connection

from bench.browser import QUERIES

_portal = get_wsgi_application()


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
