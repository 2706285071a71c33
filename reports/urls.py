"""Addresses below a tenant."""

from django.urls import path

from reports.views import protection, usage

tenant_urlpatterns = [
    path("reports/", protection.protection, name="report-protection"),
    path("reports/usage/", usage.usage, name="report-usage"),
]
