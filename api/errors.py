"""What Django answers itself: below /api/ as problems, elsewhere as the portal's pages."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.defaults import bad_request as bad_request_page

from api.problems import Problem
from portal.views.errors import server_error as server_error_page


def server_error(request: HttpRequest) -> HttpResponse:
    if not request.path_info.startswith("/api/"):
        return server_error_page(request)
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return Problem("unavailable", headers={"Retry-After": "10"}).answer()
    return Problem("server-error").answer()


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return Problem("unreadable").answer()
    return bad_request_page(request, exception)
