"""Who answers which call: the session first, then the routes of every subject."""

from __future__ import annotations

from vprotect_simulator import engine
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.endpoints import (
    administration,
    backup_destinations,
    backup_files,
    backups,
    dashboard,
    hypervisors,
    mounts,
    nodes,
    policies,
    reports,
    restore_jobs,
    retention,
    rules,
    schedules,
    session,
    snapshots,
    task_requests,
    tasks,
    virtual_machines,
    workflow_executions,
)
from vprotect_simulator.engine import Refused
from vprotect_simulator.state import State

DIALECTS = ("classic", "current")

ROUTES: tuple[Route, ...] = (
    *session.ROUTES,
    *virtual_machines.ROUTES,
    *hypervisors.ROUTES,
    *nodes.ROUTES,
    *backup_destinations.ROUTES,
    *tasks.ROUTES,
    *task_requests.ROUTES,
    *workflow_executions.ROUTES,
    *backups.ROUTES,
    *backup_files.ROUTES,
    *retention.ROUTES,
    *restore_jobs.ROUTES,
    *mounts.ROUTES,
    *snapshots.ROUTES,
    *schedules.ROUTES,
    *policies.ROUTES,
    *rules.ROUTES,
    *dashboard.ROUTES,
    *reports.ROUTES,
    *administration.ROUTES,
)


class Api:
    """Answers calls from the state. Not for several threads at once: the server holds a lock around it."""

    def __init__(self, state: State, password: str, token: str = "") -> None:
        self.state = state
        self._secrets = {"/session/login": password, "/session/login-with-token": token}

    def answer(self, call: Call) -> Reply:
        engine.catch_up(self.state)
        path = call.path.rstrip("/") or "/"
        if log_in := session.LOGINS.get((call.method, path)):
            return log_in(self.state, call, self._secrets[path])
        if not session.is_open(self.state, call):
            return Reply(401, {"message": "Not logged in"})
        try:
            return self._route(call, path)
        except Refused as refused:
            return Reply(refused.status, {"message": refused.message})

    def _route(self, call: Call, path: str) -> Reply:
        known = [route for route in ROUTES if route.dialect in {"", self.state.dialect} and route.fits(path)]
        for route in sorted(known, key=lambda route: "{" in route.path):  # a word before what stands for any
            match = route.fits(path)
            if match and route.method == call.method:
                return route.answer(self.state, call, *match.groups())
        raise Refused(405, "Method not allowed") if known else Refused(404, "Not found")
