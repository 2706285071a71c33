from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe


@login_not_required  # for load balancers and the launcher, who cannot sign in
@require_safe
def process(request: HttpRequest) -> HttpResponse:
    """The process answers; says nothing of what stands behind it."""
    return HttpResponse("ok", content_type="text/plain")
