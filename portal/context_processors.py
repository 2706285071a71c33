from base64 import b64encode
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from portal.views.preferences import theme_of
from tenants.brands import look_of
from tenants.models import Tenant
from tenants.single_sign_on import provider_key_of
from vprotect_bridge.models import UpstreamStatus


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
        "upstream": SimpleLazyObject(lambda: UpstreamStatus.objects.filter(pk=1).first()),
        "stale_before": timezone.now() - timedelta(seconds=max(600, 5 * settings.VPROTECT_SECONDS["inventory"])),
    }
