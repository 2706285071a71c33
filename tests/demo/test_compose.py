"""docker-compose.yml is read, not run: where the tests run there need be no container engine."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from demo import compose_secrets
from portal import gunicorn_conf

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = ROOT / "deploy/nginx/portal.conf.template"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("web", "operator", "worker", "downloads", "notifier", "beat", "migrations")
WORKERS = {"worker", "downloads"}


def words_of(service: dict) -> list[str]:
    command = (
        re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["command"])
        if isinstance(service["command"], str)
        else service["command"]
    )
    words = shlex.split(command) if isinstance(command, str) else command
    return shlex.split(words[2].partition(" exec ")[2]) if words[:2] == ["sh", "-c"] else words


def test_every_part_is_there():
    assert set(SERVICES) == {*OURS, "proxy", "postgres", "redis", "prometheus", "simulator"}
    optional = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert optional == {"simulator": ["demo"], "prometheus": ["monitoring"]}


@pytest.mark.parametrize("name", [*OURS, "simulator"])
def test_commands_name_what_exists(name):
    match words_of(SERVICES[name]):
        case ["gunicorn", module, *_] | ["celery", "-A", module, *_] | ["python", "-m", module, *_]:
            assert find_spec(module)
        case ["python", "manage.py", command, *_]:
            assert command in get_commands()
        case words:
            pytest.fail(f"What is {words}?")


def test_each_process_knows_what_it_is():
    for name in OURS:
        assert SERVICES[name]["environment"]["PORTAL_PROCESS"] == ("worker" if name in WORKERS else name)


def test_only_workers_know_vprotect():
    """Beat neither: it rings for the workers and calls nobody."""
    for name in set(OURS) - WORKERS:
        assert not [
            key for key in SERVICES[name]["environment"] if key.startswith("VPROTECT_") and "DIALECT" not in key
        ]
        assert "vprotect_password" not in SERVICES[name]["secrets"]
        assert "vprotect" not in SERVICES[name]["networks"]
    for name in WORKERS:
        assert "vprotect_password" in SERVICES[name]["secrets"] and "vprotect" in SERVICES[name]["networks"]


def test_who_sends_mail_reaches_the_mail_server():
    for name in OURS:
        sends_mail = name in {"web", "operator", "notifier"}
        assert ("outside" in SERVICES[name]["networks"]) == sends_mail
        assert ("EMAIL_HOST" in SERVICES[name]["environment"]) == sends_mail
        assert ("email_password" in SERVICES[name]["secrets"]) == sends_mail


def test_nobody_else_finds_a_way_out():
    networks = COMPOSE["networks"]
    assert networks["back"]["internal"] is True
    assert networks["front"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("web", "web"),
        ("operator", "operator"),
        ("worker", "worker"),
        ("downloads", "worker"),
        ("notifier", "worker"),
        ("beat", "worker"),
        ("migrations", "owner"),
    ],
)
def test_each_process_signs_in_as_its_own_role(name, role):
    secret = f"{role}_database_url"
    assert SERVICES[name]["environment"]["DATABASE_URL_FILE"] == f"/run/secrets/{secret}"
    assert [word for word in SERVICES[name]["secrets"] if word.endswith("database_url")] == [secret]


def test_no_secret_stands_in_the_file():
    for service in SERVICES.values():
        assert not {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "VPROTECT_PASSWORD", "EMAIL_HOST_PASSWORD"} & set(
            service.get("environment", {})
        )
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_migrations_run_once_and_before_everybody():
    assert SERVICES["migrations"]["restart"] == "on-failure:5"
    for name in set(OURS) - {"migrations"}:
        assert SERVICES[name]["depends_on"]["migrations"] == {"condition": "service_completed_successfully"}


def test_whoever_stays_has_a_health_check():
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"migrations"}


def test_containers_cannot_do_much():
    for name in OURS:
        assert SERVICES[name]["user"] == "10001", "nobody is root"
        assert SERVICES[name]["tmpfs"] == ["/tmp:size=128m,mode=1777"]  # noqa: S108
    for name in set(SERVICES) - {"postgres", "simulator"}:
        service = SERVICES[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_everybody_has_limits_and_ends_what_was_begun():
    for name in set(SERVICES) - {"simulator"}:
        assert set(SERVICES[name]["deploy"]["resources"]["limits"]) >= {"cpus", "memory"}, name
        assert SERVICES[name]["logging"]["options"]["max-size"], name
    for name in (*OURS, "proxy", "postgres"):
        assert SERVICES[name]["stop_grace_period"] == "60s", name
    assert gunicorn_conf.graceful_timeout < 60 and settings.CELERY_TASK_TIME_LIMIT < 60


def test_only_the_proxy_is_reached_from_outside():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"proxy", "prometheus"}
    assert published["prometheus"] == ["127.0.0.1:9090:9090"]
    assert SERVICES["proxy"]["networks"] == ["front", "entrance"], "it reaches neither database nor vProtect"


def test_figures_are_on_a_network_without_proxy():
    told = {name for name in SERVICES if "metrics" in SERVICES[name].get("networks", [])}
    assert told == {*OURS, "prometheus"} - {"migrations"}
    assert COMPOSE["networks"]["metrics"]["internal"] is True
    for name in told - {"prometheus"}:
        assert SERVICES[name]["environment"]["METRICS_ADDRESS"] == "0.0.0.0:9464"
        assert ":9464" not in str(SERVICES["proxy"]) + TEMPLATE.read_text()


def test_each_option_is_read_by_the_settings():
    known = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name in OURS:
        given = {key.removesuffix("_FILE") if key.endswith("_FILE") else key for key in SERVICES[name]["environment"]}
        assert given - {"VPROTECT_CA", "PORTAL_LOGO", "OUTBOUND_CA"} <= known, name


def test_the_image_is_made_of_what_exists():
    stages = (ROOT / "Dockerfile").read_text()
    for line in stages.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            assert (ROOT / line.split()[1]).exists(), line
    for service in SERVICES.values():
        if "build" in service:
            assert f" AS {service['build']['target']}\n" in stages


def test_the_secrets_can_be_made_and_are_not_made_twice(tmp_path):
    made = compose_secrets.make(tmp_path)
    assert {*made, *compose_secrets.BY_A_PERSON} == set(COMPOSE["secrets"])
    assert (tmp_path / "web_password").read_text() in (tmp_path / "web_database_url").read_text()
    assert compose_secrets.make(tmp_path) == []


def test_the_spool_is_written_by_downloads_and_read_by_web():
    mounted = {
        name: [volume for volume in service.get("volumes", []) if str(volume).startswith("spool:")]
        for name, service in SERVICES.items()
    }
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        "web": ["spool:/srv/spool:ro"],
        "downloads": ["spool:/srv/spool"],
    }
    queues = {name: re.findall(r"-Q (\S+)", str(SERVICES[name]["command"])) for name in WORKERS}
    assert queues == {"worker": ["submit,follow,inventory"], "downloads": ["downloads"]}
