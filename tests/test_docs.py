"""The documents are true where that can be asked: paths, links, tests' names, and commands that somebody runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click import Context
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MAP = ROOT / "docs/guide-map.md"
GUIDE = ROOT / "docs/install-debian.md"
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

# Who runs each command of the documents: its beginning → the test or script, which holds it in its own words, or runs
# the file that states it. "host" is what only a host of one's own can show; `bash -n` reads it, nothing more.
RUN_BY = {
    r"make demo\b": "tests/demo/test_demo.py",
    r"make (test|lint)\b": ".ci/run",
    r"make (format|faults|access|production|upgrade|degraded|soak|bench|secrets)": "Makefile",
    r"docker compose up --detach": "tests/production/test_compose_journey.py",
    r"docker compose run --rm worker python manage.py vprotect_check": "tests/vprotect_bridge/test_check.py",
    r"docker compose run --rm worker python\s*manage.py reconstruct_usage --days": "tests/reports/test_record.py",
    r"docker compose run --rm migrations python manage.py createsuperuser": "tests/test_docs.py",
    r"docker compose run --rm migrations$": "tests/production/test_compose_journey.py",
    r"docker compose exec operator python manage.py reencrypt": "tests/production/test_compose_journey.py",
    r"docker compose kill --signal HUP web operator": "tests/production/test_compose_journey.py",
    r"docker compose (stop|exec -T postgres pg_(dump|restore))": "tests/production/test_compose_journey.py",
    r"celery -A portal worker": "tests/test_docs.py",
    r"docker compose (logs|build)": "host",
    r"git pull": "host",
    r"SIMULATOR_PASSWORD=secret .venv/bin/python -m vprotect_simulator": "tests/simulator/test_command.py",
    r"curl --cacert .demo/simulator/ca.pem|-d '\{": "tests/simulator/test_server.py",
    r"curl --silent --fail-with-body \"\$PORTAL_URL|python3 examples/back_up_and_wait.py": "tests/api/test_example.py",
    r"cat secrets/secret_key|python3 -c \"import secrets|truncate --size 0": "tests/test_docs.py",
}


def commands(document: Path) -> list[str]:
    lines = "\n".join(BLOCK.findall(document.read_text())).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def test_each_path_and_test_of_the_guides_map_is_there():
    rows = [line for line in MAP.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) > 100
    for row in rows:
        _, number, _guide, code, _page, proof, _ = (cell.strip() for cell in row.split("|"))
        named = re.findall(r"`([\w./-]+\.(?:py|md|yml|html)|[\w-]+(?:/[\w-]+)+/?)`", f"{code} {proof}")
        assert not [path for path in named if not (ROOT / path).exists()], number
        for file, test in re.findall(r"`(tests/[\w/]+\.py)` `(test_\w+)`", proof):
            assert f"def {test}(" in (ROOT / file).read_text(), f"{number}: {test}"
        assert "`" in proof, f"{number} is proved by nothing"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        assert target.startswith(("http:", "https:", "mailto:")) or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_path_in_a_document_is_there(document: Path):
    for path in re.findall(
        r"`((?:tests|docs|portal|tenants|vprotect_bridge|demo|deploy|postgres)/[\w./-]+)`", document.read_text()
    ):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path != GUIDE], ids=lambda path: path.name)
def test_each_command_is_run_by_somebody(document: Path):
    makefile = (ROOT / "Makefile").read_text()
    for command in commands(document):
        runners = [runner for start, runner in RUN_BY.items() if re.match(start, command)]
        assert runners, f"{document.name}: who runs {command!r}?"
        for runner in runners:
            assert runner == "host" or (ROOT / runner).exists()
        for target in re.findall(r"\bmake ([a-z-]+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_make_says_what_each_of_its_words_does():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target


def test_the_keys_are_changed_as_the_document_says(tmp_path: Path):
    """The commands themselves, in a folder that looks like the one beside docker-compose.yml."""
    (tmp_path / "secrets").mkdir()
    key, former = tmp_path / "secrets/secret_key", tmp_path / "secrets/secret_key_fallbacks"
    key.write_text("the key that was there before, long enough to be one")
    former.write_text("")
    told = commands(ROOT / "docs/operations.md")
    inode = key.stat().st_ino
    for start in ("cat secrets/secret_key", 'python3 -c "import secrets'):
        (command,) = [line for line in told if line.startswith(start)]
        subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
    assert former.read_text() == "the key that was there before, long enough to be one"
    assert len(key.read_text().strip()) > 50 and key.stat().st_ino == inode, "the file that a container was given"
    (command,) = [line for line in told if line.startswith("truncate")]
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
    assert former.read_text() == ""


def test_the_first_operator_is_made_by_a_command_that_there_is():
    from django.core.management import get_commands

    for document in DOCUMENTS:
        for name in re.findall(r"manage\.py (\w+)", "\n".join(commands(document))):
            assert name in get_commands(), f"{document.name}: {name}"


def test_the_workers_of_several_hosts_hear_every_queue():
    """Each command as Celery reads it, without starting one."""
    from celery.bin.worker import worker

    queues: list[str] = []
    for command in commands(ROOT / "docs/scaling.md"):
        if command.startswith("celery -A portal worker "):
            options, rest, _order = worker.make_parser(Context(worker)).parse_args(shlex.split(command)[4:])
            assert options["hostname"] == f"{options['queues']}@%h" and int(options["concurrency"]) >= 1 and not rest
            queues += options["queues"].split(",")
    assert sorted(queues) == sorted({route["queue"] for route in settings.CELERY_TASK_ROUTES.values()})


# ── The guide for one Debian host ────────────────────────────────────────────


def test_the_guides_commands_can_be_read():
    told = "\n".join(commands(GUIDE))
    read = subprocess.run(["bash", "-n", "-c", told], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr


def test_the_guides_secrets_are_those_of_this_host(tmp_path: Path):
    """Its commands for secrets, in a folder in the place of /etc/portal."""
    from demo import compose_secrets

    compose_secrets.make(tmp_path / "secrets")
    for start in ("sed -i", "echo redis"):
        (command,) = [line for line in commands(GUIDE) if line.startswith(start)]
        subprocess.run(["bash", "-ec", command.replace("/etc/portal", str(tmp_path))], check=True)
    for who in ("web", "operator", "worker", "owner"):
        assert "@127.0.0.1/portal" in (tmp_path / f"secrets/{who}_database_url").read_text()
    password = (tmp_path / "secrets/redis_password").read_text()
    assert (tmp_path / "secrets/redis_url").read_text().strip() == f"redis://:{password}@127.0.0.1:6379/0"


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is missing")
def test_the_guides_nginx_reads_what_the_guide_makes(tmp_path: Path):
    import trustme

    (tmp_path / "secrets").mkdir()
    certificate = trustme.CA().issue_cert("portal.example", "operators.example")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "secrets/tls_certificate"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "secrets/tls_key"))
    (command,) = [line for line in commands(GUIDE) if line.startswith("sed -e 's/web:8000")]
    places = {"/srv/portal/app": str(ROOT), "/etc/nginx/conf.d": str(tmp_path), "/etc/portal": str(tmp_path)}
    places |= {"/var/log/nginx": str(tmp_path)}
    for place, here in places.items():
        command = command.replace(place, here)
    subprocess.run(["bash", "-ec", command], check=True)
    text = (tmp_path / "portal.conf").read_text()
    assert "${" not in text and "127.0.0.1:8001" in text and "allow 10.0.0.0/8;" in text
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{ include {tmp_path}/portal.conf; }}\n"
    )
    read = subprocess.run(["/usr/sbin/nginx", "-t", "-c", str(whole)], capture_output=True, text=True)
    assert read.returncode == 0, read.stderr


# ── Files of others ──────────────────────────────────────────────────────────


def test_whatever_is_vendored_has_its_version_and_its_licence():
    for folder in (ROOT / "static/vendor").iterdir():
        assert re.search(r"-\d+\.\d+\.\d+$", folder.name), folder.name
        assert len((folder / "LICENSE").read_text()) > 300, folder.name
