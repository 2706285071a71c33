"""A portal without a mirror: each thing on a machine's page is asked for when the page is, with a login of its own."""

from __future__ import annotations

import requests


class PerRequestProxy:
    def __init__(self, url: str, ca_file: str, login: str, password: str) -> None:
        self._api, self._ca_file = f"{url}/api", ca_file
        self._credentials = {"login": login, "password": password}

    def machine_page(self, guid: str) -> int:
        """Fetches all that the page shows; returns how many things that were."""
        of_machine = {"protected-entity": guid}
        shown = [
            (f"/virtual-machines/{guid}", {}),
            (f"/virtual-machines/{guid}/disks", {}),
            ("/backups/", of_machine),
            ("/restore-jobs", of_machine),
            ("/tasks", {**of_machine, "state": "QUEUED"}),
            ("/tasks", {**of_machine, "state": "RUNNING"}),
            ("/policies/vm-backup", {}),
            ("/rules/vm-backup", {}),
            ("/schedules", {"type": "VM_BACKUP"}),
            ("/backup-destinations", {}),
            ("/projects", {}),
            ("/hypervisor-managers/", {}),
            ("/hypervisors/", {}),
            ("/hypervisor-clusters", {}),
            ("/hypervisor-storages", {}),
            ("/mounted-backups", {}),
            ("/snapshots", of_machine),
            ("/nodes", {}),
        ]
        for path, filters in shown:
            self._fetch(path, filters)
        return len(shown)

    def _fetch(self, path: str, filters: dict[str, str]) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = self._ca_file
            session.post(f"{self._api}/session/login", json=self._credentials, timeout=60).raise_for_status()
            session.get(self._api + path, params=filters, timeout=60)
