from dataclasses import replace

import pytest

from demo.__main__ import CannotStart, _dialect
from demo.passwords import load_or_make
from demo.programs import Programs


@pytest.fixture
def programs(tmp_path):
    passwords = load_or_make(tmp_path / "secrets.json")
    return Programs(tmp_path, 8000, passwords, {role: f"postgres://{role}@/db" for role in passwords.roles}, "redis://")


def every(programs: Programs) -> dict:
    made = (programs.web, programs.operator, programs.worker, programs.beat, programs.migrations, programs.people)
    made += (programs.downloads, programs.notifier, programs.seed, programs.static_files, programs.simulator)
    return {process.name: process.environment for process in (make() for make in made)}


def test_only_workers_and_the_simulator_know_the_service_account(programs):
    knowing = {name for name, env in every(programs).items() if programs.passwords.vprotect in env.values()}
    assert knowing == {"worker", "downloads", "simulator"}


def test_only_workers_know_where_vprotect_is(programs):
    assert {name for name, env in every(programs).items() if "VPROTECT_URL" in env} == {"worker", "downloads"}


def test_each_program_signs_in_as_its_own_role(programs):
    roles = {name: env["DATABASE_URL"] for name, env in every(programs).items() if "DATABASE_URL" in env}
    assert roles["web"] == "postgres://portal_web@/db"
    assert roles["operator"] == "postgres://portal_operator@/db"
    assert roles["worker"] == roles["beat"] == "postgres://portal_worker@/db"


def test_the_persons_environment_stays_with_the_person(programs, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/somebody/elses.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    for environment in every(programs).values():
        assert not {"REQUESTS_CA_BUNDLE", "HTTPS_PROXY"} & set(environment)


def test_portal_and_simulator_speak_the_same_dialect(programs):
    current = replace(programs, dialect="current")
    assert {env.get("VPROTECT_DIALECT", "current") for env in every(current).values()} == {"current"}
    assert " --dialect current" in " ".join(current.simulator().command)


def test_a_demo_stays_what_it_was_made_as(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.__main__.FOLDER", tmp_path)
    monkeypatch.setenv("VPROTECT_DIALECT", "current")
    assert _dialect() == "current"
    monkeypatch.delenv("VPROTECT_DIALECT")
    assert _dialect() == "current"
    for wish, said in (("classic", "made with a current vProtect"), ("5.2", "must be classic or current")):
        monkeypatch.setenv("VPROTECT_DIALECT", wish)
        with pytest.raises(CannotStart, match=said):
            _dialect()


def test_passwords_are_made_once_and_kept_private(tmp_path):
    file = tmp_path / "secrets.json"
    first = load_or_make(file)
    assert load_or_make(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
