"""Wrong settings end the start with one sentence that names the setting; each process needs only its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

BASE = {
    "PATH": os.defpath,
    "SECRET_KEY": "a key for tests only, worth nothing elsewhere, 0123456789",
    "DATABASE_URL": "postgres://nobody@localhost/nowhere",
    "REDIS_URL": "redis://localhost:1/0",
    "PORTAL_URL": "https://portal.example",
}
VPROTECT = {"VPROTECT_URL": "https://vprotect.example:8181", "VPROTECT_LOGIN": "portal", "VPROTECT_PASSWORD": "secret"}


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, *command],
        env={name: value for name, value in {**BASE, **environment}.items() if value != "unset"},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _check(**environment: str) -> subprocess.CompletedProcess[str]:
    return _run("manage.py", "check", **environment)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SECRET_KEY": "unset"}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"DATABASE_URL": "unset"}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "sqlite:///x"}, "DATABASE_URL must be a PostgreSQL address"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL is not a database address"),
        ({"REDIS_URL": "unset"}, "REDIS_URL is not set"),
        ({"PORTAL_PROCESS": "wep"}, "PORTAL_PROCESS is 'wep', but must be one of"),
        ({"PORTAL_URL": "portal.example"}, "PORTAL_URL is 'portal.example'"),
        ({"OPERATOR_URL": "ftp://portal.example"}, "OPERATOR_URL is 'ftp://portal.example'"),
        ({"INSECURE_COOKIES": "maybe"}, "INSECURE_COOKIES is 'maybe', but must be yes or no"),
        ({"EMAIL_SECURITY": "ssl"}, "EMAIL_SECURITY is 'ssl', but must be one of"),
        ({"BEHIND_PROXY": "2"}, "BEHIND_PROXY is '2', but must be yes or no"),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE points to /nowhere/key"),
        ({"VPROTECT_DIALECT": "modern"}, "VPROTECT_DIALECT is 'modern'"),
        ({"VPROTECT_TIMEOUT": "soon"}, "VPROTECT_TIMEOUT is 'soon', but must be a number"),
        ({"VPROTECT_INVENTORY_SECONDS": "0"}, "VPROTECT_INVENTORY_SECONDS is 0, but must be at least 1"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], sentence: str):
    _ends_with(_check(**environment), sentence)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"VPROTECT_URL": "unset"}, "VPROTECT_URL is not set"),
        ({"VPROTECT_URL": "http://vprotect.example"}, "VPROTECT_URL is 'http://vprotect.example', but must start with"),
        ({"VPROTECT_LOGIN": "unset"}, "VPROTECT_LOGIN is not set"),
        ({"VPROTECT_PASSWORD": "unset"}, "VPROTECT_PASSWORD is not set"),
        ({"VPROTECT_CA_FILE": "/nowhere/ca.pem"}, "VPROTECT_CA_FILE is '/nowhere/ca.pem', which is not a file"),
    ],
)
def test_a_worker_names_what_it_misses_of_vprotect(environment: dict[str, str], sentence: str):
    _ends_with(_check(PORTAL_PROCESS="worker", **{**VPROTECT, **environment}), sentence)


@pytest.mark.parametrize("process", ["web", "operator", "beat", "migrations"])
def test_only_a_worker_needs_vprotect(process: str):
    answer = _check(PORTAL_PROCESS=process)
    assert answer.returncode == 0, answer.stderr
    assert _check(PORTAL_PROCESS="worker").returncode != 0


@pytest.mark.parametrize("process", ["web", "operator"])
def test_a_password_in_the_environment_is_not_even_read(process: str):
    code = (
        "import portal.settings as s, portal.wsgi;"
        "print([n for n in dir(s) if n in ('VPROTECT_URL', 'VPROTECT_LOGIN', 'VPROTECT_PASSWORD')])"
    )
    answer = _run("-c", code, PORTAL_PROCESS=process, **VPROTECT)
    assert (answer.returncode, answer.stdout.strip()) == (0, "[]"), answer.stderr


@pytest.mark.parametrize(("process", "urls"), [("web", "portal.urls"), ("operator", "portal.operator_urls")])
def test_each_site_has_its_own_addresses(process: str, urls: str):
    code = "import portal.settings as s; print(s.ROOT_URLCONF, s.SESSION_COOKIE_NAME)"
    answer = _run("-c", code, PORTAL_PROCESS=process)
    assert answer.stdout.split() == [urls, f"__Host-portal_{process}_session"], answer.stderr


def test_a_secret_may_come_from_a_file(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("a key from a file\n")
    answer = _run("-c", "import portal.settings as s; print(s.SECRET_KEY)", SECRET_KEY_FILE=str(key))
    assert answer.stdout.strip() == "a key from a file", answer.stderr


def test_the_owner_of_the_tables_may_not_serve(db: None):
    """The same check that a process runs when it starts, against the database of this run."""
    from django.db import connection

    parameters = connection.get_connection_params()
    url = f"postgres://{parameters['user']}:{parameters['password']}@/{parameters['dbname']}?host={parameters['host']}"
    answer = _run("manage.py", "check", "--database", "default", DATABASE_URL=url)
    assert answer.returncode != 0
    assert "names a role that owns tables: use portal_web" in answer.stderr


def _ends_with(answer: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert answer.returncode != 0
    last = answer.stderr.strip().splitlines()[-1]
    assert sentence in last, answer.stderr


def test_each_setting_has_a_sentence():
    read = set(re.findall(r'environment\.\w+\(\s*"(\w+)"', (settings.BASE_DIR / "portal/settings.py").read_text()))
    explained = set(re.findall(r"^#?([A-Z_]+)=", (settings.BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    assert explained == read
