"""Ids that are not one's own: wherever one can be named, a foreign and an unknown one are told the same.

The same bytes, the same statements, nothing written and nothing asked of vProtect: in addresses, query strings, form
fields and lists, with each wall alone, with and without HTMX.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from tenants.models import AuditEntry, Tenant, User
from tests.access.conftest import Cast, Headers, asked, ids_of, names_below_a_tenant, parts_of
from tests.access.matrix import MATRIX
from tests.conftest import machine_of
from vprotect_bridge.models import (
    Alert,
    Machine,
    PlanChange,
    Question,
)

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
UNKNOWN: dict[str, Any] = {
    **{"guid": "vm-7777", "member_id": 7_777_777, "plan_id": uuid4(), "question_id": uuid4()},
    **{"operation_id": uuid4(), "invitation_id": uuid4(), "bulk_id": uuid4()},
    **{"mount_id": uuid4(), "folder_id": uuid4(), "download_id": uuid4(), "digest": "logo-7777"},
    "file_id": uuid4(),
    "webhook_id": uuid4(),
    "token_id": uuid4(),
}
MALFORMED = [
    "vm-1%20",
    "%20vm-1",
    "VM-1",
    "vm-1%00",
    "..%2Ftasks",
    "%2e%2e",
    "a" * 65,
    "vm-1'--",
    "0",
    "-1",
    "9" * 30,
    "Ⅷ",
]
NAMING = [(name, part) for name in names_below_a_tenant() for part in parts_of(name) if part != "tenant"]


@pytest.fixture
def own(sunflower: Tenant, machine: Machine) -> dict[str, Any]:
    return ids_of(sunflower, machine, machine_of(sunflower, "vm-2"))


@pytest.fixture
def foreign(pine: Tenant) -> dict[str, Any]:
    return ids_of(pine, machine_of(pine, "vm-9999"), machine_of(pine, "vm-9998"))


class Told:
    """What somebody learns by a question: its answer, without what differs each time, and what it cost."""

    def __init__(self, browser: Client, method: str, address: str, value: object, form: Any = None, **headers: str):
        with CaptureQueriesContext(connection) as queries:
            body = () if form is None else (form, "application/x-www-form-urlencoded")
            answer = asked(browser, method, address, *body, **headers)
        self.status = answer.status_code
        text = re.sub(r'name="(csrfmiddlewaretoken|client_key)" value="[\w-]+"', "", answer.content.decode())
        # A number may also be a part of another one.
        named = re.compile(rf"\b{re.escape(str(value))}\b")
        self.body = named.sub("the id", text)
        changing = ("Set-Cookie", "Content-Length", "X-Correlation-Id", "Expires")
        self.headers = {
            # The directives of the policy come in any order.
            name: sorted(re.split("[;,] ", named.sub("the id", text)))
            for name, text in answer.headers.items()
            if name not in changing
        }
        masked = [re.sub(r"'[^']*'|\b\d+\b|ARRAY\[[^]]*\]|\((?:NULL, )*NULL\)", "?", query["sql"]) for query in queries]
        self.statements = [sql for sql in masked if not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK"))]

    @property
    def writes(self) -> list[str]:
        """Beside the session, a set-up statement and "last seen"."""
        written = [sql for sql in self.statements if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
        return [sql for sql in written if "django_session" not in sql and '"last_seen_at"' not in sql]


def assert_told_the_same(one: Told, other: Told) -> None:
    assert (one.status, one.headers) == (other.status, other.headers)
    assert one.body == other.body
    assert one.statements == other.statements


def known_by_sight(browser: Client) -> Client:
    """Whose first visit of the day, which is noted, is over."""
    assert browser.get("/t/sunflower/machines/").status_code == 200
    return browser


# ── In an address ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "part"), NAMING)
def test_a_foreign_id_in_an_address_is_told_like_an_unknown_one(
    name: str,
    part: str,
    wall: str,
    headers_to_try: list[Headers],
    cast: Cast,
    own: dict[str, Any],
    foreign: dict[str, Any],
    as_web: Browser,
):
    browser = known_by_sight(as_web(cast["admin"]))
    for method in MATRIX[name]:
        for headers in headers_to_try:
            told = [
                Told(browser, method, address_with(name, own, part, value), value, **headers)
                for value in (foreign[part], UNKNOWN[part])
            ]
            expected = 405 if MATRIX[name][method]["admin"] == 405 else 404
            assert told[0].status == expected and not told[0].writes, (wall, method)
            assert_told_the_same(*told)


def address_with(name: str, own: dict[str, Any], part: str, value: object) -> str:
    parts = parts_of(name)
    return reverse(name, kwargs={p: ({"tenant": "sunflower"} | own | {part: value})[p] for p in parts})


@pytest.mark.parametrize(("name", "part"), NAMING)
def test_a_malformed_id_in_an_address_is_not_there(
    name: str, part: str, cast: Cast, own: dict[str, Any], as_web: Browser
):
    browser = as_web(cast["admin"])
    for value in MALFORMED:
        address = address_with(name, own, part, own[part]).replace(f"/{own[part]}", f"/{value}")
        answer = asked(browser, "GET", address)
        assert answer.status_code == 404, address


@pytest.mark.parametrize(
    "slug", ["pine", "unknown", "SUNFLOWER", "sunflower%20", "sun%66lower%00", "ｓunflower", "a" * 99]
)
@pytest.mark.parametrize("name", ["machines", "operations", "plans", "members", "settings", "audit", "tenant-home"])
def test_another_tenants_address_is_told_like_one_that_does_not_exist(
    slug: str, name: str, wall: str, cast: Cast, foreign: dict[str, Any], as_web: Browser
):
    browser = as_web(cast["admin"])
    address = reverse(name, args=["sunflower"]).replace("sunflower", slug)
    told = Told(browser, "GET", address, slug)
    assert told.status == 404 and "Pine" not in told.body
    if slug == "pine":
        assert_told_the_same(told, Told(browser, "GET", address.replace("pine", "nine"), "nine"))


# ── In a form ────────────────────────────────────────────────────────────────


KEY = str(uuid4())
BACKUP = {"backup_type": "FULL", "destination": "store-1", "window_end": "", "priority": "5"}
RESTORE = {"backup": "backup-1", "place": "host-1/cluster-1", "storage": "storage-1", "name": "again"}
PLAN = {
    **{"name": "Weekly", "machines": ["vm-1"], "time_zone": "UTC", "destination": "store-1", "priority": "5"},
    **{"schedule-TOTAL_FORMS": "1", "schedule-INITIAL_FORMS": "0", "schedule-0-backup_type": "FULL"},
    **{"schedule-0-weekdays": ["MONDAY"], "schedule-0-how": "time", "schedule-0-at": "02:00"},
    **{"schedule-0-window_minutes": "360", "confirmed": "yes"},
}
INVITE = {"email": "new@sunflower.example", "role": "viewer", "scope": "some", "machines": ["vm-1"]}
BULK_BACKUP = {**BACKUP, "machines": ["vm-1"], "confirmed": "yes"}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "backup": ("/t/sunflower/machines/vm-1/backup/", BACKUP),
    "bulk backup": ("/t/sunflower/bulk/backup/", BULK_BACKUP),
    "restore": ("/t/sunflower/machines/vm-1/restore/", RESTORE | {"confirmed": "yes"}),
    "files": ("/t/sunflower/machines/vm-1/files/", {"backup": "backup-1", "hours": "4"}),
    "plan": ("/t/sunflower/plans/new/", PLAN),
    "invite": ("/t/sunflower/members/invite/", INVITE),
    "member": ("/t/sunflower/members/{member_id}/", {"role": "viewer", "scope": "some", "machines": ["vm-1"]}),
}


def encoded(form: dict[str, Any], **changes: Any) -> str:
    soon = timezone.now() + timedelta(hours=6)
    times = {"window_end": f"{soon:%Y-%m-%dT%H:%M}"} if "window_end" in form else {}
    return urlencode({"client_key": KEY, **form, **times, **changes}, doseq=True)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
@pytest.mark.parametrize(
    ("form", "field", "foreign_value", "unknown_value"),
    [
        ("backup", "destination", "store-9", "store-7"),
        ("bulk backup", "destination", "store-9", "store-7"),
        ("restore", "backup", "backup-9", "backup-7"),
        ("restore", "place", "host-9/cluster-9", "host-7/cluster-7"),
        ("restore", "place", "host-1/cluster-9", "host-1/cluster-7"),
        ("restore", "place", "host-9/cluster-1", "host-7/cluster-1"),
        ("restore", "storage", "storage-9", "storage-7"),
        ("restore", "data_center", "DC-9", "DC-7"),
        ("files", "backup", "backup-9", "backup-7"),
        ("plan", "destination", "store-9", "store-7"),
        ("plan", "machines", "vm-9", "vm-7"),
        ("plan", "machines", ["vm-1", "vm-9"], ["vm-1", "vm-7"]),
        ("invite", "machines", ["vm-1", "vm-9"], ["vm-1", "vm-7"]),
        ("member", "machines", ["vm-1", "vm-9"], ["vm-1", "vm-7"]),
    ],
)
def test_a_foreign_id_in_a_form_is_told_like_an_unknown_one(
    form: str,
    field: str,
    foreign_value: Any,
    unknown_value: Any,
    headers: dict[str, str],
    wall: str,
    cast: Cast,
    own: dict[str, Any],
    places: None,
    as_web: Browser,
):
    browser = known_by_sight(as_web(cast["admin"]))
    address, fields = FORMS[form][0].format(**own), FORMS[form][1]
    # Also at the step before, which shows what would happen.
    for step in ({}, {"confirmed": []}) if "confirmed" in fields else ({},):
        told = []
        for value in (foreign_value, unknown_value):
            which = value[-1] if isinstance(value, list) else value
            told.append(Told(browser, "POST", address, which, encoded(fields, **step, **{field: value}), **headers))
        assert told[0].status == 422 and not told[0].writes, told[0].writes
        assert_told_the_same(*told)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
@pytest.mark.parametrize("address", ["/t/sunflower/bulk/backup/", "/t/sunflower/bulk/plan/"])
def test_a_foreign_machine_among_many_is_told_like_an_unknown_one(
    address: str, headers: dict[str, str], wall: str, cast: Cast, own: dict[str, Any], places: None, as_web: Browser
):
    browser = known_by_sight(as_web(cast["admin"]))
    form = {**BULK_BACKUP, "plan": own["plan_id"]}
    for method in ("POST", "GET"):
        told = []
        for guid in ("vm-9", "vm-7"):
            body = encoded(form, machines=["vm-1", guid])
            where, sent = (address, body) if method == "POST" else (f"{address}?{body}", None)
            told.append(Told(browser, method, where, guid, sent, **headers))
        assert told[0].status == 404 and not told[0].writes
        assert_told_the_same(*told)


def test_a_foreign_plan_for_many_is_told_like_an_unknown_one(
    wall: str, cast: Cast, own: dict[str, Any], foreign: dict[str, Any], as_web: Browser
):
    browser = known_by_sight(as_web(cast["admin"]))
    told = [
        Told(browser, "POST", "/t/sunflower/bulk/plan/", plan, encoded({"machines": ["vm-1"]}, plan=plan))
        for plan in (foreign["plan_id"], uuid4())
    ]
    assert told[0].status == 422 and not told[0].writes
    assert_told_the_same(*told)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_forms_are_taken_with_ones_own_ids(
    form: str, wall: str, cast: Cast, own: dict[str, Any], places: None, as_web: Browser
):
    """Else the refusals above would prove nothing."""
    browser = known_by_sight(as_web(cast["admin"]))
    told = Told(browser, "POST", FORMS[form][0].format(**own), "no id", encoded(FORMS[form][1]))
    assert told.status == 302 and told.writes, re.findall(r'field-error"[^>]*>.*?<p', told.body, re.DOTALL)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("/t/sunflower/files/{mount_id}/folders/{folder_id}/", "put"),
        ("/t/sunflower/files/{mount_id}/folders/{folder_id}/", "drop"),
        ("/t/sunflower/files/{mount_id}/downloads/", "entry"),
    ],
)
def test_a_foreign_file_is_told_like_an_unknown_one(
    address: str,
    field: str,
    headers: dict[str, str],
    wall: str,
    cast: Cast,
    own: dict[str, Any],
    foreign: dict[str, Any],
    as_web: Browser,
):
    """Also beside one's own in a list: nothing of it is chosen, taken back or asked for then."""
    browser = known_by_sight(as_web(cast["admin"]))
    beside = [] if field == "entry" else [own["entry_id"]]
    told = [
        Told(browser, "POST", address.format(**own), "no id", encoded({}, **{field: [*beside, entry]}), **headers)
        for entry in (foreign["entry_id"], 7_777_777)
    ]
    assert told[0].status == 404 and not told[0].writes, told[0].writes
    assert_told_the_same(*told)


