from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django_scopes import get_scope

from portal.views.preferences import theme_of
from tenants.brands import look_of
from tenants.models import Membership, Tenant
from tenants.single_sign_on import provider_key_of
from vprotect_bridge.models import UpstreamStatus

# What other apps say on every page below a tenant, by the name that `upstream` has it under: an expression for who
# looks, read in the statement that is asked anyway.
READ_ALONG: dict[str, Callable[[Membership], Any]] = {}


def portal(request: HttpRequest) -> dict[str, object]:
    """What every page shows. `upstream` is asked for only by pages below a tenant."""
    inviting: Tenant | None = getattr(request, "inviting_tenant", None)
    look = look_of(getattr(request, "tenant", None) or inviting)
    return {
        "portal_name": look.name,
        "look": look,
        # A tenant's logo has an address for its people only; who is invited gets it within the page.
        "inviting_logo": b64encode(inviting.brand.logo or b"").decode() if inviting and look.logo_of_tenant else "",
        "theme": theme_of(request),
        "operator_url": settings.OPERATOR_URL,
        "is_single_sign_on": SimpleLazyObject(lambda: bool(provider_key_of(request))),
        "upstream": SimpleLazyObject(lambda: upstream_of(request)),
        "stale_before": timezone.now() - timedelta(seconds=max(600, 5 * settings.VPROTECT_SECONDS["inventory"])),
    }


def upstream_of(request: HttpRequest) -> UpstreamStatus | None:
    """Asked for once in a request."""
    if not hasattr(request, "upstream"):
        request.upstream = _upstream(request)  # type: ignore[attr-defined]
    status: UpstreamStatus | None = request.upstream  # type: ignore[attr-defined]
    return status


def _upstream(request: HttpRequest) -> UpstreamStatus | None:
    membership: Membership | None = getattr(request, "membership", None)
    along = {}
    # A page that is shown before the tenant opens knows the member, and nothing of what they may see.
    if membership is not None and "tenant" in get_scope():
        along = {name: of(membership) for name, of in READ_ALONG.items()}
    return UpstreamStatus.objects.filter(pk=1).annotate(**along).first()
