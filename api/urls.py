"""Everything below /api/, also what is not there: nobody gets a page where they expect JSON."""

from django.urls import path

from api import views
from api.endpoints import ROUTES
from api.http import view_of

urlpatterns = [
    *[path(f"v1/{address}", view_of(methods), name=name) for address, name, methods in ROUTES],
    path("v1/openapi.json", views.openapi, name="api-openapi"),
    path("v1/docs", views.docs, name="api-docs"),
    path("", views.unknown, name="api-root"),
    path("<path:rest>", views.unknown, name="api-unknown"),
]