# ── In a query string, and as a question ─────────────────────────────────────


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
@pytest.mark.parametrize(
    ("address", "foreign_value", "unknown_value"),
    [
        ("/t/sunflower/machines/vm-1/restore/?backup={}", "backup-9", "backup-7"),
        ("/t/sunflower/machines/vm-1/files/?backup={}", "backup-9", "backup-7"),
        ("/t/sunflower/files/{mount_id}/open/?entry={}", "entry_id", "7777777"),
        ("/t/sunflower/files/{mount_id}/open/?system={}", "system-9", "system-7"),
        ("/t/sunflower/plans/new/?machine={}", "vm-9", "vm-7"),
        ("/t/sunflower/plans/new/?machine=vm-1&machine={}", "vm-9", "vm-7"),
        ("/t/sunflower/questions/{question_id}/?destination={}", "store-9", "store-7"),
        ("/t/sunflower/questions/{targets_id}/?hypervisor={}", "host-9", "host-7"),
        ("/t/sunflower/questions/{targets_id}/?hypervisor=host-1&hypervisor={}", "host-9", "host-7"),
        ("/t/sunflower/machines/?plan={}", "plan_id", ""),
        ("/t/sunflower/machines/vm-1/backup/?like={}", "operation_id", ""),
        ("/t/sunflower/machines/vm-1/restore/?like={}", "operation_id", ""),
        ("/t/sunflower/operations/?before={}", "operation_id", ""),
        ("/t/sunflower/operations/?machine={}", "vm-9999", "vm-7777"),
        ("/t/sunflower/operations/poll?before={}", "operation_id", ""),
        ("/t/sunflower/operations/poll?machine={}", "vm-9999", "vm-7777"),
        ("/t/sunflower/plans/{plan_id}/edit/?change={}", "change", ""),
        ("/t/sunflower/audit/?before={}", "entry", ""),
        ("/t/sunflower/alerts/?before={}", "alert", ""),
    ],
)
def test_a_foreign_id_in_a_query_is_told_like_an_unknown_one(
    address: str,
    foreign_value: str,
    unknown_value: str,
    headers: dict[str, str],
    wall: str,
    cast: Cast,
    own: dict[str, Any],
    foreign: dict[str, Any],
    places: None,
    pine: Tenant,
    as_web: Browser,
):
    entry = AuditEntry.across_tenants.create(tenant=pine, actor_name="x", action="backup_requested", outcome="accepted")
    change = PlanChange.across_tenants.get(tenant=pine)
    own["targets_id"] = question_where_to(own["guid"]).pk
    alert = Alert.across_tenants.create(tenant=pine, plan_id=foreign["plan_id"], kind="late", began_at=timezone.now())
    of_pine = {
        "operation_id": foreign["operation_id"],
        "plan_id": foreign["plan_id"],
        "entry_id": foreign["entry_id"],
        "alert": alert.pk,
        "change": change.pk,
        "entry": entry.pk,
    }
    browser = known_by_sight(as_web(cast["admin"]))
    # Asked twice: the first look at a machine's page asks a worker for news.
    for _ in range(2):
        told = [
            Told(browser, "GET", address.replace("{}", str(value)).format(**own), value, **headers)
            for value in (of_pine.get(foreign_value, foreign_value), unknown_value or uuid4())
        ]
    assert told[0].status in {200, 404}
    assert_told_the_same(*told)


