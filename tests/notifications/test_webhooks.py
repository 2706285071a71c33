"""Webhooks from what happened to a receiver: signed, once, tried again, and never somewhere they must not go."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from notifications import retention, signing, sorting, webhooks
from notifications.models import Event, Mail, Notice, Webhook, WebhookDelivery
from tenants import key_rotation
from tenants.models import Tenant, User
from tests.conftest import AsRole, machine_of
from tests.notifications.conftest import Receiver
from tests.notifications.happenings import ended, webhook_of
from vprotect_bridge.limits import QUOTA_USED_UP
from vprotect_bridge.models import Alert, Machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(sunflower: Tenant, receiver: Receiver) -> Webhook:
    return webhook_of(sunflower, receiver.url)


@pytest.fixture
def now(time_machine: Any) -> Any:
    time_machine.move_to(timezone.now(), tick=False)
    return time_machine


def run() -> None:
    sorting.sort()
    webhooks.call_due()


def later(now: Any, **how: int) -> None:
    now.shift(timedelta(**how))
    run()


def delivery() -> WebhookDelivery:
    return WebhookDelivery.across_tenants.get()


# ── What is said ─────────────────────────────────────────────────────────────


def test_a_failure_arrives_as_json(machine: Machine, hook: Webhook, receiver: Receiver):
    operation = ended(machine)
    run()
    (message,) = receiver.messages
    assert message["type"] == "backup.failed"
    assert message["data"] == {
        "tenant": "sunflower",
        "problem": True,
        "machine": {"guid": "vm-1", "name": "machine vm-1"},
        "plan": None,
        "operation": str(operation.pk),
        "reason": "The backup system reported an error. Your provider can see its details.",
        "turn": "unknown",
        "link": f"http://testserver/t/sunflower/operations/{operation.pk}/",
    }
    row = delivery()
    assert (row.state, row.attempts, row.status_code, row.problem) == ("delivered", 1, 204, "")
    run()
    assert len(receiver.calls) == 1


def test_a_quota_is_the_providers_turn(machine: Machine, hook: Webhook, receiver: Receiver):
    ended(machine, user_message=QUOTA_USED_UP)
    run()
    (message,) = receiver.messages
    assert (message["data"]["reason"], message["data"]["turn"]) == (QUOTA_USED_UP, "provider")


def test_each_thing_has_its_type(machine: Machine, hook: Webhook, receiver: Receiver, sunflower: Tenant):
    ended(machine, "succeeded")
    ended(machine, "succeeded", kind="restore")
    alert = Alert.across_tenants.create(tenant=sunflower, machine=machine, kind="late", began_at=timezone.now())
    alert.closed_at = timezone.now()
    alert.save()
    Webhook.across_tenants.update(protection="always")
    run()
    types = ["backup.succeeded", "restore.succeeded", "alert.late.opened", "alert.late.closed"]
    assert [message["type"] for message in receiver.messages] == types


def test_of_a_late_machine_it_says_how_old_the_newest_backup_was(
    machine: Machine, hook: Webhook, receiver: Receiver, sunflower: Tenant
):
    newest = timezone.now() - timedelta(hours=30)
    details = {"target_hours": 24, "last_success_at": newest.isoformat()}
    facts = {"tenant": sunflower, "machine": machine, "kind": "late", "turn": "customer", "details": details}
    Alert.across_tenants.create(**facts, began_at=newest + timedelta(hours=24))
    run()
    data = receiver.messages[0]["data"]
    assert data["details"] == details and data["turn"] == "customer"
    said = r"Its newest good backup was 30 hours old \(.* UTC\); its target is 24 hours\. Your organisation can"
    assert re.match(said, data["reason"])


def test_only_what_was_chosen_is_sent(machine: Machine, hook: Webhook, receiver: Receiver):
    Webhook.across_tenants.update(backups="problems", restores="never")
    ended(machine, "succeeded")
    ended(machine, kind="restore")
    ended(machine)
    run()
    assert [message["type"] for message in receiver.messages] == ["backup.failed"]


def test_nothing_of_another_tenant_is_sent(hook: Webhook, receiver: Receiver, pine: Tenant):
    ended(machine_of(pine, "vm-9"))
    run()
    assert receiver.calls == []


@pytest.mark.parametrize("what", ["switched off", "suspended"])
def test_nothing_is_sent_where_it_is_switched_off(
    what: str, machine: Machine, hook: Webhook, receiver: Receiver, sunflower: Tenant
):
    ended(machine)
    sorting.sort()
    if what == "suspended":
        Tenant.objects.filter(pk=sunflower.pk).update(is_active=False)
    else:
        Webhook.across_tenants.update(is_active=False)
    run()
    assert receiver.calls == []


# ── Signed ───────────────────────────────────────────────────────────────────


def test_somebody_elses_library_takes_the_signature(machine: Machine, hook: Webhook, receiver: Receiver):
    secret = signing.give_secret(hook)
    hook.encrypted_former_secret, hook.former_until = "", None
    hook.save()
    ended(machine)
    run()
    ((headers, body),) = receiver.calls
    assert Verifier(secret).verify(body, headers)["type"] == "backup.failed"
    for wrong_headers, wrong_body in (
        (headers, body + b" "),
        (headers | {"webhook-id": "msg_other"}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 3600)}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(wrong_body, wrong_headers)


def test_the_receiver_of_the_documents_takes_it_too(machine: Machine, hook: Webhook, receiver: Receiver):
    """docs/tenant-admins.md, as administrators copy it."""
    document = (settings.BASE_DIR / "docs/tenant-admins.md").read_text()
    (snippet,) = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 — it is our own
    secret = signing.give_secret(hook)
    hook.save()
    ended(machine)
    run()
    ((headers, body),) = receiver.calls
    assert names["verified"](secret, headers, body) == headers["webhook-id"]
    old = headers | {"webhook-timestamp": "1"}
    other = signing.PREFIX + "AAAA"
    for wrong in ((secret, headers, body + b" "), (secret, old, body), (other, headers, body)):
        with pytest.raises(ValueError, match=r"not signed|too old"):
            names["verified"](*wrong)


def test_a_former_secret_signs_along_for_a_day(machine: Machine, hook: Webhook, receiver: Receiver, now: Any):
    first = signing.give_secret(hook)
    second = signing.give_secret(hook)
    hook.save()
    for hours, valid in ((0, [True, True]), (25, [False, True])):
        now.shift(timedelta(hours=hours))
        ended(machine)
        run()
        headers, body = receiver.calls[-1]
        assert [is_taken(secret, body, headers) for secret in (first, second)] == valid


def is_taken(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Verifier(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def test_the_secret_is_nowhere_to_be_read(hook: Webhook):
    secret = signing.give_secret(hook)
    hook.save()
    row = Webhook.across_tenants.values().get()
    assert secret not in str(row) and secret.removeprefix("whsec_") not in str(row) and len(secret) > 45


def test_it_survives_another_secret_key(machine: Machine, hook: Webhook, receiver: Receiver, settings: Any):
    secret = signing.give_secret(hook)
    hook.save()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key for tests only, worth nothing, 0123456789"
    assert key_rotation.reencrypt_all()["secrets of webhooks"] == 1
    settings.SECRET_KEY_FALLBACKS = []
    ended(machine)
    run()
    headers, body = receiver.calls[0]
    assert is_taken(secret, body, headers)


def test_operators_may_encrypt_it_anew_and_change_nothing_else(hook: Webhook, as_role: AsRole):
    with as_role("portal_operator"):
        assert signing.encrypt_anew() == 1


# ── Tries ────────────────────────────────────────────────────────────────────


def test_it_is_tried_again_under_the_same_id_with_another_time(
    machine: Machine, hook: Webhook, receiver: Receiver, now: Any
):
    receiver.answers = [500, 302]
    ended(machine)
    run()
    assert (delivery().state, delivery().status_code, delivery().problem) == ("waiting", 500, "status")
    later(now, seconds=5)
    assert (delivery().problem, delivery().status_code) == ("redirect", None), "which is not followed"
    later(now, minutes=5)
    assert (delivery().state, delivery().attempts) == ("delivered", 3)
    ids, times = ([headers[name] for headers, _body in receiver.calls] for name in ("webhook-id", "webhook-timestamp"))
    assert len(set(ids)) == 1 and len(set(times)) == 3


def test_after_a_day_it_is_given_up(machine: Machine, hook: Webhook, receiver: Receiver, now: Any):
    receiver.answers = [503] * 50
    ended(machine)
    run()
    for _ in range(40):
        later(now, hours=1)
    assert (delivery().state, delivery().attempts, len(receiver.calls)) == ("given_up", 8, 8)


def test_an_address_that_is_away_is_not_asked_for_each_message(
    sunflower: Tenant, hook: Webhook, receiver: Receiver, now: Any
):
    receiver.answers = [503] * 50
    for number in range(30):
        ended(machine_of(sunflower, f"vm-{number}"))
    for _ in range(12):
        run()
        now.shift(timedelta(seconds=5))
    assert len(receiver.calls) <= 4
    receiver.answers.clear()
    for _ in range(8):
        later(now, minutes=5)
    assert not WebhookDelivery.across_tenants.exclude(state="delivered").exists()


def test_one_that_cannot_be_written_holds_up_no_other(
    machine: Machine, hook: Webhook, receiver: Receiver, now: Any, monkeypatch: pytest.MonkeyPatch
):
    ended(machine)
    ended(machine, "succeeded")
    sorting.sort()
    Event.across_tenants.filter(what="failed").update(facts={})
    run()
    assert [message["type"] for message in receiver.messages] == ["backup.succeeded"]
    assert WebhookDelivery.across_tenants.get(event__what="failed").problem == "ours"


def test_who_wants_no_more_is_called_no_more(machine: Machine, hook: Webhook, receiver: Receiver, now: Any):
    receiver.answers = [410]
    ended(machine)
    run()
    hook.refresh_from_db()
    assert (hook.is_active, hook.gone_at is not None, delivery().state) == (False, True, "given_up")


def test_who_dies_in_between_leaves_it_to_the_next(machine: Machine, hook: Webhook, receiver: Receiver, now: Any):
    ended(machine)
    sorting.sort()
    assert webhooks.claim() == hook
    run()
    assert receiver.calls == [], "for a while it is nobody else's"
    later(now, minutes=1)
    assert delivery().state == "delivered"


# ── Where it may go ──────────────────────────────────────────────────────────


def test_an_inside_address_is_refused_when_it_is_called(
    machine: Machine, hook: Webhook, receiver: Receiver, settings: Any
):
    settings.OUTBOUND_PRIVATE_NETWORKS = []
    ended(machine)
    run()
    assert receiver.calls == [] and delivery().problem == "not_public"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://169.254.169.254/latest/meta-data/", "not_public"),
        ("https://[::1]/", "not_public"),
        ("https://10.0.0.1/", "not_public"),
        ("https://localhost:1/", "unreachable"),
        ("http://localhost/", "unreachable"),
        ("file:///etc/passwd", "unreachable"),
    ],
)
def test_what_it_may_not_call_it_does_not(url: str, problem: str, machine: Machine, hook: Webhook, receiver: Receiver):
    Webhook.across_tenants.update(url=url)
    ended(machine)
    run()
    assert (receiver.calls, delivery().problem) == ([], problem)


def test_an_untrusted_certificate_is_refused(machine: Machine, hook: Webhook, receiver: Receiver, settings: Any):
    settings.OUTBOUND_CA_FILE = None
    ended(machine)
    run()
    assert (receiver.calls, delivery().problem) == ([], "certificate")


# ── How long it is kept ──────────────────────────────────────────────────────


def test_what_is_over_goes_and_nothing_that_waits_is_sent_again(
    machine: Machine, hook: Webhook, receiver: Receiver, owner: User, sunflower: Tenant, now: Any
):
    ended(machine)
    ended(machine, "cancelled")
    run()
    mail = Mail.across_tenants.create(
        tenant=sunflower, user=owner, kind="news", state="sent", since=timezone.now(), until=timezone.now()
    )
    Notice.across_tenants.update(mail=mail, due_at=timezone.now())
    Webhook.across_tenants.update(backups="problems")
    assert retention.remove_old() == 0
    now.shift(timedelta(days=61))
    retention.remove_old()
    for model in (Event, Notice, Mail, WebhookDelivery):
        assert not model.across_tenants.exists(), model


def test_what_nobody_was_told_of_goes_after_a_week(machine: Machine, owner: User, now: Any):
    ended(machine, "succeeded")
    ended(machine)
    sorting.sort()
    now.shift(timedelta(days=9))
    retention.remove_old()
    assert [event.what for event in Event.across_tenants.all()] == ["failed"]
