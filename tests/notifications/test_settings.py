"""What administrators set for everybody, and what they do with webhooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from notifications.models import TenantChoices, Webhook, WebhookDelivery
from notifications.webhook_wishes import MOST_WAITING_TESTS, MOST_WEBHOOKS
from tenants.models import AuditEntry, Role, Tenant, User
from tests.conftest import is_under_the_policy, person
from tests.notifications.happenings import people_are_told, webhook_of
from vprotect_bridge import leaving
from vprotect_bridge.models import Operation

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
HERE, NEW = "/t/sunflower/settings/notifications/", "/t/sunflower/settings/webhooks/new/"
TOPICS = dict.fromkeys(("protection", "backups", "restores", "plans", "other"), "always")
FORM = {**TOPICS, "url": "https://hooks.example/portal", "is_active": "on"}


@pytest.fixture
def browser(owner: User, as_web: Browser) -> Client:
    return as_web(owner)


@pytest.fixture
def hook(sunflower: Tenant) -> Webhook:
    return webhook_of(sunflower)


def page_of(hook: Webhook) -> str:
    return f"/t/sunflower/settings/webhooks/{hook.pk}/"


def soup_of(answer: Any) -> BeautifulSoup:
    assert is_under_the_policy(answer.content.decode())
    return BeautifulSoup(answer.content, "html.parser")


def audited() -> list[str]:
    return list(AuditEntry.across_tenants.order_by("at").values_list("action", flat=True))


def test_the_tenants_choices_are_kept_and_audited(browser: Client, sunflower: Tenant):
    assert browser.post(HERE, {**TOPICS, "by_mail": "at_once"}).status_code == 302
    chosen = TenantChoices.across_tenants.get(tenant=sunflower)
    assert (chosen.backups, chosen.by_mail) == ("always", "at_once") and audited() == ["notifications_chosen"]
    assert soup_of(browser.get(HERE)).select_one('input[name="by_mail"][value="at_once"][checked]')
    assert browser.post(HERE, {**TOPICS, "by_mail": "by pigeon"}).status_code == 422


def test_a_webhook_is_made_and_its_secret_shown_once(browser: Client):
    answer = browser.post(NEW, FORM)
    (secret,) = set(re.findall(r"whsec_[\w+/=]{40,}", answer.content.decode()))
    hook = Webhook.across_tenants.get()
    assert hook.url == FORM["url"] and audited() == ["webhook_added"] and "no-store" in answer["Cache-Control"]
    for page in (HERE, page_of(hook)):
        assert secret not in browser.get(page).content.decode()
    assert secret not in str(AuditEntry.across_tenants.values())


def test_a_new_webhook_begins_with_problems_chosen(browser: Client):
    page = soup_of(browser.get(NEW))
    form = {field["name"]: field["value"] for field in page.select("input[checked], input[name=is_active]")}
    assert browser.post(NEW, {**form, "url": FORM["url"]}).status_code == 200
    assert Webhook.across_tenants.get().backups == "problems"


def test_another_secret_takes_the_place_of_it(browser: Client, hook: Webhook):
    was = hook.encrypted_secret
    answer = browser.post(page_of(hook), {"secret": "new"})
    hook.refresh_from_db()
    assert "whsec_" in answer.content.decode() and audited() == ["webhook_secret_changed"]
    assert (hook.encrypted_former_secret, hook.encrypted_secret != was) == (was, True)
    assert hook.former_until and hook.former_until > timezone.now() + timedelta(hours=23)


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "javascript:alert(1)"),
        *("https://user:password@hooks.example/", "https://hooks.example/#x", "https://", "https://x y/"),
        *("https://127.0.0.1/x", "https://localhost:9002/x", "https://10.1.2.3/x", "https://[::1]/x"),
        *("https://169.254.169.254/latest", "https://[::ffff:127.0.0.1]/x"),
    ],
)
def test_an_address_that_is_none_or_not_a_public_one_is_refused(url: str, browser: Client, settings: Any):
    settings.OUTBOUND_PRIVATE_NETWORKS = []
    answer = browser.post(NEW, {**FORM, "url": url})
    assert answer.status_code == 422 and soup_of(answer).select(".error-summary li")
    assert not Webhook.across_tenants.exists()


def test_the_same_address_twice_and_too_many_are_refused(browser: Client, sunflower: Tenant, hook: Webhook):
    assert browser.post(NEW, {**FORM, "url": hook.url}).status_code == 422
    for number in range(MOST_WEBHOOKS - 1):
        webhook_of(sunflower, f"https://hooks.example/{number}")
    assert browser.post(NEW, FORM | {"url": "https://hooks.example/more"}).status_code == 422
    assert Webhook.across_tenants.count() == MOST_WEBHOOKS


def test_it_is_changed_and_switched_off(browser: Client, hook: Webhook, sunflower: Tenant):
    WebhookDelivery.across_tenants.create(tenant=sunflower, webhook=hook)
    changed = {**FORM, "url": "https://hooks.example/other"}
    del changed["is_active"]
    assert browser.post(page_of(hook), changed).status_code == 302
    hook.refresh_from_db()
    assert (hook.url, hook.is_active, audited()) == ("https://hooks.example/other", False, ["webhook_changed"])
    waiting = WebhookDelivery.across_tenants.get()
    assert (waiting.state, waiting.problem) == ("given_up", "switched_off")
    assert "Switched off" in browser.get(HERE).content.decode()


def test_a_test_is_sent_and_not_too_many(browser: Client, hook: Webhook):
    for _ in range(MOST_WAITING_TESTS + 2):
        assert browser.post(page_of(hook), {"test": "1"}).status_code == 302
    assert WebhookDelivery.across_tenants.filter(event=None, state="waiting").count() == MOST_WAITING_TESTS


def test_what_was_given_up_is_sent_again(browser: Client, hook: Webhook, sunflower: Tenant):
    row = WebhookDelivery.across_tenants.create(tenant=sunflower, webhook=hook, state="given_up", attempts=8)
    assert browser.post(page_of(hook), {"again": row.pk}).status_code == 302
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("waiting", 0)


def test_only_a_delivery_of_this_webhook_is_sent_again(
    browser: Client, hook: Webhook, sunflower: Tenant, pine: Tenant, stranger: User
):
    other = webhook_of(sunflower, "https://hooks.example/other")
    theirs = webhook_of(pine)
    rows = [
        WebhookDelivery.across_tenants.create(tenant=of.tenant, webhook=of, state="given_up") for of in (other, theirs)
    ]
    for named in (*(row.pk for row in rows), "0191f0a0-0000-7000-8000-000000000000", "x", ""):
        assert browser.post(page_of(hook), {"again": named}).status_code == 404
    assert not WebhookDelivery.across_tenants.filter(state="waiting").exists()


def test_the_log_tells_what_became_of_each(browser: Client, hook: Webhook, sunflower: Tenant, owner: User):
    people_are_told(sunflower)
    WebhookDelivery.across_tenants.update(state="waiting", attempts=2, status_code=503, problem="status", took_ms=12)
    page = soup_of(browser.get(page_of(hook)))
    told = page.select_one("#deliveries").get_text(" ", strip=True)  # type: ignore[union-attr]
    assert "backup.failed" in told and "503" in told and "2 tries" in told and "It answered with an error." in told


def test_while_it_does_not_answer_the_page_says_until_when_everything_waits(browser: Client, hook: Webhook):
    assert "everything waits here" not in soup_of(browser.get(page_of(hook))).get_text(" ", strip=True)
    Webhook.across_tenants.update(failures=3)
    assert "everything waits here" in soup_of(browser.get(page_of(hook))).get_text(" ", strip=True)


def test_the_log_moves_while_something_is_on_its_way(browser: Client, hook: Webhook):
    browser.post(page_of(hook), {"test": "1"})
    poll = soup_of(browser.get(page_of(hook))).select_one("#deliveries")["hx-get"]  # type: ignore[index]
    assert browser.get(poll, headers={"HX-Request": "true"}).status_code == 204
    WebhookDelivery.across_tenants.update(state="delivered", attempts=1, status_code=200)
    answer = browser.get(poll, headers={"HX-Request": "true"})
    assert answer.status_code == 200 and "hx-get" not in soup_of(answer).select_one("#deliveries").attrs  # type: ignore[union-attr]


def test_it_is_removed_after_a_question(browser: Client, hook: Webhook):
    assert hook.url in browser.get(f"{page_of(hook)}remove/").content.decode()
    assert browser.post(f"{page_of(hook)}remove/").status_code == 302
    assert not Webhook.across_tenants.exists() and audited() == ["webhook_removed"]


def test_a_tenant_that_is_removed_leaves_nothing(sunflower: Tenant, owner: User):
    people_are_told(sunflower)
    operator = User.objects.create_superuser("operator@x.example", "a password for tests")
    past = timezone.now() - timedelta(days=1)
    Tenant.objects.filter(pk=sunflower.pk).update(is_active=False, leaves_at=past)
    Operation.across_tenants.update(outcome="failed")
    leaving.remove(sunflower, by=operator, address=None)
    for model in (Webhook, WebhookDelivery, TenantChoices):
        assert not model.across_tenants.exists(), model


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.RESTORER])
def test_only_administrators_reach_it(role: str, hook: Webhook, sunflower: Tenant, as_web: Browser):
    browser = as_web(person(sunflower, "colleague", role))
    for page in (HERE, NEW, page_of(hook), f"{page_of(hook)}remove/"):
        assert browser.get(page).status_code == 403 and browser.post(page, FORM).status_code == 403
