"""The operator site: Django's admin, served by a process of its own on an address of its own."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _

from portal.views import health

admin.site.site_title = admin.site.site_header = _("Backup portal: operators")
admin.site.index_title = _("What the portal knows")

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("accounts/", include("portal.account_urls")),
    path("", admin.site.urls),
]

handler500 = "portal.views.errors.server_error"
