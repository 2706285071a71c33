"""The portal's addresses, and below each tenant's those of the reference views."""

from __future__ import annotations

from math import inf

from django.urls import path

from bench.reference import pages
from portal import machine_list, urls
from portal.urls import handler500
from portal.views import machines
from tenants import request_rates

__all__ = ["handler500", "urlpatterns"]

# The page has 50 rows, twice the product's.
machine_list.PAGE_SIZE = machines.PAGE_SIZE = pages.PAGE_SIZE
# One person asks as fast as the machine can.
for allowance in (request_rates.OF_A_PERSON, request_rates.OF_A_TENANT):
    allowance.at_once = inf  # type: ignore[assignment]

urlpatterns = [
    path("t/<slug:tenant>/bench/one-query", pages.one_query),
    path("t/<slug:tenant>/bench/machines", pages.straightforward_machines),
    *urls.urlpatterns,
]
