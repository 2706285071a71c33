"""Files of reports: the same figures as on the page, hostile names as text, for who asked and as long as they may."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from reports import making, usage_file
from reports.files import MOST_KEPT, path_of
from reports.models import Price, ReportFile, TenantUsage
from reports.months import Month
from reports.pdf import EVERYTHING, SANS, _letters
from tenants.models import AuditEntry, Grant, Membership, Role, Tenant, User
from tests.conftest import machine_of, operation_on, person
from tests.reports.conftest import GIB, backup_of, written_down
from vprotect_bridge.models import Destination, Machine, Operation, OperationEvent, OperationTask

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
NOVEMBER = Month(2026, 11)


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_FOLDER = tmp_path / "spool"
    return Path(settings.SPOOL_FOLDER)


def asked_for(browser: Client, kind: str, format: str, **form: object) -> ReportFile:
    """As a person asks and a worker makes it."""
    answer = browser.post("/t/sunflower/reports/files/", {"kind": kind, "format": format, **form})
    assert answer.status_code == 302, answer.content
    making.make_file()
    return ReportFile.across_tenants.get(pk=answer["Location"].split("/")[-2])


def saved(browser: Client, file: ReportFile) -> bytes:
    answer = browser.get(f"/t/sunflower/reports/files/{file.pk}/file")
    assert answer.status_code == 200 and answer["Content-Disposition"].startswith("attachment;")
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined]


def text_of(pdf: Path) -> str:
    """As it is read, without the places where lines break."""
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in PdfReader(pdf).pages))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def november(sunflower: Tenant) -> None:
    """Thirty days of sizes that no price divides evenly, in two stores of which one is the tenant's to know."""
    for number in range(30):
        day = NOVEMBER.first + timedelta(days=number)
        for machine, gib in (("vm-1", 100), ("vm-2", 33), ("vm-3", 7)):
            written_down(sunflower, day, machine, gib * GIB + number)
        written_down(sunflower, day, "vm-4", GIB, protected=0, destination_guid="store-2", plan_id="", plan_name="")
    Price.objects.create(
        counts_from="2026-01-01", currency="EUR", per_gib_month=Decimal("0.0333"), per_machine_month=Decimal("1.2345")
    )
    Destination.objects.create(guid="store-1", name="Main store")
    Destination.objects.create(guid="store-2", name="Somebody's store")
    Grant.across_tenants.create(tenant=sunflower, kind="destination", guid="store-1")


# ── The same figures everywhere ──────────────────────────────────────────────


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_page_csv_and_pdf_say_the_same_sums(november: None, owner: User, as_web: Browser):
    browser = as_web(owner)
    rows = rows_of(path_of(asked_for(browser, "usage", "csv", month="2026-11")))
    total = next(Decimal(row["cost"]) for row in rows if row["what"] == "total")
    for parts in (("kept", "protected machines"), ("plan",), ("machine",)):
        assert sum(Decimal(row["cost"]) for row in rows if row["what"] in parts) == total, parts
    page = browser.get("/t/sunflower/reports/usage/").content.decode()
    pdf = text_of(path_of(asked_for(browser, "usage", "pdf", month="2026-11")))
    shown = {row["cost"] for row in rows if row["what"] in {"kept", "protected machines", "total"}}
    for cost in shown:
        assert f"€{cost}" in page and f"€{cost}" in pdf, cost
    assert "Main store" in pdf and "Somebody's" not in pdf and "The month is not over" in pdf
    assert "30 Nov 140.0 GiB 1.0 GiB 3 4" in pdf.split("Day by day, in figures")[1], "a row for each day"
    assert "Main store" in {row["name"] for row in rows} and "Somebody's store" not in {row["name"] for row in rows}


