"""What each worker counts of its calls to vProtect. Every figure has labels: none is made before children are."""

from __future__ import annotations

import re

from prometheus_client import Counter, Histogram

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)

UPSTREAM_SECONDS = Histogram(
    "portal_upstream_seconds", "How long vProtect took, by call.", ["method", "path"], buckets=_SECONDS
)
UPSTREAM_CALLS = Counter(
    "portal_upstream_calls", "Calls to vProtect, by what came of them.", ["method", "path", "result"]
)
# What stands in a path for one object: a GUID, a number, a hash.
_OBJECT = re.compile(r"/(?=[^/]*\d)[\w.-]{6,}(?=/|$)|/\d+(?=/|$)")


def observe_call(method: str, path: str, result: str, seconds: float) -> None:
    """`result`: the status of the answer, or the class of the error that came in its place."""
    call = _OBJECT.sub("/{guid}", path)
    UPSTREAM_SECONDS.labels(method, call).observe(seconds)
    UPSTREAM_CALLS.labels(method, call, result).inc()
