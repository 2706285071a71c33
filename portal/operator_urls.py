from django.contrib import admin
from django.urls import path

from portal.views import health

urlpatterns = [
    path("healthz", health.process, name="healthz"),
    path("", admin.site.urls),
]
