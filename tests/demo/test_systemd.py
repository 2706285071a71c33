"""deploy/systemd says the same as docker-compose.yml, and each unit can do no more than it must."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from demo import compose_secrets
from tests.demo.test_compose import OURS, ROOT, SERVICES, WORKERS

FOLDER = ROOT / "deploy/systemd"
UNITS = {name: (FOLDER / f"portal-{name}.service").read_text() for name in OURS}


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNITS[unit], re.MULTILINE)


def environment(unit: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in values(unit, "Environment") for pair in line.split())


def command(words: list[str]) -> list[str]:
    """Without where it listens and what the node is called, which is the host's to say."""
    told = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in words]
    for option in ("--bind", "-n"):
        if option in told:
            place = told.index(option)
            del told[place : place + 2]
    return [Path(told[0]).name, *told[1:]]


@pytest.mark.parametrize("name", OURS)
def test_each_unit_runs_what_the_compose_file_runs(name: str):
    (line,) = values(name, "ExecStart")
    assert command(shlex.split(line)) == command(shlex.split(SERVICES[name]["command"]))


@pytest.mark.parametrize("name", OURS)
def test_each_unit_has_the_secrets_of_its_service_and_no_others(name: str):
    stated = {key: Path(value).name for key, value in environment(name).items() if key.endswith("_FILE")}
    services = SERVICES[name]["environment"]
    assert stated == {key: Path(value).name for key, value in services.items() if str(value).startswith("/run/secrets")}
    assert environment(name)["PORTAL_PROCESS"] == services["PORTAL_PROCESS"]


def test_only_workers_see_vprotects_password():
    for name in OURS:
        assert ("VPROTECT_PASSWORD_FILE" in environment(name)) == (name in WORKERS)
        assert ("/etc/portal/worker.env" in values(name, "EnvironmentFile")) == (name in WORKERS)
    # Beat is the same user as the workers, so it is kept out by name.
    assert "vprotect_password" in values("beat", "InaccessiblePaths")[0]
    assert values("beat", "IPAddressDeny") == ["any"]


@pytest.mark.parametrize("name", OURS)
def test_each_unit_is_kept_from_what_it_does_not_need(name: str):
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in UNITS[name], line
    assert values(name, "User")[0].startswith("portal-") and values(name, "MemoryMax") and values(name, "CPUQuota")
    if name != "migrations":
        assert values(name, "TimeoutStopSec") == ["60"] and values(name, "Restart") == ["always"]
        assert values(name, "Requires") == ["portal-migrations.service"]


def test_each_setting_and_secret_is_known():
    known = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for file in ("portal.env", "worker.env"):
        assert set(re.findall(r"^([A-Z_]+)=", (FOLDER / file).read_text(), re.MULTILINE)) <= known
    files = {Path(value).name for name in OURS for key, value in environment(name).items() if key.endswith("_FILE")}
    guide = (ROOT / "docs/install-debian.md").read_text()
    assert all(
        re.search(rf"\b{re.escape(re.sub('^(web|operator|worker|owner)', '', file))}\b", guide) for file in files
    )
    assert "vprotect_password" in compose_secrets.BY_A_PERSON


def test_the_target_starts_them_all():
    assert set(re.findall(r"portal-(\w+)\.service", (FOLDER / "portal.target").read_text())) == set(OURS)


def test_no_two_listen_on_one_port():
    ports = re.findall(r"127\.0\.0\.1:(\d+)", "".join(UNITS.values()))
    assert len(ports) == len(set(ports)) == 8


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_them(tmp_path: Path):
    """With programs in the places that the guide makes."""
    for name, text in UNITS.items():
        told = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text).replace(
            "Documentation=file:", "Documentation=http:"
        )
        (tmp_path / f"portal-{name}.service").write_text(told)
    files = sorted(map(str, tmp_path.iterdir()))
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files],
        capture_output=True,
        text=True,
        timeout=30,
    )
    ours = [line for line in answer.stderr.splitlines() if str(tmp_path) in line]
    assert not ours, answer.stderr