@time_machine.travel("2026-11-25 12:00", tick=False)
def test_the_usage_in_a_spreadsheet_has_names_days_and_what_has_to_be_known(
    sunflower: Tenant, owner: User, as_web: Browser
):
    day = NOVEMBER.first
    written_down(sunflower, day, "vm-1", GIB, plan_id="", plan_name="")
    TenantUsage.across_tenants.update(protected_machines=None)
    written_down(sunflower, day + timedelta(days=1), "vm-1", GIB, plan_id="provider's", plan_name="")
    rows = rows_of(path_of(asked_for(as_web(owner), "usage", "csv", month="2026-11")))
    assert {row["name"] for row in rows if row["what"] == "plan"} == {"Your provider's plan", "No plan, or not known"}
    assert [
        (row["day"], row["name"], row["plan"], row["destination"], row["bytes"], row["note"])
        for row in rows
        if row["what"] == "day"
    ] == [
        ("2026-11-01", "machine vm-1", "No plan, or not known", "another destination", str(GIB), "put together later"),
        ("2026-11-02", "machine vm-1", "Your provider's plan", "another destination", str(GIB), ""),
    ]
    notes = [row["note"] for row in rows if row["what"] == "note"]
    assert "The month is not over: these are the figures so far." in notes
    assert any("from 1 Nov to 1 Nov were put together later" in note for note in notes)


