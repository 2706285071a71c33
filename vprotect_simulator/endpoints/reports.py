"""Reports as JSON, as files and by e-mail, and what is charged for (API reference, 17)."""

from __future__ import annotations

from datetime import UTC, datetime

from vprotect_simulator import documents, figures, reading
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.documents import Table
from vprotect_simulator.endpoints.dashboard import scope_of
from vprotect_simulator.engine import Refused
from vprotect_simulator.figures import GUIDS, Scope, text_of_bytes
from vprotect_simulator.names import Row, to_wire
from vprotect_simulator.state import State

TITLE = "Backup report"
LISTS = ("virtualMachineGuids", "backupDestinationGuids", *GUIDS)


def report(state: State, call: Call) -> Reply:
    return Reply(200, to_wire(figures.report(state, _scope(state, call))))


def report_pdf(state: State, call: Call) -> Reply:
    return _file(documents.pdf(TITLE, _tables(state, call)), "application/pdf", "report.pdf")


def report_html(state: State, call: Call) -> Reply:
    return _file(documents.html_page(TITLE, _tables(state, call)), "text/html; charset=utf-8", "report.html")


def report_email(state: State, call: Call) -> Reply:
    """Nothing leaves this machine: who looks at the control calls sees what would have been sent."""
    recipients = [item.strip() for item in (reading.text(call.object(), "value") or "").split(",") if item.strip()]
    if not recipients or not all("@" in item for item in recipients):
        raise Refused(400, "value must have e-mail addresses, separated by commas")
    page = documents.html_page(TITLE, _tables(state, call)).decode()
    state.letters.append({"at": state.clock.now_ms(), "to": recipients, "subject": TITLE, "html": page})
    return Reply(204)


def _body(call: Call) -> Row:
    """Without a body everything is meant."""
    return {} if call.body is None else call.object()


def _scope(state: State, call: Call) -> Scope:
    if call.first("protectedEntityType") not in {"", "VM"}:
        raise Refused(400, "There are reports of VM only")
    return scope_of(state, call)


def _file(content: bytes, kind: str, name: str) -> Reply:
    return Reply(
        200, headers={"Content-Type": kind, "Content-Disposition": f"attachment; filename={name}"}, content=content
    )


def _tables(state: State, call: Call) -> list[Table]:
    """Backups, restores and, if the body wishes for them, what is charged for."""
    scope, body = _scope(state, call), _body(call)
    told = figures.report(state, scope)
    tables = [
        _outcomes("Backups", told["backups"], "snapshotTime"),
        _outcomes("Restores", told["restores"], "restoreTime"),
    ]
    for member, title, sizes_of in (
        ("backupSize", "Backup size", figures.current_sizes),
        ("transferSize", "Transfer size", figures.transferred_sizes),
    ):
        if body.get(member) is not None:
            rows = sizes_of(state, scope, _wish(reading.member(body, member)))
            tables.append((title, ["Name", "Size"], [[row["name"], text_of_bytes(row["size"])] for row in rows]))
    return tables


def _outcomes(title: str, section: Row, member: str) -> Table:
    heading = f"{title}: {section['total']}, failed: {section['failed']}, data: {section['totalData']}"
    rows = [
        [
            row["protectedEntity"],
            row["policy"] or "",
            _moment(row.get(member)),
            row["type"],
            text_of_bytes(row["size"]),
            row["status"]["description"],
        ]
        for row in section["elements"]
    ]
    return heading, ["Instance", "Policy", "Time", "Type", "Size", "Status"], rows


def _moment(moment: int | None) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M} UTC" if moment else ""


# ── Chargeback ───────────────────────────────────────────────────────────────


def backup_sizes(state: State, call: Call) -> Reply:
    return Reply(200, figures.current_sizes(state, scope_of(state, call), _wish(_body(call))))


def transfer_sizes(state: State, call: Call) -> Reply:
    """The vendor's pages say `from` and `to` in the query, others in the body."""
    body = _body(call)
    return Reply(200, figures.transferred_sizes(state, scope_of(state, call, body=body), _wish(body)))


def _wish(body: Row) -> Row:
    group_by = body.get("groupBy") or "virtual-machine"
    if group_by not in figures.GROUPINGS:
        raise Refused(400, f"groupBy must be one of {', '.join(figures.GROUPINGS)}")
    return {"groupBy": group_by, **{name: reading.items(body, name) for name in LISTS}}


ROUTES = (
    Route("GET", "/dashboard/report", report),
    Route("POST", "/dashboard/report-pdf", report_pdf),
    Route("POST", "/dashboard/report-html", report_html),
    Route("POST", "/dashboard/report-email", report_email),
    Route("POST", "/chargeback-reporting/backup-size/vm", backup_sizes),
    Route("POST", "/chargeback-reporting/transfer-size/vm", transfer_sizes),
)
