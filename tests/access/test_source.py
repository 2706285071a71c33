"""Faults that others made, looked for in our own source: one that cannot be written needs not be found."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PRODUCT = [
    path
    for package in ("portal", "notifications", "reports", "tenants", "tokens", "api", "vprotect_bridge")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "migrations" not in path.parts
]
WITHOUT_A_TENANT = {"api/models.py", "tokens/models.py", "tokens/bearer.py", "tokens/leaving.py"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


WEB = [
    path
    for path in PRODUCT
    if path.relative_to(ROOT).parts[0] in {"portal", "tokens", "api"}
    # A token is found before its tenant is known; a tenant is removed by an operator.
    if "management" not in path.parts and name_of(path) not in WITHOUT_A_TENANT
]
_OF_WEB = ("views", "templatetags", "access.py", "forms.py", "urls.py")
_BESIDE = ("notifications", "reports")
WEB += [path for path in PRODUCT if path.relative_to(ROOT).parts[0] in _BESIDE and {*path.parts} & {*_OF_WEB}]
# Where statements are written by hand, each with access tests of its own.
STATEMENTS = {
    *("api/idempotency.py", "portal/lean_polls.py"),
    *("tenants/wall.py", "tenants/checks.py", "tenants/database_roles.py", "vprotect_bridge/connection.py"),
    *(
        "reports/record.py",
        "vprotect_bridge/facts.py",
        "vprotect_bridge/machine_rows.py",
        "vprotect_bridge/missed_runs.py",
        "vprotect_bridge/operation_session.py",
        "vprotect_bridge/places.py",
        "vprotect_bridge/protection.py",
        "vprotect_bridge/submit.py",
    ),
}
# Looks at a certificate that may not be trusted, and sends nothing (tests/vprotect_bridge/test_check.py).
LOOKS_AT_CERTIFICATES = "vprotect_bridge/client/certificate.py"
# Calls out of the process: to vProtect, and to what customers name.
CALLERS = {"vprotect_bridge/client/connections.py", "tenants/outbound.py", LOOKS_AT_CERTIFICATES}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_nothing_is_executed_trusted_or_left_unchecked(path: Path):
    forbidden = re.compile(
        r"(^|\.)(eval|exec|mark_safe|SafeString|csrf_exempt|pickle\.loads?|yaml\.load|marshal\.loads?|os\.system"
        r"|subprocess\.\w+|extra|RawSQL|format_html_join)$"
    )
    for name, call in calls(path):
        assert not forbidden.search(name) or name == "logger.extra", f"{name_of(path)}:{call.lineno} {name}"
        for keyword in call.keywords:
            is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            assert not (keyword.arg == "verify" and is_off), f"{name_of(path)}:{call.lineno} verify=False"
            assert not (keyword.arg == "shell" and not is_off), f"{name_of(path)}:{call.lineno} shell"
    is_trusting = "_create_unverified_context" in path.read_text() or "CERT_NONE" in path.read_text()
    assert not is_trusting or name_of(path) == LOOKS_AT_CERTIFICATES


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_calls_out_are_made_in_few_places(path: Path):
    if name_of(path) in CALLERS:
        return
    out = re.compile(
        r"^(requests|httpx|urllib\.request|http\.client|socket|aiohttp)\.(get|post|put|request|Session|urlopen|create_connection|HTTPS?Connection)$"
    )
    assert not [name for name, _call in calls(path) if out.match(name)]


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_statements_are_written_in_few_places_and_never_put_together_from_values(path: Path):
    for name, call in calls(path):
        if not name.endswith((".execute", ".executemany", "session.query", "_tell")) or not call.args:
            continue
        assert name_of(path) in STATEMENTS, f"{name_of(path)}:{call.lineno}"
        statement = call.args[0]
        is_put_together = isinstance(statement, ast.JoinedStr | ast.BinOp) and "%" in ast.unparse(statement)
        assert not isinstance(statement, ast.JoinedStr) and not is_put_together, f"{name_of(path)}:{call.lineno}"


def test_posts_without_a_token_are_taken_by_a_mail_program_and_where_no_cookie_is_looked_at():
    """What unsubscribes somebody has none; programs that use the API have one of another kind."""
    without = {name_of(path) for path in PRODUCT if "csrf_exempt" in path.read_text()}
    leaving = {"notifications/views/unsubscribe.py", "reports/views/unsubscribe.py"}
    assert without == {*leaving, "api/http.py", "api/views.py"}
    for path in (ROOT / "api").glob("*.py"):
        assert not re.search(r"request\.(user|session|COOKIES)\b", path.read_text()), path.name


@pytest.mark.parametrize("path", WEB, ids=name_of)
def test_web_asks_for_rows_in_a_scope(path: Path):
    """`across_tenants` is for workers and operators. Nobody needs to think of a filter that cannot be forgotten."""
    assert "across_tenants" not in path.read_text() and "scopes_disabled" not in path.read_text()


@pytest.mark.parametrize("path", WEB, ids=name_of)
def test_web_knows_neither_the_client_nor_its_password(path: Path):
    text = path.read_text()
    assert "vprotect_bridge.client" not in text and "vprotect_bridge.connection" not in text
    assert "VPROTECT_PASSWORD" not in text or path.name == "settings.py"


def test_no_filter_of_vprotects_is_trusted_alone():
    """The peer asks for `?tenantid=` and believes the answer; ours is believed after a control (`ownership.py`)."""
    asking = [path for path in PRODUCT if "tenantid=" in path.read_text()]
    assert {name_of(path) for path in asking} <= {"vprotect_bridge/ownership.py", "vprotect_bridge/client/api.py"}
    assert "believable(listings, control)" in (ROOT / "vprotect_bridge/ownership.py").read_text()


def test_an_address_upstream_is_built_from_checked_parts():
    """The peer cuts a path at its first "api"; ours is made of templates whose parts pass one function."""
    calls = [(ROOT / "vprotect_bridge/client" / name).read_text() for name in ("api.py", "mounts.py")]
    parts = [part for text in calls for part in re.findall(r'f"/[^"]*\{([^}]+)\}', text)]
    assert len(parts) >= 3 and all(part.startswith("checked(") for part in parts), parts