def question_where_to(guid: str) -> Question:
    """Where a backup can go, answered with all that vProtect has: other tenants' places too."""
    machine = Machine.across_tenants.get(guid=guid)
    question = Question.across_tenants.create(
        tenant=machine.tenant, machine=machine, kind=Question.Kind.RESTORE_TARGETS, backup_guid="backup-1"
    )
    Question.across_tenants.filter(pk=question.pk).update(
        answer={"guids": ["host-1", "host-9"]}, answered_at=question.asked_at
    )
    return question


def test_a_question_tells_of_ones_own_places(cast: Cast, own: dict[str, Any], places: None, as_web: Browser):
    """Else the same answer for the others would prove nothing."""
    question = question_where_to(own["guid"])
    answer = as_web(cast["restorer"]).get(f"/t/sunflower/questions/{question.pk}/?hypervisor=host-1")
    assert "This backup can go there" in answer.content.decode()


@pytest.mark.parametrize("name", ["operation", "plan", "member-edit", "machine", "backup-create"])
def test_who_asks_for_a_foreign_id_leaves_no_other_trace(
    name: str, cast: Cast, own: dict[str, Any], foreign: dict[str, Any], as_web: Browser
):
    """An audit that had one entry for what exists and none for what does not would tell."""
    browser = as_web(cast["admin"])
    part = parts_of(name)[-1]
    for value in (foreign[part], UNKNOWN[part]):
        browser.get(address_with(name, own, part, value))
        browser.post(address_with(name, own, part, value))
        assert not AuditEntry.across_tenants.exists()


def test_nothing_of_this_can_ask_vprotect(as_web: Browser):
    """Web has neither its address nor its password; what it wants is a row for a worker, which none of these made."""
    assert not any(hasattr(settings, name) for name in ("VPROTECT_URL", "VPROTECT_LOGIN", "VPROTECT_PASSWORD"))


def test_a_list_of_ids_is_taken_whole_or_not_at_all(
    cast: Cast, own: dict[str, Any], places: None, as_web: Browser, machine: Machine
):
    browser = as_web(cast["admin"])
    address, fields = FORMS["plan"]
    for machines in (
        ["vm-1"] * 5,
        [f"vm-{n}" for n in range(10_000)],
        ["vm-1", ""],
        ["vm-1", "vm-1\x00"],
        ["vm-1;vm-9"],
    ):
        answer = asked(
            browser, "POST", address, encoded(fields, machines=machines), "application/x-www-form-urlencoded"
        )
        assert answer.status_code == (302 if set(machines) == {"vm-1"} else 422), machines[:3]
        assert "Theirs" not in answer.content.decode()
