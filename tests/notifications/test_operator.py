"""What operators see of what is told: what is on its way and what was given up, never its words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications import sorting
from notifications.facts import NotificationFacts
from notifications.models import Mail, WebhookDelivery
from tenants.models import AuditEntry, Tenant, User
from tests.conftest import AsRole, OperatorClient, is_under_the_policy, machine_of
from tests.notifications.happenings import ended, people_are_told
from vprotect_bridge.models import Alert

pytestmark = [pytest.mark.django_db, pytest.mark.urls("portal.operator_urls")]
PAGES = {"mail": Mail, "webhookdelivery": WebhookDelivery}


@pytest.fixture
def given_up(sunflower: Tenant, owner: User) -> None:
    people_are_told(sunflower)
    for model in PAGES.values():
        model.across_tenants.update(state="given_up", attempts=8, problem="status")  # type: ignore[attr-defined]


@pytest.fixture
def operator(db: None) -> Iterator[Client]:
    client = OperatorClient()
    client.force_login(User.objects.create_superuser("operator@provider.example", "a password for tests"))
    yield client


@pytest.mark.parametrize("name", PAGES)
def test_its_page_tells_no_words_and_no_secret(name: str, given_up: None, operator: Client):
    answer = operator.get(reverse(f"admin:notifications_{name}_changelist"))
    page = answer.content.decode()
    assert answer.status_code == 200 and is_under_the_policy(page) and "Sunflower" in page
    row = operator.get(reverse(f"admin:notifications_{name}_change", args=[PAGES[name].across_tenants.get().pk]))
    assert row.status_code == 200
    for text in (page, row.content.decode()):
        assert "told of sunflower" not in text and "gAAAA" not in text


@pytest.mark.parametrize("name", PAGES)
def test_what_was_given_up_is_sent_again(name: str, given_up: None, operator: Client):
    pk = PAGES[name].across_tenants.get().pk
    form = {"action": "send_again", "_selected_action": [pk]}
    assert operator.post(reverse(f"admin:notifications_{name}_changelist"), form).status_code == 302
    row = PAGES[name].across_tenants.get()
    assert (row.state, row.attempts) == ("waiting", 0)
    assert AuditEntry.across_tenants.get().action == f"{name}_sent_again"


def front_page(operator: Client) -> dict[str, str]:
    """What needs an operator, and where it leads."""
    page = BeautifulSoup(operator.get(reverse("admin:index")).content, "html.parser")
    return {" ".join(row.get_text(" ").split()): row.a["href"] for row in page.select(".needs-you li")}  # type: ignore[index]


def test_the_front_page_leads_to_what_fails_and_to_no_more(given_up: None, operator: Client):
    shown = front_page(operator)
    for model, words in ((Mail, "1 mail that could not be sent"), (WebhookDelivery, "1 call of a webhook that fails")):
        other = model.across_tenants.get()
        other.pk, other.state = None if model is Mail else uuid4(), "sent" if model is Mail else "delivered"
        other.until, other.event = timezone.now(), None
        other.save(force_insert=True)
        rows = operator.get(shown[words]).context["cl"].result_list
        assert [row.state for row in rows] == ["given_up"]
        model.across_tenants.update(next_at=timezone.now() - timedelta(days=2))
    assert not {words for words in front_page(operator) if "mail" in words or "call" in words}


def test_the_front_page_counts_open_alerts_and_tenants_at_their_limits(operator: Client, sunflower: Tenant):
    machine = machine_of(sunflower)
    for days, closed_at in ((3, None), (5, timezone.now())):
        began_at = timezone.now() - timedelta(days=days, hours=1)
        Alert.across_tenants.create(
            tenant=sunflower, machine=machine, kind="late", began_at=began_at, closed_at=closed_at
        )
    assert not [words for words in front_page(operator) if "limit" in words and words != "Limits"]
    Tenant.objects.update(planned_machine_warning=0)
    shown = {words.replace("\xa0", " "): address for words, address in front_page(operator).items()}
    assert len(operator.get(shown["1 open alert the oldest for 3 days, 1 hour"]).context["cl"].result_list) == 1
    assert operator.get(shown["1 tenant at a limit"]).status_code == 200


def test_figures_tell_what_waits_and_what_was_given_up(
    given_up: None, sunflower: Tenant, as_role: AsRole, monkeypatch: pytest.MonkeyPatch
):
    ended(machine_of(sunflower, "vm-1"))
    monkeypatch.setattr("notifications.facts.connections.close_all", lambda: None)
    with as_role("portal_worker"):
        told = figures()
    assert told["portal_notifications_waiting", "sorting"] == 2 and told["portal_notifications_waiting", "mail"] == 0
    assert told["portal_notifications_of_a_day", "mail"] == 1
    sorting.sort()
    with as_role("portal_worker"):
        assert figures()["portal_notifications_waiting", "sorting"] == 0


def figures() -> dict[tuple[str, str], float]:
    metrics: Any = NotificationFacts().collect()
    samples = [
        sample for one in metrics for sample in one.samples if sample.labels.get("state", "given_up") == "given_up"
    ]
    return {(sample.name, sample.labels["channel"]): sample.value for sample in samples}


def test_an_old_one_that_waits_is_told_by_its_age(sunflower: Tenant, owner: User):
    now = timezone.now()
    Mail.across_tenants.create(
        tenant=sunflower, user=owner, kind="news", since=now, until=now, next_at=now - timedelta(hours=1)
    )
    assert figures()["portal_notifications_oldest_seconds", "mail"] >= 3600
