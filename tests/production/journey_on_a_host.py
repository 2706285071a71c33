"""From the login to a backup, on a host that was installed by docs/install-debian.md (`rehearse_debian.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from tests.end_to_end.conftest import Person, until

PASSWORD = "a password of the people"
SECRETS = Path("/etc/portal/secrets")


class PersonOnTheHost(Person):
    def __init__(self) -> None:
        self._http = requests.Session()
        self._http.trust_env, self._http.verify = False, "/root/portal-ca.pem"
        self._http.headers["Referer"] = "https://portal.example/"
        self.post("/accounts/login/", {"login": "member@aurora-books.example", "password": PASSWORD})

    def get(self, path: str) -> requests.Response:
        return self._http.get(f"https://portal.example{path}", timeout=20)

    def send(self, path: str, form: dict[str, str]) -> requests.Response:
        return self._http.post(f"https://portal.example{path}", form, timeout=20)


def rows(query: str, *parameters: Any) -> list[dict[str, Any]]:
    with psycopg.connect((SECRETS / "worker_database_url").read_text().strip(), row_factory=dict_row) as pg:
        return pg.execute(query, parameters).fetchall()


def main() -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PORTAL_PROCESS": "migrations",
        "DEMO_PASSWORD": PASSWORD,
        "PORTAL_URL": "https://portal.example",
        **{f"{name}_FILE": str(SECRETS / name.lower()) for name in ("SECRET_KEY", "REDIS_URL")},
        "DATABASE_URL_FILE": str(SECRETS / "owner_database_url"),
    }
    seed = ["/srv/portal/venv/bin/python", "manage.py", "seed_demo"]
    subprocess.run(seed, env=environment, cwd="/srv/portal/app", check=True)
    machines = (
        "SELECT m.guid FROM vprotect_bridge_machine m JOIN tenants_tenant t ON t.id = m.tenant_id"
        " WHERE t.slug = 'aurora-books' AND m.present ORDER BY m.name LIMIT 1"
    )
    machine = until(lambda: rows(machines), 150)[0]["guid"]
    operation = PersonOnTheHost().back_up(machine)
    ended = "SELECT * FROM vprotect_bridge_operation WHERE id = %s AND outcome <> ''"
    (row,) = until(lambda: rows(ended, operation), 180)
    print(f"install-debian: a backup was asked for and {row['outcome']}")
    sys.exit(row["outcome"] != "succeeded")


if __name__ == "__main__":
    main()
