"""Below a tenant, as `portal.urls` includes them."""

from django.urls import path

from tokens import views

urlpatterns = [
    path("tokens/", views.token_list, name="tokens"),
    path("tokens/new/", views.token_create, name="token-create"),
    path("tokens/<uuid:token_id>/revoke/", views.token_revoke, name="token-revoke"),
    path("settings/tokens/", views.tenant_token_list, name="tenant-tokens"),
    path("settings/tokens/new/", views.tenant_token_create, name="tenant-token-create"),
    path("settings/tokens/<uuid:token_id>/revoke/", views.tenant_token_revoke, name="tenant-token-revoke"),
]
