"""django-allauth's OpenID Connect for identity providers that belong to tenants: the protocol, not who may do what."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit

from allauth.account.internal.emailkit import valid_email_or_none
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from tenants.audit import address_of
from tenants.models import IdentityProvider
from tenants.outbound import OutboundSession
from tenants.people import Refused
from tenants.single_sign_on import Identity, admit, connect

LONGEST_SUBJECT = 191
MOST_GROUPS = 1000
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def read_configuration(issuer: str) -> dict[str, Any]:
    """The issuer's discovery document. Raises `OAuth2Error` or `requests.RequestException`."""
    with OutboundSession() as session:
        answer = session.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        # Otherwise one issuer could sign in people of another.
        raise OAuth2Error("it names another issuer than the one that was set up")
    for name in ENDPOINTS:
        if not isinstance(found.get(name), str) or urlsplit(found[name]).scheme != "https":
            raise OAuth2Error(f"its {name} is not an https address")
    return found


class TenantProvider(OpenIDConnectProvider):
    """One tenant's. With PKCE always, whose challenge is the nonce as well: one secret, checked at both ends."""

    pkce_enabled_default = True

    def __init__(self, request: HttpRequest, identity_provider: IdentityProvider):
        self.identity_provider = identity_provider
        app = SocialApp(
            provider=self.id,
            provider_id=identity_provider.key,
            name=identity_provider.slug,
            client_id=identity_provider.client_id,
            secret=identity_provider.client_secret,
        )
        super().__init__(request, app=app)

    def get_pkce_params(self) -> dict[str, str]:
        params = super().get_pkce_params()
        return {**params, "nonce": params["code_challenge"]}

    def get_oauth2_adapter(self, request: HttpRequest) -> TenantOpenIDConnect:
        return TenantOpenIDConnect(request, self)


class TenantOpenIDConnect(OpenIDConnectOAuth2Adapter):
    def __init__(self, request: HttpRequest, provider: TenantProvider):
        super().__init__(request, provider.sub_id)
        self._provider = provider

    def get_provider(self) -> TenantProvider:
        return self._provider

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        slug = self._provider.identity_provider.slug
        return settings.PORTAL_URL + reverse("single-sign-on-callback", args=[slug])

    @property
    def openid_config(self) -> dict[str, Any]:
        if not hasattr(self, "_openid_config"):
            self._openid_config = read_configuration(self._provider.identity_provider.issuer)
        return self._openid_config

    def get_access_token_data(self, request: HttpRequest, app: Any, client: Any, pkce_code_verifier: Any = None) -> Any:
        digest = hashlib.sha256(pkce_code_verifier.encode()).digest()
        self._nonce = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        try:
            return super().get_access_token_data(request, app, client, pkce_code_verifier)
        except (KeyError, TypeError, ValueError) as error:
            raise OAuth2Error("the token endpoint answers nonsense") from error

    def parse_token(self, data: Any) -> SocialToken:
        """Of no use to us beyond this sign-in, and so without its lifetime."""
        if not isinstance(data, dict) or not isinstance(data.get("access_token"), str):
            raise OAuth2Error("the token endpoint gives no token")
        return SocialToken(token=data["access_token"])

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        """The token came from the issuer itself over TLS, which stands for its signature (OpenID Connect, 3.1.3.7)."""
        claims = self._claims(app, token, kwargs["response"])
        return SingleSignOn(request, self._provider, self._identity(claims))

    def _claims(self, app: SocialApp, token: SocialToken, response: Any) -> dict[str, Any]:
        id_token = response.get("id_token") if isinstance(response, dict) else None
        if not isinstance(id_token, str):
            raise OAuth2Error("the answer has no id_token")
        claims = self._decode_id_token(app, id_token)
        if claims.get("nonce") != self._nonce:
            raise OAuth2Error("the id_token answers another sign-in")
        wanted = {"email", self._provider.identity_provider.groups_claim} - {""}
        if wanted - set(claims) and "userinfo_endpoint" in self.openid_config:
            told = self._fetch_user_info(token.token)
            if not isinstance(told, dict) or told.get("sub") != claims.get("sub"):
                raise OAuth2Error("userinfo is about somebody else")
            claims = {**told, **claims}
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        subject, groups = claims.get("sub"), claims.get(self._provider.identity_provider.groups_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or "\x00" in subject:
            raise OAuth2Error("the id_token names nobody")
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Identity(
            subject=subject,
            email=(valid_email_or_none(claims.get("email")) or "").lower(),
            name=_line(claims.get("name")),
            groups=tuple(group for group in listed[:MOST_GROUPS] if isinstance(group, str)),
        )


class SingleSignOn(SocialLogin):
    """A proven identity, on its way to being a session or to being connected with the account that is signed in."""

    def __init__(self, request: HttpRequest, provider: TenantProvider, identity: Identity):
        account = SocialAccount(provider=provider.sub_id, uid=identity.subject)
        super().__init__(provider=provider, account=account)
        self.request, self.identity = request, identity

    def lookup(self) -> None:
        """Never by an e-mail address, as django-allauth can be told to."""
        self._did_authenticate_by_email = None
        identity_provider, address = self.provider.identity_provider, address_of(self.request)
        try:
            if self.state["process"] == AuthProcess.CONNECT:
                connect(identity_provider, self.request.user, self.identity, address=address)
                messages.success(self.request, _("Connected: from now on you can sign in through your organisation."))
                raise ImmediateHttpResponse(redirect(self.state["next"]))
            self.user = admit(identity_provider, self.identity, address=address)
        except Refused as refused:
            context = {"slug": identity_provider.slug, "problem": refused.user_message}
            page = render(self.request, "portal/single_sign_on_failed.html", context, status=403)
            raise ImmediateHttpResponse(page) from refused


def _line(text: object) -> str:
    """As a person's name may be: without what cannot be printed, and not endless."""
    return "".join(sign for sign in text if sign.isprintable())[:120].strip() if isinstance(text, str) else ""


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    def get_requests_session(self) -> OutboundSession:
        return OutboundSession()

    def on_authentication_error(self, request: HttpRequest, provider: Any, *args: Any, **kwargs: Any) -> None:
        """Cancelled, too late, or not to be believed: in words, with a way to try again."""
        context = {"slug": provider.identity_provider.slug, "is_cancelled": kwargs.get("error") == AuthError.CANCELLED}
        raise ImmediateHttpResponse(render(request, "portal/single_sign_on_failed.html", context, status=403))
