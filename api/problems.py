"""Every error of the API as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.utils.functional import Promise

from tenants.correlation import correlation_id

# By the last part of its type: the status, and what it is whatever the case.
PROBLEMS: dict[str, tuple[int, str]] = {
    "unreadable": (400, "The request cannot be read"),
    "key-missing": (400, "An Idempotency-Key is missing"),
    "invalid-token": (401, "No valid token"),
    "not-allowed": (403, "The token may not do this"),
    "token-refused": (403, "The organisation asks for more than this token"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "already-running": (409, "Such an operation is running already"),
    "in-flight": (409, "The same request is being worked on"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body must be JSON"),
    "invalid": (422, "Something in the request is not valid"),
    "not-possible": (422, "It cannot be done"),
    "key-reused": (422, "The Idempotency-Key was used for something else"),
    "too-fast": (429, "Too many requests"),
    "server-error": (500, "Something went wrong here"),
    "unavailable": (503, "Not available at the moment"),
}


class Problem(Exception):
    """Ends a request. `detail`: this case in words; `errors`: [{"field", "detail"}] of an invalid one."""

    def __init__(
        self, kind: str, detail: str | Promise = "", *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(kind)
        self.kind, self.detail, self.headers, self.members = kind, detail, headers or {}, members

    def answer(self) -> HttpResponse:
        status, title = PROBLEMS[self.kind]
        body = {"type": type_of(self.kind), "title": title, "status": status, "detail": str(self.detail or title)}
        answer = JsonResponse(
            {**body, "correlation_id": correlation_id.get(), **self.members},
            status=status,
            content_type="application/problem+json",
            headers={"Cache-Control": "no-store", **self.headers},
        )
        # What is wrong in a request is the program's affair: not a line of a log for each.
        answer._has_been_logged = status < 500  # type: ignore[attr-defined]
        return answer


def type_of(kind: str) -> str:
    """Where it is explained."""
    return f"{settings.PORTAL_URL}/api/v1/docs#{kind}"


def invalid(field: str, detail: object) -> Problem:
    return Problem("invalid", errors=[{"field": field, "detail": str(detail)}])
