"""Names and words that come from elsewhere are text, whatever they look like, on every page that shows them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from bs4 import BeautifulSoup, Tag
from django.core import mail
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from tenants.models import AuditEntry, Membership, Tenant, User
from tests.access.conftest import Cast, asked, routes
from tests.access.matrix import MATRIX
from tests.conftest import WebClient
from vprotect_bridge.models import (
    Backup,
    Cluster,
    Destination,
    Hypervisor,
    Machine,
    Operation,
    OperationEvent,
    Plan,
    PlanChange,
    Policy,
    Schedule,
    Storage,
)

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
# `make test` tries three that together break out of text, attributes and templates; `make access` tries all.
HOSTILE = [
    '"><img src=x onerror=alert(1337)>',
    "{{191*7}}${191*7}{% debug %}",
    "=HYPERLINK(1337)",
    "</script><script>alert(1337)</script>",
    "</title></textarea></style><svg onload=alert(1337)>",
    "' onmouseover='alert(1337)' x='",
    "javascript:alert(1337)",
    '"}\' hx-get="/evil" hx-trigger="load" data-hx-on:load="alert(1337)',
    "\u202egnp.exe\u200b\u2066 alert(1337)",
    "x" * 10_000,
]
EACH = [pytest.param(text, marks=() if place < 3 else pytest.mark.slow) for place, text in enumerate(HOSTILE)]
GETS = [name for name in MATRIX if MATRIX[name].get("GET", {}).get("admin") == 200]


@pytest.fixture(params=EACH, ids=lambda text: re.sub(r"\W", "", text)[:12])
def hostile(request: pytest.FixtureRequest, cast: Cast, addresses: dict[str, str], places: None) -> str:
    """Everything that has a name has this one."""
    text = str(request.param)
    short = text[:120]
    for model in (Machine, Destination, Hypervisor, Cluster, Storage, Policy, Schedule):
        model._base_manager.update(name=text)
    Machine.across_tenants.update(
        **{"platform": text[:40], "project_name": text, "policy_name": text, "cluster_name": text, "tags": [text]},
        **{"hypervisor_name": text, "tenant_value": text[:255], "details": {"tags": [text]}},
    )
    Policy.objects.create(guid="policy", name=text, row_digest="")
    Schedule.objects.create(guid="schedule", name=text, row_digest="")
    Backup.across_tenants.update(status=text[:40], type=text[:40], status_info=text, warnings=[text])
    Operation.across_tenants.update(
        user_message=text, made_type=text[:40], outcome="failed", finished_at=timezone.now()
    )
    Authenticator.objects.update(data={"name": text})
    Plan.across_tenants.update(name=short, upstream_name=text[:255], policy_guid="policy")
    PlanChange.across_tenants.update(user_message=text, detail=text)
    for operation in Operation.across_tenants.all():
        OperationEvent.across_tenants.create(
            tenant=operation.tenant, operation=operation, moved_to="accepted", detail=text
        )
    Tenant.objects.update(name=short)
    User.objects.update(name=short)
    for tenant in Tenant.objects.all():
        AuditEntry.across_tenants.create(
            tenant=tenant,
            actor_name=text[:254],
            action=text[:60],
            machine_name=text,
            detail={text[:50]: text, "email": text},
            outcome="accepted",
        )
    return text


def assert_only_text(html: str, where: str) -> None:
    assert "1337</" not in html or "alert(1337" in html, f"{where}: something was computed"
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(True):
        assert isinstance(tag, Tag)
        assert tag.name not in {"svg"} or "onload" not in tag.attrs, where
        bad = [name for name in tag.attrs if name.startswith("on") or name.startswith("data-hx-on")]
        assert not bad, f"{where}: {tag.name} {bad}"
        assert tag.get("hx-get") != "/evil" and tag.get("src") != "x", where
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
            assert not str(tag.get(name, "")).strip().lower().startswith("javascript:"), f"{where}: {tag}"
    scripts = [str(script) for script in soup.find_all("script") if not script.get("src")]
    assert not [script for script in scripts if "application/json" not in script], where


def test_pages_show_it_as_text(hostile: str, cast: Cast, addresses: dict[str, str], as_web: Browser):
    browser = as_web(cast["admin"])
    shown = 0
    for name in GETS:
        for headers in ({}, {"HX-Request": "true"}):
            answer = asked(browser, "GET", addresses[name], **headers)
            assert answer.status_code == 200, name
            if "csv" not in answer["Content-Type"]:
                assert_only_text(answer.content.decode(), name)
            shown += hostile[:12] in BeautifulSoup(answer.content, "html.parser").get_text()
    assert shown > 5 or hostile.startswith(("=", "{", "x")), "the names are on the pages at all"


def test_the_operator_site_shows_it_as_text(hostile: str, cast: Cast, settings: Any):
    settings.ROOT_URLCONF = "portal.operator_urls"
    browser = WebClient()
    browser.role = "portal_operator"
    browser.force_login(cast["staff"])  # type: ignore[arg-type]
    lists = [route for route, name in routes(get_resolver().url_patterns) if (name or "").endswith("_changelist")]
    extra = ["vprotect_bridge/machine/drift/", "tenants/claim/paste/", "tenants/tenant/limits/", ""]
    machine, tenant = Machine.across_tenants.get(guid="vm-1"), Tenant.objects.get(slug="sunflower")
    extra += [f"vprotect_bridge/machine/{machine.pk}/{page}/" for page in ("change", "hand-over", "history")]
    extra += [f"tenants/tenant/{tenant.pk}/{page}/" for page in ("change", "leave")]
    for address in [*lists, *extra]:
        answer = asked(browser, "GET", f"/{address}")
        assert answer.status_code == 200, address
        assert_only_text(answer.content.decode(), address)


def test_a_mail_holds_it_as_text(hostile: str, cast: Cast, as_web: Browser):
    form = {"email": "new@sunflower.example", "role": "viewer", "scope": "all"}
    assert as_web(cast["admin"]).post("/t/sunflower/members/invite/", form).status_code == 302
    sent = mail.outbox[-1]
    assert sent.recipients() == ["new@sunflower.example"] and "\n" not in sent.subject
    (html,) = sent.alternatives  # type: ignore[attr-defined]
    assert html.mimetype == "text/html"
    assert_only_text(html.content, "the invitation")
    said = f"{hostile[:120]} invites you to the backups of {hostile[:120]}."
    assert said in [paragraph.get_text() for paragraph in BeautifulSoup(html.content, "html.parser").find_all("p")]
    assert said in sent.body.splitlines()


def test_a_file_holds_no_formula(hostile: str, cast: Cast, as_web: Browser):
    answer = as_web(cast["admin"]).get("/t/sunflower/audit/file.csv")
    for row in csv.reader(answer.content.decode().splitlines()):
        assert not [cell for cell in row if cell.startswith(("=", "+", "@", "\t"))]


def test_a_fragment_of_a_title_cannot_leave_it(cast: Cast, sunflower: Tenant, as_web: Browser):
    Tenant.objects.update(name="</title><script>alert(1337)</script>")
    assert Membership.objects.filter(tenant=sunflower).exists()
    html = as_web(cast["admin"]).get("/t/sunflower/machines/").content.decode()
    assert html.count("</title>") == 1