@time_machine.travel("2026-11-30 12:00", tick=False)
def test_days_of_too_many_machines_are_by_plan(
    november: None, owner: User, as_web: Browser, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(usage_file, "MOST_DAY_ROWS", 100)
    rows = rows_of(path_of(asked_for(as_web(owner), "usage", "csv", month="2026-11")))
    days = [row for row in rows if row["what"] == "day"]
    assert len(days) == 60 and not any(row["name"] for row in days)
    assert any("too many machines" in row["note"] for row in rows)


@pytest.mark.parametrize("format", ["csv", "pdf"])
def test_the_usage_of_who_is_limited_is_of_their_machines(format: str, november: None, owner: User, as_web: Browser):
    owner.memberships.update(machine_guids=["vm-3"])
    path = path_of(asked_for(as_web(owner), "usage", format, month="2026-11"))
    text = text_of(path) if format == "pdf" else path.read_text()
    assert "machine vm-3" in text and "vm-1" not in text and "€" not in text and "EUR" not in text


def test_the_protection_report_has_every_machine_that_the_person_sees(
    sunflower: Tenant, pine: Tenant, owner: User, as_web: Browser
):
    backup_of(machine_of(sunflower, "vm-1"), status="FAILED", status_info="Node node-3: disk full")
    backup_of(machine_of(sunflower, "vm-2"))
    machine_of(pine, "vm-9")
    Machine.across_tenants.filter(guid="vm-2").update(last_success_at=timezone.now() - timedelta(hours=5))
    browser = as_web(owner)
    rows = rows_of(path_of(asked_for(browser, "protection", "csv", days="7")))
    assert [(row["machine"], row["succeeded"], row["failed"], row["hours since"]) for row in rows] == [
        ("machine vm-1", "0", "1", ""),
        ("machine vm-2", "1", "0", "5"),
    ]
    assert "not enough free space" in rows[0]["reason"]
    pdf = text_of(path_of(asked_for(browser, "protection", "pdf", days="7")))
    for counted in (
        "Backups that ended 2",
        "Of them succeeded 1 (50.0 %)",
        "Of them failed 1",
        "0 of 2 Of the machines",
    ):
        assert counted in pdf, counted
    assert "machine vm-1" in pdf and "50.0 %" in pdf and "not enough free space" in pdf
    assert "node-3" not in pdf and "vm-9" not in pdf and "node-3" not in str(rows)


@pytest.mark.parametrize("format", ["csv", "pdf"])
def test_who_is_limited_to_some_machines_has_only_those_in_a_file(
    format: str, sunflower: Tenant, owner: User, as_web: Browser
):
    machine_of(sunflower, "vm-1")
    machine_of(sunflower, "vm-2")
    owner.memberships.update(machine_guids=["vm-1"])
    path = path_of(asked_for(as_web(owner), "protection", format))
    text = text_of(path) if format == "pdf" else path.read_text()
    assert "machine vm-1" in text and "machine vm-2" not in text


# ── Names that are code, or of another script ────────────────────────────────

HOSTILE = [
    '=HYPERLINK("http://evil.example")',
    "<b>bold</b> **bold** [link](http://evil.example)",
    "(tricky) /JS \\ >> endobj",
    "two\nlines\x07",
    "exe.\u202egpj",
    "x" * 5000,
    "Maschine-Grüße Ждать Ελλάδα",
    "備份伺服器 서버 バックアップ",
    "सर्वर ไทย עברית العربية",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_text(name: str, sunflower: Tenant, owner: User, as_web: Browser):
    machine_of(sunflower, "vm-1")
    Machine.across_tenants.update(name=name)
    browser = as_web(owner)
    raw = rows_of(path_of(asked_for(browser, "protection", "csv")))[0]["machine"]
    assert not raw.startswith(("=", "+", "-", "@", "\t", "\r")) and raw.endswith(name[-20:])
    path = path_of(asked_for(browser, "protection", "pdf"))
    document = PdfReader(path)
    assert not any("/Annots" in page or "/AA" in page for page in document.pages)
    root = document.trailer["/Root"]
    assert not {"/AA", "/Names", "/AcroForm"} & set(root)
    # A place to begin reading at, and no action.
    assert isinstance(root["/OpenAction"], list) and "/FitH" in root["/OpenAction"]
    text = text_of(path)
    if name.isascii() and name.isprintable() and len(name) < 200:
        assert name.replace(" ", "") in text.replace(" ", "")
    assert "\u202e" not in text and "x" * 201 not in text.replace(" ", "")


def test_a_name_of_two_scripts_is_read_over_a_break_of_its_line(sunflower: Tenant, owner: User, as_web: Browser):
    """Where the font changed within a text, fpdf2 wrote the lines after the first with the signs of another font."""
    machine_of(sunflower, "vm-1")
    Machine.across_tenants.update(name="ไทย server-with-a-name-that-is-longer-than-its-column-is-wide 漢字 backup")
    pdf = text_of(path_of(asked_for(as_web(owner), "protection", "pdf"))).translate({0: None, 32: None})
    assert "server-with-a-name-that-is-longer-than-its-column-is-wide" in pdf and "backup" in pdf


@pytest.mark.parametrize("sign", ["ü", "Ж", "Ω", "漢", "한", "カ", "ह", "ไ", "ש", "ع", "ქ", "አ", "∑", "…"])
def test_a_letter_of_any_script_has_a_picture(sign: str):
    everything = TTFont(EVERYTHING, lazy=True).getBestCmap()
    assert SANS.is_file() and (ord(sign) in _letters() or ord(sign) in everything)


def test_a_document_tells_nothing_of_the_machine_it_was_made_on(sunflower: Tenant, owner: User, as_web: Browser):
    machine_of(sunflower, "vm-1")
    told = PdfReader(path_of(asked_for(as_web(owner), "protection", "pdf"))).metadata
    assert told is not None
    assert told.title == "How your machines are protected"
    assert {told.author, told.creator, told.producer} == {"Backup portal"}


def test_a_file_is_in_the_language_of_who_asked(sunflower: Tenant, owner: User, as_web: Browser):
    machine_of(sunflower, "vm-1")
    User.objects.filter(pk=owner.pk).update(language="de")
    pdf = text_of(path_of(asked_for(as_web(owner), "protection", "pdf")))
    assert "So sind Ihre Maschinen geschützt" in pdf


# ── Evidence of a restore ────────────────────────────────────────────────────


@pytest.fixture
def restore(sunflower: Tenant, owner: User) -> Operation:
    machine = machine_of(sunflower, "vm-1")
    began = timezone.now() - timedelta(hours=1)
    backup = backup_of(machine)
    request = {"backup_guid": backup.guid, "backup_at": backup.sort_at.isoformat(), "name": "again-01"}
    operation = operation_on(
        machine,
        kind=Operation.Kind.RESTORE,
        request={**request, "storage_name": "Fast"},
        created_by=owner,
        created_at=began - timedelta(minutes=1),
        started_at=began,
        finished_at=began + timedelta(minutes=42),
        outcome="succeeded",
        backup_guid=backup.guid,
        restored_guid="vm-2",
        correlation_id="correlation-1",
    )
    OperationTask.across_tenants.create(
        tenant=sunflower, operation=operation, guid="task-1", type="RESTORE", state="FINISHED", started_at=began
    )
    AuditEntry.across_tenants.create(
        tenant=sunflower,
        actor_name=owner.email,
        role="admin",
        action="restore_requested",
        outcome="accepted",
        detail={"operation": str(operation.pk)},
    )
    return operation


def evidence_of(browser: Client, operation: Operation) -> ReportFile:
    answer = browser.post(f"/t/sunflower/operations/{operation.pk}/evidence/", {"client_key": uuid4()})
    assert answer.status_code == 302
    making.make_file()
    return ReportFile.across_tenants.get(pk=answer["Location"].split("/")[-2])


def test_evidence_says_who_what_when_how_long_and_where_it_is_written(restore: Operation, owner: User, as_web: Browser):
    path = path_of(evidence_of(as_web(owner), restore))
    pdf = text_of(path)
    assert len(PdfReader(path).pages) == 1
    entry = AuditEntry.across_tenants.get(action="restore_requested")
    for said in ("owner@sunflower.example", "machine vm-1", "again-01", "Fast", "42 min 00 s", "Succeeded", "task-1"):
        assert said in pdf, said
    for reference in (entry.pk, restore.pk, "correlation-1"):
        # A long one may be broken in two.
        assert str(reference).replace(" ", "") in pdf.replace(" ", ""), reference


def test_evidence_names_a_token_and_who_made_it(restore: Operation, owner: User, as_web: Browser):
    Operation.across_tenants.update(created_by=None, token_id=uuid4(), token_name="deploy")
    detail = {
        "operation": str(restore.pk),
        "token": "deploy",
        "token_id": "1",
        "token_made_by": "maker@sunflower.example",
    }
    AuditEntry.across_tenants.create(
        tenant=restore.tenant, actor_name="deploy", role="restorer", action="x", outcome="accepted", detail=detail
    )
    pdf = text_of(path_of(evidence_of(as_web(owner), restore)))
    assert pdf.count("API token deploy (of the organisation)") == 2 and "Token made by maker@sunflower.example" in pdf


def test_what_stands_beside_each_other_does_so(restore: Operation, owner: User, as_web: Browser):
    places: dict[str, float] = {}

    def note(text: str, _cm: Any, matrix: list[float], *_font: Any) -> None:
        places.setdefault(text.strip(), matrix[4])

    page = PdfReader(path_of(evidence_of(as_web(owner), restore))).pages[0]
    page.extract_text(visitor_text=note)
    assert places["Asked for by"] < page.mediabox.width / 4 and places["Outcome"] > page.mediabox.width / 2


def test_evidence_is_one_page_also_of_a_restore_with_a_long_story(restore: Operation, owner: User, as_web: Browser):
    long = {"tenant": restore.tenant, "operation": restore}
    for _number in range(30):
        OperationEvent.across_tenants.create(**long, moved_from="running restoring", moved_to="running importing")
    for number in range(3):
        OperationTask.across_tenants.create(**long, guid=str(uuid4()), type="IMPORT", started_at=restore.started_at)
        AuditEntry.across_tenants.create(
            tenant=restore.tenant,
            actor_name="somebody.with.a.long.name@sunflower.example",
            role="admin",
            action=f"restore_cancelled_{number}",
            outcome="accepted",
            detail={"operation": str(restore.pk)},
        )
    assert len(PdfReader(path_of(evidence_of(as_web(owner), restore))).pages) == 1


def test_a_document_has_pictures_of_its_figures(november: None, owner: User, as_web: Browser):
    """Bars are rectangles filled with the colour of their series, of which there are as many as days with a size."""
    drawn = PdfReader(path_of(asked_for(as_web(owner), "usage", "pdf", month="2026-11"))).pages[0].get_contents()
    assert drawn is not None
    bars = re.findall(rb"0\.0588 0\.4627 0\.4314 rg\n[\d. -]+ re f", drawn.get_data())
    assert len(bars) >= 30


def test_evidence_is_of_restores_that_have_ended(sunflower: Tenant, restore: Operation, owner: User, as_web: Browser):
    browser = as_web(owner)
    running = operation_on(machine_of(sunflower, "vm-3"), kind=Operation.Kind.RESTORE)
    backup = operation_on(machine_of(sunflower, "vm-4"), outcome="succeeded")
    for operation in (running, backup):
        assert browser.post(f"/t/sunflower/operations/{operation.pk}/evidence/").status_code == 404
    html = browser.get(f"/t/sunflower/operations/{restore.pk}/").content.decode()
    assert "Evidence of this restore" in html
    assert "Evidence" not in browser.get(f"/t/sunflower/operations/{running.pk}/").content.decode()


def test_who_does_not_see_the_machine_has_no_evidence_of_it(restore: Operation, owner: User, as_web: Browser):
    owner.memberships.update(machine_guids=["vm-3"])
    assert as_web(owner).post(f"/t/sunflower/operations/{restore.pk}/evidence/").status_code == 404
    made = ReportFile.across_tenants.create(
        tenant=restore.tenant,
        created_by=owner,
        client_key=uuid4(),
        kind="restore",
        format="pdf",
        operation_id=restore.pk,
        machine_guids=["vm-3"],
    )
    making.make_file()
    made.refresh_from_db()
    assert made.state == "failed" and not path_of(made).exists()


# ── Whose it is, and how long ────────────────────────────────────────────────


def test_nobody_else_takes_it_not_even_of_the_same_tenant(sunflower: Tenant, owner: User, as_web: Browser):
    machine_of(sunflower, "vm-1")
    file = asked_for(as_web(owner), "protection", "csv")
    assert b"vm-1" in saved(as_web(owner), file)
    colleague = as_web(person(sunflower, "colleague", Role.ADMIN))
    for page in ("", "file"):
        assert colleague.get(f"/t/sunflower/reports/files/{file.pk}/{page}").status_code == 404
    actions = AuditEntry.across_tenants.values_list("action", flat=True)
    assert list(actions.order_by("at")) == ["report_requested", "report_taken"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("usage", {"machine_guids": ["vm-1"]}),
        ("usage", {"role": Role.VIEWER}),
        # They may have a report of protection still, but of fewer machines.
        ("protection", {"machine_guids": ["vm-1"]}),
    ],
)
def test_who_may_see_less_by_now_does_not_take_what_was_made_before(
    kind: str, change: dict[str, Any], sunflower: Tenant, owner: User, as_web: Browser
):
    machine_of(sunflower, "vm-2")
    file = asked_for(as_web(owner), kind, "csv")
    assert file.state == "ready"
    owner.memberships.update(**change)
    for page in ("", "file"):
        assert as_web(owner).get(f"/t/sunflower/reports/files/{file.pk}/{page}").status_code == 404
    assert str(file.pk) not in as_web(owner).get("/t/sunflower/reports/files/").content.decode()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("protection", lambda memberships: memberships.delete()),
        ("protection", lambda memberships: memberships.update(machine_guids=["vm-1"])),
        ("usage", lambda memberships: memberships.update(role=Role.RESTORER)),
    ],
    ids=["removed", "limited", "lowered"],
)
def test_a_worker_looks_again_before_it_makes_it(
    kind: str, change: Callable[[QuerySet[Membership]], object], owner: User, as_web: Browser
):
    answer = as_web(owner).post("/t/sunflower/reports/files/", {"kind": kind, "format": "pdf"})
    assert answer.status_code == 302
    change(Membership.objects.filter(user=owner))
    made = making.make_file()
    assert made is not None
    made.refresh_from_db()
    assert made.state == "failed" and not path_of(made).exists()


