"""Below a person's account, on the portal alone."""

from django.urls import path

from tokens import views

urlpatterns = [path("", views.account_tokens, name="account-tokens")]
