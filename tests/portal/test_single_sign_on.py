"""Signing in through an organisation's own identity provider, and everything that such a provider may not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.conf import settings as portal_settings
from django.core import mail
from django.db import connection
from django.test import Client, override_settings

from tenants.models import AuditEntry, IdentityProvider, Membership, Role, Tenant, User
from tenants.wall import lower_wall
from tests.conftest import AsRole, WebClient, person
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, FakeIdentityProvider

# A session ends and another begins in one request; what is kept in each has to be there for the next.
pytestmark = pytest.mark.django_db(transaction=True)

MACHINES = "/t/sunflower/machines/"
ROSE = {"sub": "rose-1", "email": "rose@sunflower.example", "name": "Rose", "groups": ["backup-members"]}


@pytest.fixture(scope="session")
def idp_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeIdentityProvider]:
    running = FakeIdentityProvider(tmp_path_factory.mktemp("identity-provider"))
    yield running
    running.stop()


@pytest.fixture
def idp(idp_of_the_run: FakeIdentityProvider, settings: Any) -> FakeIdentityProvider:
    idp_of_the_run.reset()
    settings.OUTBOUND_CA_FILE = str(idp_of_the_run.ca_file)
    settings.OUTBOUND_PRIVATE_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    return idp_of_the_run


@pytest.fixture(autouse=True)
def _nobody_came_before() -> Iterator[None]:
    """Counts of tries would go on from test to test."""
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}):
        yield


@pytest.fixture
def provider(idp: FakeIdentityProvider, sunflower: Tenant) -> IdentityProvider:
    return provider_of(sunflower, idp, member_groups=["backup-members"], admin_groups=["CN=Backup,OU=IT"])


def provider_of(tenant: Tenant, idp: FakeIdentityProvider, **fields: Any) -> IdentityProvider:
    made = IdentityProvider(tenant=tenant, slug=tenant.slug, issuer=idp.issuer, client_id=CLIENT_ID, **fields)
    made.client_secret = CLIENT_SECRET
    made.save()
    return made


def sign_in(idp: FakeIdentityProvider, claims: dict[str, Any], at: str = "sunflower", browser: Any = None) -> Any:
    """The browser after the whole way there and back; `.answer` is the last answer."""
    browser = browser or WebClient()
    there = leads_to(browser.post(f"/accounts/sso/{at}/"))
    browser.answer = browser.get(f"/accounts/sso/{at}/callback/?{idp.sign_in(there, **claims)}")
    return browser


def leads_to(page: Any) -> str:
    (address,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', page.content.decode())
    return html.unescape(address)


def said(answer: Any) -> str:
    return answer.content.decode()


# ── Signing in ───────────────────────────────────────────────────────────────


def test_somebody_new_comes_in_with_the_role_of_their_group(provider: IdentityProvider, idp: FakeIdentityProvider):
    browser = sign_in(idp, ROSE)
    assert browser.answer.url == "/t/sunflower/"
    assert browser.get(MACHINES).status_code == 200
    member = Membership.objects.get(user__email="rose@sunflower.example")
    assert (member.role, member.tenant.slug, str(member.user)) == ("member", "sunflower", "Rose")
    joined = AuditEntry.across_tenants.get(action="member_joined")
    assert joined.detail["through"] == idp.issuer and joined.actor_name == "rose@sunflower.example"


def test_the_way_there_is_found_by_the_organisations_name(provider: IdentityProvider):
    browser = WebClient()
    assert "Sign in through your organisation" in said(browser.get(f"/accounts/login/?next={MACHINES}"))
    assert browser.get(f"/accounts/sso/?next={MACHINES}").status_code == 200
    unknown = browser.post("/accounts/sso/", {"organisation": "Tulip"})
    assert unknown.status_code == 422 and 'value="tulip"' in said(unknown)
    found = browser.post("/accounts/sso/", {"organisation": " Sunflower ", "next": MACHINES})
    assert found.url == "/accounts/sso/sunflower/?next=%2Ft%2Fsunflower%2Fmachines%2F"
    assert f'name="next" value="{MACHINES}"' in said(browser.get(found.url))


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        (MACHINES, MACHINES),
        ("//evil.example/", "/t/sunflower/"),
        ("/t/sunflower/\\evil.example", "/t/sunflower/"),
        ("/t/sunflower.evil.example", "/t/sunflower/"),
        ("/t/pine/machines/", "/t/sunflower/"),
    ],
)
def test_after_signing_in_one_stays_in_the_organisation(
    wanted: str, after: str, provider: IdentityProvider, idp: FakeIdentityProvider
):
    browser = WebClient()
    there = leads_to(browser.post("/accounts/sso/sunflower/", {"next": wanted}))
    assert browser.get(f"/accounts/sso/sunflower/callback/?{idp.sign_in(there, **ROSE)}").url == after


def test_the_role_follows_the_groups_at_each_sign_in(provider: IdentityProvider, idp: FakeIdentityProvider):
    person(provider.tenant, "owner", Role.ADMIN)
    for groups, role in (
        (["backup-members"], "member"),
        (["x", "CN=Backup,OU=IT"], "admin"),
        ("backup-members", "member"),
    ):
        sign_in(idp, {**ROSE, "groups": groups})
        assert Membership.objects.get(user__email="rose@sunflower.example").role == role
    changes = AuditEntry.across_tenants.filter(action="member_changed").order_by("at")
    assert [entry.detail["now"] for entry in changes] == ["admin", "member"]


def test_who_is_in_no_group_any_more_is_out_at_once(provider: IdentityProvider, idp: FakeIdentityProvider):
    open_session = sign_in(idp, ROSE)
    refused = sign_in(idp, {**ROSE, "groups": []}).answer
    assert refused.status_code == 403 and "none of the groups" in said(refused)
    assert open_session.get(MACHINES).status_code == 404
    assert AuditEntry.across_tenants.filter(action="member_removed").exists()
    assert sign_in(idp, ROSE).get(MACHINES).status_code == 200, "and back, when the groups say so"


def test_the_last_administrator_stays_whatever_the_groups_say(provider: IdentityProvider, idp: FakeIdentityProvider):
    sign_in(idp, {**ROSE, "groups": ["CN=Backup,OU=IT"]})
    for groups in ([], ["backup-members"]):
        sign_in(idp, {**ROSE, "groups": groups})
        assert Membership.objects.get(user__email="rose@sunflower.example").role == "admin"


def test_a_member_keeps_their_machines_and_an_administrator_sees_all(
    provider: IdentityProvider, idp: FakeIdentityProvider
):
    sign_in(idp, ROSE)
    Membership.objects.update(machine_guids=["vm-1"], role="viewer")
    sign_in(idp, ROSE)
    assert Membership.objects.get().machine_guids == ["vm-1"]
    sign_in(idp, {**ROSE, "groups": ["CN=Backup,OU=IT"]})
    assert Membership.objects.get().machine_guids is None


def test_without_groups_roles_are_given_in_the_portal(sunflower: Tenant, idp: FakeIdentityProvider):
    provider_of(sunflower, idp, default_role="viewer")
    sign_in(idp, ROSE)
    Membership.objects.update(role="restorer")
    sign_in(idp, ROSE)
    assert Membership.objects.get().role == "restorer"


def test_groups_and_address_may_come_from_userinfo(provider: IdentityProvider, idp: FakeIdentityProvider):
    idp.userinfo = ROSE
    assert sign_in(idp, {"sub": "rose-1"}).get(MACHINES).status_code == 200


# ── Who somebody is ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("verified", [True, False])
def test_a_provider_that_asserts_somebody_elses_address_gets_nowhere(
    verified: bool, provider: IdentityProvider, idp: FakeIdentityProvider, stranger: User
):
    refused = sign_in(idp, {**ROSE, "email": "STRANGER@pine.example", "email_verified": verified})
    assert refused.answer.status_code == 403 and "has an account here already" in said(refused.answer)
    assert refused.get("/t/pine/machines/").status_code == 302, "nobody is signed in"
    assert not SocialAccount.objects.exists() and Membership.objects.filter(user=stranger).count() == 1


def test_the_same_subject_of_another_provider_is_somebody_else(
    provider: IdentityProvider, idp: FakeIdentityProvider, pine: Tenant
):
    provider_of(pine, idp, default_role="admin")
    sign_in(idp, ROSE)
    other = sign_in(idp, {**ROSE, "email": "rose@pine.example"}, at="pine")
    assert other.get("/t/pine/machines/").status_code == 200 and other.get(MACHINES).status_code == 404
    assert User.objects.filter(memberships__isnull=False).count() == 2


def test_another_issuer_of_the_same_tenant_begins_anew(provider: IdentityProvider, idp: FakeIdentityProvider):
    browser = sign_in(idp, ROSE)
    IdentityProvider.across_tenants.update(key="1-somewhere-else")
    assert browser.get(MACHINES).status_code == 404
    assert "has an account here already" in said(sign_in(idp, ROSE).answer)


def test_no_address_is_proven_by_a_provider(provider: IdentityProvider, idp: FakeIdentityProvider):
    sign_in(idp, {**ROSE, "email_verified": True})
    assert not EmailAddress.objects.get(email="rose@sunflower.example").verified
    assert not User.objects.get(email="rose@sunflower.example").has_usable_password()


def test_a_session_of_a_provider_opens_its_own_tenant_only(
    provider: IdentityProvider, idp: FakeIdentityProvider, pine: Tenant, as_role: AsRole
):
    browser = sign_in(idp, ROSE)
    rose = User.objects.get(email="rose@sunflower.example")
    Membership.objects.create(user=rose, tenant=pine, role=Role.ADMIN)
    assert browser.get("/t/pine/machines/").status_code == 404
    assert browser.get("/").url == "/t/sunflower/", "and it is not even offered"
    assert "Pine" not in said(browser.get(MACHINES))
    with_another_session = WebClient()
    with_another_session.force_login(rose)
    assert with_another_session.get("/t/pine/machines/").status_code == 200


def test_the_database_too_opens_no_other_tenant_to_it(
    provider: IdentityProvider, idp: FakeIdentityProvider, pine: Tenant, owner: User, as_role: AsRole
):
    Membership.objects.create(user=owner, tenant=pine, role=Role.ADMIN)
    opened = {}
    for slug in ("sunflower", "pine"):
        with as_role("portal_web"), connection.cursor() as cursor:
            lower_wall(owner, slug, provider.key)
            cursor.execute("SELECT current_setting('app.tenant')")
            opened[slug] = cursor.fetchone()[0]
    assert opened == {"sunflower": str(provider.tenant_id), "pine": ""}


@pytest.mark.parametrize(
    "account_page",
    ["password/change/", "reauthenticate/", "2fa/", "2fa/totp/activate/", "2fa/webauthn/add/", "second-factor/"],
)
def test_a_session_of_a_provider_makes_itself_no_other_way_in(
    account_page: str, provider: IdentityProvider, idp: FakeIdentityProvider
):
    browser = sign_in(idp, ROSE)
    for method in (browser.get, browser.post):
        answer = method(f"/accounts/{account_page}")
        assert answer.status_code == 403 and "Your organisation looks after this" in said(answer)
    assert "Change password" not in said(browser.get(MACHINES))


def test_it_sees_and_ends_only_sessions_that_the_provider_opened(provider: IdentityProvider, idp: FakeIdentityProvider):
    first, second = sign_in(idp, ROSE), sign_in(idp, ROSE)
    rose = User.objects.get(email="rose@sunflower.example")
    rose.set_password("a password for tests")
    rose.save()
    EmailAddress.objects.update(verified=True)
    # A new password ends the sessions that were open.
    first, second = sign_in(idp, ROSE), sign_in(idp, ROSE)
    with_password = WebClient(HTTP_USER_AGENT="Firefox on Windows")
    with_password.post("/accounts/login/", {"login": rose.email, "password": "a password for tests"})
    assert "Firefox" not in said(first.get("/accounts/sessions/"))
    first.post("/accounts/sessions/end/", {"session": "others"})
    assert second.get(MACHINES).status_code == 302 and with_password.get(MACHINES).status_code == 200


def test_an_invitation_elsewhere_is_not_opened_by_it(
    provider: IdentityProvider, idp: FakeIdentityProvider, stranger: User
):
    browser = sign_in(idp, ROSE)
    inviting = WebClient()
    inviting.force_login(stranger)
    inviting.post("/t/pine/members/invite/", {"email": ROSE["email"], "role": "admin", "scope": "all"})
    (link,) = re.findall(r"http://testserver(/invitation/\S+)", str(mail.outbox[-1].body))
    assert "is not opened here" in said(browser.get(link, follow=True))
    assert "is not opened here" in said(browser.post("/invitation/"))
    assert not Membership.objects.filter(tenant__slug="pine", user__email=ROSE["email"]).exists()


def test_the_operator_site_knows_no_such_session(provider: IdentityProvider, idp: FakeIdentityProvider, settings: Any):
    browser = sign_in(idp, ROSE)
    User.objects.filter(email=ROSE["email"]).update(is_staff=True, is_superuser=True)
    settings.ROOT_URLCONF, settings.PROCESS = "portal.operator_urls", "operator"
    operator = Client()
    operator.cookies[portal_settings.SESSION_COOKIE_NAME] = browser.cookies[portal_settings.SESSION_COOKIE_NAME].value
    for page in ("/", "/tenants/tenant/", "/accounts/2fa/", "/accounts/2fa/totp/activate/", "/accounts/sessions/"):
        assert operator.get(page).status_code == 403, page


# ── What a provider says and does ────────────────────────────────────────────


@pytest.mark.parametrize(
    "lies",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-portal"},
        {"exp": 1},
        {"nonce": "of another sign-in"},
        {"sub": ""},
        {"sub": None},
        {"sub": "x" * 192},
        {"sub": {"$ne": ""}},
    ],
)
def test_a_token_that_does_not_fit_signs_nobody_in(
    lies: dict[str, Any], provider: IdentityProvider, idp: FakeIdentityProvider
):
    idp.lies = lies
    browser = sign_in(idp, ROSE)
    assert browser.answer.status_code == 403 and "This did not work" in said(browser.answer)
    assert browser.get(MACHINES).status_code == 302 and not SocialAccount.objects.exists()


@pytest.mark.parametrize("claims", [{"email": None}, {"email": "not an address"}, {"email": ["a@b.example"]}])
def test_who_is_new_needs_an_address(claims: dict[str, Any], provider: IdentityProvider, idp: FakeIdentityProvider):
    refused = sign_in(idp, {**ROSE, **claims}).answer
    assert refused.status_code == 403 and "does not tell your e-mail address" in said(refused)


def test_odd_names_and_groups_are_taken_as_they_may_be(provider: IdentityProvider, idp: FakeIdentityProvider):
    odd = {**ROSE, "name": "Ro\x00se\r\n\u202e" + "x" * 500, "groups": [None, {"a": 1}, "backup-members", 7]}
    assert sign_in(idp, odd).get(MACHINES).status_code == 200
    name = User.objects.get(email=ROSE["email"]).name
    assert name.startswith("Rosex") and len(name) == 120


def test_userinfo_about_somebody_else_is_not_believed(provider: IdentityProvider, idp: FakeIdentityProvider):
    idp.userinfo = {**ROSE, "sub": "admin-1"}
    assert sign_in(idp, {"sub": "rose-1"}).answer.status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://169.254.169.254/latest/"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
def test_a_provider_that_is_not_what_was_agreed_is_not_gone_to(
    changes: dict[str, Any], provider: IdentityProvider, idp: FakeIdentityProvider
):
    idp.configuration |= changes
    answer = WebClient().post("/accounts/sso/sunflower/")
    assert answer.status_code == 502 and "not what was agreed" in said(answer)


@pytest.mark.parametrize(
    "answer",
    [
        *([], {}, None, "token", b"<html>", b"", b"\xff\xfe", {"access_token": 7}, {"access_token": "a"}),
        *({"access_token": "a", "id_token": 7}, {"access_token": "a", "id_token": "a.b.c"}),
        {"access_token": "a", "id_token": "", "expires_in": "soon"},
    ],
)
def test_an_odd_answer_for_a_token_signs_nobody_in(answer: Any, provider: IdentityProvider, idp: FakeIdentityProvider):
    idp.token_answer = answer if answer is not None else b"null"
    assert sign_in(idp, ROSE).answer.status_code == 403


@pytest.mark.parametrize("configuration", [[], "no", 7, {}])
def test_an_odd_discovery_document_leads_nowhere(
    configuration: Any, provider: IdentityProvider, idp: FakeIdentityProvider
):
    idp.configuration = configuration
    assert WebClient().post("/accounts/sso/sunflower/").status_code == 502


def test_an_answer_without_its_question_signs_nobody_in(provider: IdentityProvider, idp: FakeIdentityProvider):
    query = idp.sign_in(leads_to(WebClient().post("/accounts/sso/sunflower/")), **ROSE)
    victim = WebClient()
    for tried in (query, "code=x&state=y", "", "error=access_denied", "state=" + "x" * 5000):
        assert victim.get(f"/accounts/sso/sunflower/callback/?{tried}").status_code == 403
    assert idp.asked == ["/.well-known/openid-configuration"], "nothing was exchanged"


def test_an_answer_works_once_and_for_its_own_organisation(
    provider: IdentityProvider, idp: FakeIdentityProvider, pine: Tenant
):
    provider_of(pine, idp, default_role="viewer")
    browser = WebClient()
    query = idp.sign_in(leads_to(browser.post("/accounts/sso/sunflower/")), **ROSE)
    assert browser.get(f"/accounts/sso/pine/callback/?{query}").status_code == 403
    assert browser.get(f"/accounts/sso/sunflower/callback/?{query}").status_code == 302
    assert browser.get(f"/accounts/sso/sunflower/callback/?{query}").status_code == 403


def test_who_stopped_there_is_told_so(provider: IdentityProvider, idp: FakeIdentityProvider):
    browser = WebClient()
    there = leads_to(browser.post("/accounts/sso/sunflower/"))
    (state,) = re.findall(r"state=(\w+)", there)
    answer = browser.get(f"/accounts/sso/sunflower/callback/?state={state}&error=access_denied")
    assert "You stopped signing in" in said(answer)


def test_the_secret_is_not_readable_in_a_copy_of_the_database(provider: IdentityProvider):
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(p)::text FROM tenants_identityprovider p")
        assert CLIENT_SECRET not in cursor.fetchone()[0]
    assert IdentityProvider.across_tenants.get().client_secret == CLIENT_SECRET


def test_a_suspended_tenants_name_is_not_known(provider: IdentityProvider, sunflower: Tenant):
    Tenant.objects.filter(pk=sunflower.pk).update(is_active=False)
    assert WebClient().get("/accounts/sso/sunflower/").status_code == 404


# ── No other way in, and the second factor ───────────────────────────────────


@pytest.fixture
def only(provider: IdentityProvider) -> IdentityProvider:
    provider.only_single_sign_on = True
    provider.save()
    return provider


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_password_does_not_open_a_tenant_with_no_other_way_in(
    headers: dict[str, str], only: IdentityProvider, owner: User
):
    browser = WebClient()
    browser.force_login(owner)
    for method in (browser.get, browser.post):
        answer = method("/t/sunflower/settings/", headers=headers)
        assert answer.status_code == 302 and answer.url.startswith("/accounts/sso/sunflower/?next=")


def test_it_acts_on_sessions_that_are_open(provider: IdentityProvider, owner: User):
    browser = WebClient()
    browser.force_login(owner)
    assert browser.get(MACHINES).status_code == 200
    IdentityProvider.across_tenants.update(only_single_sign_on=True)
    assert browser.get(MACHINES).status_code == 302


def test_nobody_is_invited_where_people_come_by_themselves(only: IdentityProvider, idp: FakeIdentityProvider):
    browser = sign_in(idp, {**ROSE, "groups": ["CN=Backup,OU=IT"]})
    assert "Invite a person" not in said(browser.get("/t/sunflower/members/"))
    form = {"email": "new@sunflower.example", "role": "viewer", "scope": "all"}
    answer = browser.post("/t/sunflower/members/invite/", form)
    assert answer.status_code == 422 and "come through your organisation" in said(answer)
    assert not mail.outbox


def test_a_second_factor_is_the_providers_affair_or_nobodys(provider: IdentityProvider, idp: FakeIdentityProvider):
    Tenant.objects.filter(pk=provider.tenant_id).update(second_factor_required=True)
    browser = sign_in(idp, ROSE)
    answer = browser.get(MACHINES)
    assert answer.status_code == 403 and "not known to ask for one" in said(answer)
    IdentityProvider.across_tenants.update(vouches_for_second_factor=True)
    assert browser.get(MACHINES).status_code == 200


def test_an_administrator_cannot_lock_everybody_out(provider: IdentityProvider, owner: User):
    browser = WebClient()
    browser.force_login(owner)
    form = {"time_zone": "Europe/Paris", "second_factor_required": "on"}
    answer = browser.post("/t/sunflower/settings/", form)
    assert answer.status_code == 422 and "nobody who comes through it" in said(answer)
    assert 'value="Europe/Paris"' in said(answer)
    assert not Tenant.objects.get(pk=provider.tenant_id).second_factor_required


# ── Connecting an account ────────────────────────────────────────────────────


def connect(browser: Client, idp: FakeIdentityProvider, claims: dict[str, Any]) -> Any:
    there = leads_to(browser.post("/accounts/sso/sunflower/connect/"))
    return browser.get(f"/accounts/sso/sunflower/callback/?{idp.sign_in(there, **claims)}", follow=True)


def with_password(user: User) -> Client:
    browser = WebClient()
    browser.post("/accounts/login/", {"login": user.email, "password": "a password for tests"})
    browser.post("/accounts/reauthenticate/", {"password": "a password for tests"})
    return browser


def test_who_has_an_account_connects_it_and_comes_in_as_themselves(
    only: IdentityProvider, idp: FakeIdentityProvider, owner: User
):
    browser = with_password(owner)
    assert "Connect my account" in said(browser.get(MACHINES, follow=True))
    claims = {**ROSE, "email": owner.email, "groups": ["CN=Backup,OU=IT"]}
    assert SocialAccount.objects.count() == 0
    connect(browser, idp, claims)
    assert SocialAccount.objects.get().user == owner
    assert AuditEntry.across_tenants.get(action="identity_connected").actor_name == owner.email
    assert sign_in(idp, claims).get(MACHINES).status_code == 200


def test_connecting_asks_for_the_password_again(provider: IdentityProvider, owner: User):
    browser = WebClient()
    browser.force_login(owner)
    assert browser.get("/accounts/sso/sunflower/connect/").url.startswith("/accounts/reauthenticate/")
    assert browser.post("/accounts/sso/sunflower/connect/").url.startswith("/accounts/reauthenticate/")


def test_a_stranger_connects_nothing(provider: IdentityProvider, idp: FakeIdentityProvider, stranger: User):
    answer = connect(with_password(stranger), idp, {**ROSE, "email": stranger.email})
    assert answer.status_code == 403 and not SocialAccount.objects.exists()


def test_an_identity_that_is_somebodys_is_not_taken_over(
    provider: IdentityProvider, idp: FakeIdentityProvider, owner: User
):
    sign_in(idp, ROSE)
    answer = connect(with_password(owner), idp, ROSE)
    assert answer.status_code == 403 and "belongs to another account" in said(answer)
    assert str(SocialAccount.objects.get().user) == "Rose"


def test_a_session_of_a_provider_connects_nothing(provider: IdentityProvider, idp: FakeIdentityProvider, pine: Tenant):
    provider_of(pine, idp, default_role="viewer")
    browser = sign_in(idp, ROSE)
    for at in ("sunflower", "pine"):
        assert browser.post(f"/accounts/sso/{at}/connect/").status_code in {302, 404}
    assert SocialAccount.objects.count() == 1


# ── The operator's side ──────────────────────────────────────────────────────


def operator(settings: Any) -> Client:
    settings.ROOT_URLCONF = "portal.operator_urls"
    browser = Client()
    browser.force_login(User.objects.create_superuser("staff@operator.example", "a password for tests"))
    return browser


def form_of(tenant: Tenant, idp: FakeIdentityProvider, **fields: Any) -> dict[str, Any]:
    return {
        **{"tenant": tenant.pk, "slug": "sunflower", "issuer": idp.issuer, "client_id": CLIENT_ID},
        **{"client_secret": CLIENT_SECRET, "groups_claim": "groups", "admin_groups": "CN=Backup,OU=IT\r\nroot\r\n"},
        **fields,
    }


def test_an_operator_sets_it_up_and_keeps_the_secret(sunflower: Tenant, idp: FakeIdentityProvider, settings: Any):
    browser = operator(settings)
    answer = browser.post("/tenants/identityprovider/add/", form_of(sunflower, idp), follow=True)
    assert "cannot be used" not in said(answer)
    made = IdentityProvider.across_tenants.get()
    assert made.client_secret == CLIENT_SECRET and made.admin_groups == ["CN=Backup,OU=IT", "root"]
    assert CLIENT_SECRET not in said(browser.get(f"/tenants/identityprovider/{made.pk}/change/"))
    browser.post(f"/tenants/identityprovider/{made.pk}/change/", form_of(sunflower, idp, client_secret="", slug="sun"))
    made.refresh_from_db()
    assert made.slug == "sun" and made.client_secret == CLIENT_SECRET
    actions = AuditEntry.across_tenants.order_by("at").values_list("action", flat=True)
    assert list(actions) == ["identity_provider_added", "identity_provider_changed"]
    assert not AuditEntry.across_tenants.filter(detail__icontains=CLIENT_SECRET).exists()


def test_an_operator_hears_that_it_cannot_work(sunflower: Tenant, idp: FakeIdentityProvider, settings: Any):
    idp.configuration["issuer"] = "https://other.example"
    answer = operator(settings).post("/tenants/identityprovider/add/", form_of(sunflower, idp), follow=True)
    assert "names another issuer" in said(answer)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"issuer": "http://idp.example"}, "Enter a valid URL"),
        ({"issuer": "https://idp.example/?x=1"}, "neither"),
        ({"client_secret": ""}, "required"),
        ({"admin_groups": ""}, "nobody new is let in"),
    ],
)
def test_what_cannot_work_is_refused(
    fields: dict[str, Any], problem: str, sunflower: Tenant, idp: FakeIdentityProvider, settings: Any
):
    answer = operator(settings).post("/tenants/identityprovider/add/", form_of(sunflower, idp, **fields))
    assert problem in said(answer) and not IdentityProvider.across_tenants.exists()


def test_one_tenants_provider_is_not_seen_by_another(provider: IdentityProvider, pine: Tenant, as_role: AsRole):
    with as_role("portal_web", pine):
        assert not IdentityProvider.across_tenants.exists()
    with as_role("portal_web", provider.tenant):
        assert IdentityProvider.across_tenants.exists()
