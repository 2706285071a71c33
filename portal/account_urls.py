"""Pages of a person's own account: the same on the portal and on the operator site."""

from allauth.account.urls import urlpatterns as allauth_urlpatterns
from allauth.mfa import urls as mfa_urls
from django.urls import include, path

from portal.views import account, preferences

# Of allauth's pages those that are in use. People do not change their address themselves: it is who they are.
ACCOUNT_PAGES = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_signup",
    "account_reauthenticate",
    "account_change_password",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_email_verification_sent",
    "account_confirm_email",
}
urlpatterns = [
    *[page for page in allauth_urlpatterns if page.name in ACCOUNT_PAGES],
    path("2fa/", include(mfa_urls)),
    path("second-factor/", account.second_factor, name="second-factor"),
    path("preferences/", preferences.preferences, name="preferences"),
    path("theme", preferences.choose_theme, name="theme"),
    path("sessions/", account.session_list, name="sessions"),
    path("sessions/end/", account.session_end, name="session-end"),
]
