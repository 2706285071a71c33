"""One id from the click to the call upstream: in the logs, the audit, the operation and the answer's header."""

import contextvars
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

correlation_id: contextvars.ContextVar[str] = contextvars.ContextVar("correlation_id", default="-")


@contextmanager
def correlated(with_id: str) -> Iterator[None]:
    """What is done inside belongs to the click that has this id."""
    token = correlation_id.set(with_id)
    try:
        yield
    finally:
        correlation_id.reset(token)


class CorrelationMiddleware:
    """Gives each request an id of ours; one sent by the browser is never believed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with correlated(uuid4().hex):
            response = self.get_response(request)
            response["X-Correlation-Id"] = correlation_id.get()
            return response


class CorrelationFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = correlation_id.get()
        return True
