import json

import pytest
from django.core.management import CommandError, call_command

from tenants.models import Claim, Grant, Membership, Tenant, User

pytestmark = pytest.mark.django_db

MODELS = (Tenant, User, Membership, Claim, Grant)


def _rows() -> list[int]:
    return [model._default_manager.count() for model in MODELS]


def _people(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    call_command("seed_demo", "--print-people")
    return json.loads(capsys.readouterr().out)


def test_seeding_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMO_PASSWORD", "the word of the demo")
    call_command("seed_demo")
    first = _rows(), list(User.objects.order_by("pk").values_list("email", "password"))
    call_command("seed_demo")
    assert (_rows(), list(User.objects.order_by("pk").values_list("email", "password"))) == first
    assert first[0] == [3, 15, 15, 14, 18]


def test_everybody_printed_can_sign_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("DEMO_PASSWORD", "the word of the demo")
    call_command("seed_demo")
    for person in _people(capsys):
        user = User.objects.get(email=person["email"])
        assert user.check_password("the word of the demo")
        assert user.is_staff == (person["role"] == "operator")
        if person["tenant"]:
            assert user.memberships.get(tenant__slug=person["tenant"]).role == person["role"]


def test_one_person_is_limited_to_three_machines_that_the_tenant_claims(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMO_PASSWORD", "the word of the demo")
    call_command("seed_demo")
    limited = Membership.objects.get(machine_guids__isnull=False)
    claimed = Claim.across_tenants.filter(tenant=limited.tenant).values_list("value", flat=True)
    assert len(limited.machine_guids) == 3
    assert set(limited.machine_guids) <= set(claimed)


def test_printing_people_changes_nothing(capsys: pytest.CaptureFixture[str]):
    assert {"email", "tenant", "role", "note"} == set(_people(capsys)[0])
    assert _rows() == [0, 0, 0, 0, 0]


def test_without_a_password_nobody_is_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    with pytest.raises(CommandError, match="DEMO_PASSWORD is not set"):
        call_command("seed_demo")
    assert _rows() == [0, 0, 0, 0, 0]
