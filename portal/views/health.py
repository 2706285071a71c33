"""For load balancers and launchers, who cannot sign in: whether this process lives, and whether it can serve."""

from __future__ import annotations

import time

from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from vprotect_bridge import doorbell
from vprotect_bridge.models import UpstreamStatus

# So that asking often costs nothing, and a broker that hangs holds up one look in five seconds.
LOOKS_EVERY = 5.0
_broker: tuple[float, bool] = (0.0, False)


@login_not_required
@require_safe
def process(request: HttpRequest) -> HttpResponse:
    """The process answers; says nothing of what stands behind it."""
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def readiness(request: HttpRequest) -> JsonResponse:
    """200 while pages can be served. Without broker or vProtect they are: that is degraded, not dead.

    `status` is ready, degraded or unavailable; `vprotect` is ok, unread, unreachable, refused_login or nonsense.
    """
    try:
        upstream = UpstreamStatus.objects.filter(pk=1).first()
    except Error:
        connection.close()
        return JsonResponse({"status": "unavailable", "database": "away"}, status=503)
    broker = "ok" if _broker_answers() else "away"
    vprotect = _state_of(upstream)
    return JsonResponse(
        {
            "status": "ready" if (broker, vprotect) == ("ok", "ok") else "degraded",
            "database": "ok",
            "broker": broker,
            "vprotect": vprotect,
        }
    )


def _state_of(upstream: UpstreamStatus | None) -> str:
    if upstream is None or (upstream.inventory_at is None and upstream.unreachable_since is None):
        return "unread"
    return (upstream.problem or "unreachable") if upstream.unreachable_since else "ok"


def _broker_answers() -> bool:
    global _broker
    looked_at, answers = _broker
    if time.monotonic() - looked_at > LOOKS_EVERY or not looked_at:
        answers = doorbell.waiting() is not None
        _broker = (time.monotonic(), answers)
    return answers
