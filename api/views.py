"""What needs no token: the description of the API, as a file and as a page, and that something is not there."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from api.document import document, pages_of
from api.problems import PROBLEMS, Problem


@csrf_exempt
@login_not_required  # holds nothing of a tenant
def openapi(request: HttpRequest) -> HttpResponse:
    if request.method not in {"GET", "HEAD"}:
        return Problem("method-not-allowed", headers={"Allow": "GET"}).answer()
    return JsonResponse(document())


@require_safe
@login_not_required  # holds nothing of a tenant
def docs(request: HttpRequest) -> HttpResponse:
    problems = [{"kind": kind, "status": status, "title": title} for kind, (status, title) in PROBLEMS.items()]
    context = {"operations": pages_of(document()), "problems": problems, "portal_url": settings.PORTAL_URL}
    return render(request, "api/docs.html", context)


@csrf_exempt
@login_not_required  # whoever asks
def unknown(request: HttpRequest, rest: str = "") -> HttpResponse:
    return Problem("not-found", "There is no such address. /api/v1/openapi.json lists them all.").answer()
