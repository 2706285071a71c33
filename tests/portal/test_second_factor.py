"""More than a password: set up, shown, asked for by a tenant and on the operator site; and where one is signed in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.test import Client, override_settings

from tenants.models import AuditEntry, Tenant, User
from tests.conftest import OperatorClient, WebClient

# What is done when a transaction ends is part of setting up a factor.
pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a password for tests"
MACHINES = "/t/sunflower/machines/"


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def sign_in(user: User, browser: Client | None = None) -> Client:
    browser = browser or WebClient()
    browser.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return browser


def set_up_app(browser: Client) -> str:
    """Returns the secret that the app now has. The password is asked for again before."""
    assert browser.get("/accounts/2fa/totp/activate/").url.startswith("/accounts/reauthenticate/")
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = browser.get("/accounts/2fa/totp/activate/").content.decode()
    (secret,) = re.findall(r"<code>(\w+)</code>", page)
    answer = browser.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)})
    assert answer.url == "/accounts/2fa/recovery-codes/"
    return secret


@pytest.fixture(autouse=True)
def _each_code_may_be_used_again() -> Iterator[None]:
    """allauth remembers used codes; tests type more than one in thirty seconds."""
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}):
        yield


@pytest.fixture
def strict(sunflower: Tenant) -> Tenant:
    sunflower.second_factor_required = True
    sunflower.save()
    return sunflower


def test_who_has_none_sets_one_up_before_anything_is_shown(strict: Tenant, owner: User):
    browser = sign_in(owner)
    asked = browser.get(MACHINES, follow=True)
    assert "Here a second factor is needed" in asked.content.decode()
    assert browser.post("/t/sunflower/settings/", {"time_zone": "UTC"}).status_code == 302
    assert Tenant.objects.get(pk=strict.pk).second_factor_required, "nothing is done before it either"
    set_up_app(browser)
    assert browser.get(MACHINES).status_code == 200


def test_a_session_that_has_not_shown_it_is_asked_for_it(strict: Tenant, owner: User):
    secret = set_up_app(sign_in(owner))
    browser = WebClient()
    browser.force_login(owner)  # a session from before it was set up
    asked = browser.get(MACHINES, follow=True)
    assert asked.request["PATH_INFO"] == "/accounts/2fa/reauthenticate/"
    shown = browser.post("/accounts/2fa/reauthenticate/", {"code": code_of(secret), "next": MACHINES})
    assert shown.url == MACHINES and browser.get(MACHINES).status_code == 200


def test_signing_in_asks_for_it_and_a_password_alone_is_nothing(owner: User):
    secret = set_up_app(sign_in(owner))
    browser = sign_in(owner)
    assert browser.get(MACHINES).status_code == 302
    assert browser.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert browser.get(MACHINES).status_code == 302
    browser.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert browser.get(MACHINES).status_code == 200


def test_a_recovery_code_lets_in_once(owner: User):
    first = sign_in(owner)
    set_up_app(first)
    codes = re.findall(r"<li><code>(\d+)</code>", first.get("/accounts/2fa/recovery-codes/").content.decode())
    assert len(codes) == 10
    for expected in (200, 302):
        browser = sign_in(owner)
        browser.post("/accounts/2fa/authenticate/", {"code": codes[0]})
        assert browser.get(MACHINES).status_code == expected


def test_the_database_holds_no_readable_secret(owner: User):
    secret = set_up_app(sign_in(owner))
    row = str(Authenticator.objects.get(type="totp").data)
    assert secret not in row
    with override_settings(SECRET_KEY="a new key " * 6, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert Authenticator.objects.get(type="totp").wrap().validate_code(code_of(secret))


def test_a_tenant_that_asks_for_nothing_takes_a_password(owner: User):
    assert sign_in(owner).get(MACHINES).status_code == 200


def test_an_administrator_asks_for_it_and_it_acts_at_once(owner: User, as_web: Callable[[User], Client]):
    browser = as_web(owner)
    form = {"time_zone": "Europe/Warsaw", "second_factor_required": "on"}
    assert browser.post("/t/sunflower/settings/", form).status_code == 302
    assert browser.get(MACHINES).url.startswith("/accounts/second-factor/?next=")
    tenant = Tenant.objects.get()
    assert (tenant.time_zone, tenant.second_factor_required) == ("Europe/Warsaw", True)
    assert AuditEntry.across_tenants.get().detail == {"time_zone": "Europe/Warsaw", "second_factor_required": True}


def test_an_odd_time_zone_is_refused_and_kept_on_the_page(owner: User, as_web: Callable[[User], Client]):
    answer = as_web(owner).post("/t/sunflower/settings/", {"time_zone": "Mars/Olympus", "is_active": "", "name": "X"})
    page = answer.content.decode()
    assert answer.status_code == 422 and "is not a time zone" in page and "Mars/Olympus" in page
    assert Tenant.objects.get().name == "Sunflower"


@pytest.mark.parametrize("proxies", [0, 1])
def test_the_audit_believes_a_proxy_only_where_there_is_one(proxies: int, owner: User):
    browser = sign_in(owner)
    with override_settings(ALLAUTH_TRUSTED_PROXY_COUNT=proxies):
        forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        browser.post("/t/sunflower/settings/", {"time_zone": "Europe/Warsaw"}, headers=forwarded)
    assert AuditEntry.across_tenants.get().address == ("203.0.113.9" if proxies else "127.0.0.1")


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example/", "/\\evil.example", "https:evil.example"])
def test_nobody_is_sent_elsewhere(after: str, owner: User):
    set_up_app(sign_in(owner))
    browser = WebClient()
    browser.force_login(owner)
    assert browser.get("/accounts/second-factor/", {"next": after}).url == "/accounts/2fa/reauthenticate/?next=%2F"


# ── An address has to be confirmed ───────────────────────────────────────────


def test_a_person_made_by_an_operator_confirms_the_address_first(sunflower: Tenant, mailoutbox: list):
    user = User.objects.create_user("made@sunflower.example", PASSWORD)
    browser = WebClient()
    answer = browser.post("/accounts/login/", {"login": user.email, "password": PASSWORD}, follow=True)
    assert "Look into your e-mail" in answer.content.decode()
    assert browser.get("/").status_code == 302
    (link,) = re.findall(r"/accounts/confirm-email/\S+", mailoutbox[0].body)
    assert "is yours?" in browser.get(link).content.decode()
    browser.post(link)
    assert sign_in(user).get("/").status_code == 200


# ── Where one is signed in ───────────────────────────────────────────────────


def test_sessions_are_listed_and_ended(owner: User):
    here, there = (
        sign_in(owner),
        sign_in(owner, WebClient(headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/1"})),
    )
    page = here.get("/accounts/sessions/").content.decode()
    assert "Firefox, Linux" in page and page.count("Sign out there") == 1
    other = UserSession.objects.get(session_key=there.session.session_key)
    here.post("/accounts/sessions/end/", {"session": other.pk})
    assert there.get(MACHINES).status_code == 302 and here.get(MACHINES).status_code == 200


def test_all_others_are_ended_at_once(owner: User):
    browsers = [sign_in(owner) for _ in range(3)]
    browsers[0].post("/accounts/sessions/end/", {"session": "others"})
    assert [browser.get(MACHINES).status_code for browser in browsers] == [200, 302, 302]


@pytest.mark.parametrize("wanted", ["", "x", "-1", "9" * 30, "٣"])
def test_an_odd_session_is_not_there(wanted: str, owner: User):
    assert sign_in(owner).post("/accounts/sessions/end/", {"session": wanted}).status_code == 404


def test_a_strangers_session_is_not_there(owner: User, stranger: User):
    theirs = sign_in(stranger)
    pk = UserSession.objects.get(user=stranger).pk
    assert sign_in(owner).post("/accounts/sessions/end/", {"session": pk}).status_code == 404
    assert theirs.get("/t/pine/machines/").status_code == 200


def test_a_new_password_ends_the_other_sessions(owner: User):
    here, there = sign_in(owner), sign_in(owner)
    form = {"oldpassword": PASSWORD, "password1": "another one for tests", "password2": "another one for tests"}
    here.post("/accounts/password/change/", form)
    assert here.get(MACHINES).status_code == 200 and there.get(MACHINES).status_code == 302


# ── The operator site ────────────────────────────────────────────────────────


@pytest.fixture
def operator_site() -> Iterator[None]:
    middleware = [*settings.MIDDLEWARE, "tenants.second_factor.StaffSecondFactorMiddleware"]
    options = {"ACCOUNT_EMAIL_VERIFICATION": "none", "MFA_ALLOW_UNVERIFIED_EMAIL": True, "MIDDLEWARE": middleware}
    with override_settings(ROOT_URLCONF="portal.operator_urls", **options):
        yield


def test_an_operator_needs_a_second_factor(db: None, operator_site: None):
    operator = User.objects.create_superuser("operator@provider.example", PASSWORD)
    browser = sign_in(operator, OperatorClient())
    for address in ("/", "/tenants/tenant/", "/tenants/tenant/add/", "/jsi18n/"):
        assert browser.get(address).url.startswith("/accounts/second-factor/"), address
    set_up_app(browser)
    assert browser.get("/tenants/tenant/").status_code == 200
    assert sign_in(operator, OperatorClient()).get("/").url.startswith("/login/")


def test_another_operator_is_made_without_a_terminal(db: None, operator_site: None, mailoutbox: list):
    """And without telling anybody a password: the new one chooses it by a mail, and sets up a second factor."""
    browser = sign_in(User.objects.create_superuser("operator@provider.example", PASSWORD), OperatorClient())
    set_up_app(browser)
    rows = {f"memberships-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL")}
    new = {"email": "second@provider.example", "usable_password": "false", **rows}
    address = browser.post("/tenants/user/add/", new).url
    browser.post(address, {"email": new["email"], "is_active": "on", "is_staff": "on", "is_superuser": "on", **rows})
    theirs = OperatorClient()
    theirs.post("/accounts/password/reset/", {"email": new["email"]})
    (link,) = re.findall(r"http://testserver(/accounts/password/reset/key/\S+)", mailoutbox[0].body)
    chosen = "another password for tests"
    theirs.post(theirs.get(link).url, {"password1": chosen, "password2": chosen})
    signed_in = OperatorClient()
    signed_in.post("/accounts/login/", {"login": new["email"], "password": chosen})
    assert signed_in.get("/").url.startswith("/accounts/second-factor/")


def test_a_customer_gets_nothing_on_the_operator_site(owner: User, operator_site: None):
    browser = sign_in(owner, OperatorClient())
    set_up_app(browser)
    assert browser.get("/", follow=True).status_code == 403
    assert browser.get("/tenants/tenant/", follow=True).status_code == 403
