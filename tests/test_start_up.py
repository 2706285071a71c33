"""Wrong settings end the start with one sentence that names the setting; each process needs only its own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from portal import environment

BASE = {
    "PATH": os.defpath,
    "SECRET_KEY": "a key for tests only, worth nothing elsewhere, 0123456789",
    "DATABASE_URL": "postgres://nobody@localhost/nowhere",
    "REDIS_URL": "redis://localhost:1/0",
    "PORTAL_URL": "https://portal.example",
}
VPROTECT = {"VPROTECT_URL": "https://vprotect.example:8181", "VPROTECT_LOGIN": "portal", "VPROTECT_PASSWORD": "secret"}
SETTINGS = settings.BASE_DIR / "portal/settings.py"
EXAMPLE = settings.BASE_DIR / ".env.example"


def settings_of(**changes: str) -> ModuleType:
    """The settings as a process with this environment would read them; "unset" leaves one out."""
    spec = importlib.util.spec_from_file_location("settings_of_a_test", SETTINGS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    values = {name: value for name, value in {**BASE, **changes}.items() if value != "unset"}
    with mock.patch.dict(os.environ, values, clear=True), mock.patch.object(environment, "secrets", set()):
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SECRET_KEY": "unset"}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY has 5 characters, but must have at least 32"),
        ({"DATABASE_URL": "unset"}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "sqlite:///x"}, "DATABASE_URL must be a PostgreSQL address"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL is not a database address"),
        ({"REDIS_URL": "unset"}, "REDIS_URL is not set"),
        ({"REDIS_URL": "amqp://localhost"}, "REDIS_URL must be an address of Redis"),
        ({"PORTAL_PROCESS": "wep"}, "PORTAL_PROCESS is 'wep', but must be one of"),
        ({"PORTAL_URL": "portal.example"}, "PORTAL_URL is 'portal.example', but must start with https:// or http://"),
        ({"OPERATOR_URL": "ftp://portal.example"}, "OPERATOR_URL is 'ftp://portal.example'"),
        ({"SUPPORT_URL": "http://help.example"}, "SUPPORT_URL is 'http://help.example', but must start with https://"),
        ({"SUPPORT_EMAIL": "help"}, "SUPPORT_EMAIL is 'help', but must be an address with an @"),
        ({"DEFAULT_FROM_EMAIL": "portal"}, "DEFAULT_FROM_EMAIL is 'portal'"),
        ({"INSECURE_COOKIES": "maybe"}, "INSECURE_COOKIES is 'maybe', but must be yes or no"),
        ({"EMAIL_SECURITY": "ssl"}, "EMAIL_SECURITY is 'ssl', but must be one of"),
        ({"EMAIL_PORT": "587.5"}, "EMAIL_PORT is 587.5, but must be a whole number"),
        ({"EMAIL_PORT": "70000"}, "EMAIL_PORT is 70000, but must be a whole number up to 65535"),
        ({"BEHIND_PROXY": "2"}, "BEHIND_PROXY is '2', but must be yes or no"),
        ({"SECRET_KEY": "unset", "SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE points to /nowhere/key"),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY and SECRET_KEY_FILE are both set"),
        ({"PORTAL_LOGO_FILE": "/nowhere/logo.png"}, "PORTAL_LOGO_FILE is '/nowhere/logo.png', which is not a file"),
        ({"OUTBOUND_CA_FILE": "/nowhere/ca.pem"}, "OUTBOUND_CA_FILE is '/nowhere/ca.pem', which is not a file"),
        ({"OUTBOUND_CA_FILE": __file__}, "which holds no certificate in PEM"),
        ({"OUTBOUND_PRIVATE_NETWORKS": "10.1.0.0/40"}, "OUTBOUND_PRIVATE_NETWORKS: "),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is 'LOUD', but must be one of: DEBUG"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is 'xml', but must be one of: line, json"),
        ({"METRICS_ADDRESS": "9464"}, "METRICS_ADDRESS is '9464', but must be host:port"),
        ({"VPROTECT_DIALECT": "modern"}, "VPROTECT_DIALECT is 'modern'"),
        ({"HISTORY_RETENTION_DAYS": "29"}, "HISTORY_RETENTION_DAYS must be 0, for ever, or at least 30"),
        ({"VPROTECT_TIMEOUT": "soon"}, "VPROTECT_TIMEOUT is 'soon', but must be a number"),
        ({"VPROTECT_TIMEOUT": "nan"}, "VPROTECT_TIMEOUT is 'nan', but must be a number"),
        ({"VPROTECT_INVENTORY_SECONDS": "0"}, "VPROTECT_INVENTORY_SECONDS is 0, but must be at least 1"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], sentence: str):
    with pytest.raises(ImproperlyConfigured) as refused:
        settings_of(**changes)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"VPROTECT_URL": "unset"}, "VPROTECT_URL is not set"),
        ({"VPROTECT_URL": "http://vprotect.example"}, "VPROTECT_URL is 'http://vprotect.example', but must start with"),
        ({"VPROTECT_LOGIN": "unset"}, "VPROTECT_LOGIN is not set"),
        ({"VPROTECT_PASSWORD": "unset"}, "VPROTECT_PASSWORD is not set"),
        ({"VPROTECT_CA_FILE": "/nowhere/ca.pem"}, "VPROTECT_CA_FILE is '/nowhere/ca.pem', which is not a file"),
    ],
)
def test_a_worker_names_what_it_misses_of_vprotect(changes: dict[str, str], sentence: str):
    with pytest.raises(ImproperlyConfigured, match=re.escape(sentence)):
        settings_of(PORTAL_PROCESS="worker", **{**VPROTECT, **changes})


def test_the_sentence_is_all_that_is_said():
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**BASE, "SECRET_KEY": ""},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode != 0
    assert answer.stderr.startswith("Not started: SECRET_KEY is not set: set it, or SECRET_KEY_FILE")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("process", ["web", "operator", "beat", "migrations"])
def test_only_a_worker_needs_vprotect_and_nobody_else_reads_the_password(process: str):
    read = settings_of(PORTAL_PROCESS=process, **VPROTECT)
    assert not {"VPROTECT_URL", "VPROTECT_LOGIN", "VPROTECT_PASSWORD"} & set(dir(read))
    settings_of(PORTAL_PROCESS=process)
    with pytest.raises(ImproperlyConfigured):
        settings_of(PORTAL_PROCESS="worker")


@pytest.mark.parametrize(("process", "urls"), [("web", "portal.urls"), ("operator", "portal.operator_urls")])
def test_each_site_has_its_own_addresses(process: str, urls: str):
    read = settings_of(PORTAL_PROCESS=process)
    assert (urls, f"__Host-portal_{process}_session") == (read.ROOT_URLCONF, read.SESSION_COOKIE_NAME)


def names_read(*kinds: str) -> set[str]:
    kind = "|".join(kinds) or r"\w+"
    return set(re.findall(rf'environment\.(?:{kind})\(\s*"(\w+)"', SETTINGS.read_text()))


@pytest.mark.parametrize("name", sorted(names_read("secret")))
def test_each_secret_may_come_from_a_file(name: str, tmp_path: Path):
    file, value = tmp_path / "secret", {**BASE, **VPROTECT}.get(name, "a-secret-of-forty-characters-out-of-a-file")
    file.write_text(f"{value}\n")
    read = vars(settings_of(**{**VPROTECT, name: "unset", f"{name}_FILE": str(file), "PORTAL_PROCESS": "worker"}))
    read |= {"DATABASE_URL": BASE["DATABASE_URL"] if read["DATABASES"]["default"]["NAME"] == "nowhere" else ""}
    assert read[{"REDIS_URL": "CELERY_BROKER_URL"}.get(name, name)] in (value, [value])


def test_an_address_with_a_slash_is_the_same_address():
    read = settings_of(PORTAL_URL="https://portal.example/")
    assert (read.PORTAL_URL, read.OPERATOR_URL) == ("https://portal.example", "https://portal.example")


def test_logs_know_what_to_leave_out(monkeypatch: pytest.MonkeyPatch):
    secrets = settings_of(
        **VPROTECT | {"VPROTECT_PASSWORD": "of the account"},
        PORTAL_PROCESS="worker",
        DATABASE_URL="postgres://portal_worker:p%40ss@localhost/portal",
        REDIS_URL="redis://:of-the-broker@localhost/0",
        EMAIL_HOST_PASSWORD="of the mail server",
        SECRET_KEY_FALLBACKS="a former key of more than thirty characters".replace(" ", "-"),
    ).LOGGING["formatters"]["json"]["secrets"]
    wanted = {"of the account", "p%40ss", "p@ss", "of-the-broker", "of the mail server", BASE["SECRET_KEY"]}
    assert wanted <= secrets and "a-former-key-of-more-than-thirty-characters" in secrets


def test_each_setting_has_a_sentence():
    lines = EXAMPLE.read_text().splitlines()
    settings_at = {found[1]: number for number, line in enumerate(lines) if (found := re.match(r"#?([A-Z_]+)=", line))}
    assert set(settings_at) == names_read()
    for name, number in settings_at.items():
        while re.match(r"#?[A-Z_]+=", lines[number]):
            number -= 1
        assert re.search(r"^# .*[.;:)]$", lines[number]), f"{name} has no sentence above it"
