from django.urls import include, path

from portal.views import health

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("accounts/", include("allauth.account.urls")),
]