def test_viewers_have_protection_and_no_usage(sunflower: Tenant, as_web: Browser):
    viewer = as_web(person(sunflower, "looker", Role.VIEWER))
    assert asked_for(viewer, "protection", "pdf").state == "ready"
    assert viewer.post("/t/sunflower/reports/files/", {"kind": "usage", "format": "pdf"}).status_code == 403


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kind": "restore", "format": "pdf"}, 400),
        ({"kind": "protection", "format": "exe"}, 400),
        ({"kind": "protection", "format": "pdf", "days": "5"}, 404),
        ({"kind": "usage", "format": "pdf", "month": "2999-01"}, 404),
        ({"kind": "usage", "format": "pdf", "month": "../../x"}, 404),
    ],
)
def test_what_no_form_offers_is_not_made(form: dict[str, str], status: int, owner: User, as_web: Browser):
    assert as_web(owner).post("/t/sunflower/reports/files/", form).status_code == status
    assert not ReportFile.across_tenants.exists()


def test_the_same_form_again_is_the_same_file(owner: User, as_web: Browser):
    key = uuid4()
    first, again = (asked_for(as_web(owner), "protection", "csv", client_key=key) for _ in range(2))
    assert first.pk == again.pk and ReportFile.across_tenants.count() == 1


def test_a_page_polls_until_it_is_there(owner: User, as_web: Browser):
    browser = as_web(owner)
    answer = browser.post("/t/sunflower/reports/files/", {"kind": "protection", "format": "csv"})
    page = answer["Location"]
    poll = re.search(r'hx-get="([^"]+)"', browser.get(page).content.decode())
    assert poll and browser.get(poll[1]).status_code == 204
    making.make_file()
    html = browser.get(poll[1]).content.decode()
    assert "Ready to be saved." in html and "hx-get=" not in html.split('id="report-file"')[1].split(">")[0]


