"""The operator site: Django's admin, served by a process of its own on an address of its own."""

from django.contrib import admin
from django.urls import include, path

from portal.views import brands, health

urlpatterns = [
    path("logo/<slug:digest>.png", brands.portal_logo, name="portal-logo"),
    path("healthz", health.process, name="healthz"),
    path("readyz", health.readiness, name="readyz"),
    path("accounts/", include("portal.account_urls")),
    path("", admin.site.urls),
]

handler500 = "portal.views.errors.server_error"
