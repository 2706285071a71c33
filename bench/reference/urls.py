"""The portal's addresses, and below each tenant's those of the reference views."""

from __future__ import annotations

from django.urls import path

from bench.reference import pages
from portal import urls
from portal.urls import handler500

__all__ = ["handler500", "urlpatterns"]

urlpatterns = [
    path("t/<slug:tenant>/bench/one-query", pages.one_query),
    path("t/<slug:tenant>/bench/machines", pages.straightforward_machines),
    *urls.urlpatterns,
]