def test_what_cannot_be_made_ends_after_a_few_tries(owner: User, as_web: Browser, monkeypatch: pytest.MonkeyPatch):
    def broken(*args: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setitem(making.WRITERS, "protection", broken)
    file = asked_for(as_web(owner), "protection", "csv")
    for _try in range(making.MOST_ATTEMPTS):
        assert file.state == "waiting"
        ReportFile.across_tenants.update(next_at=timezone.now())
        making.make_file()
        file.refresh_from_db()
    assert file.state == "failed" and not list(path_of(file).parent.iterdir())


def test_files_are_swept_when_their_time_is_over_or_nobody_wants_them(owner: User, as_web: Browser, spool: Path):
    file = asked_for(as_web(owner), "protection", "csv")
    (spool / f"{uuid4()}.pdf").write_text("left by a crash")
    (spool / f"{uuid4()}").write_text("a download, which is not ours")
    assert making.sweep() == 1 and path_of(file).exists()
    ReportFile.across_tenants.update(expires_at=timezone.now())
    assert making.sweep() == 1 and not path_of(file).exists()
    file.refresh_from_db()
    assert file.state == "removed" and len(list(spool.iterdir())) == 1
    assert as_web(owner).get(f"/t/sunflower/reports/files/{file.pk}/file").status_code == 404


def test_of_each_person_so_many_are_kept(owner: User, as_web: Browser):
    browser = as_web(owner)
    for _number in range(MOST_KEPT + 2):
        browser.post("/t/sunflower/reports/files/", {"kind": "protection", "format": "csv"})
    assert ReportFile.across_tenants.exclude(state="removed").count() == MOST_KEPT
