"""Who answers which call: the session first, then the routes of every subject."""

from __future__ import annotations

from dataclasses import dataclass

from vprotect_simulator import engine
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.endpoints import (
    backup_destinations,
    backups,
    hypervisors,
    mounts,
    nodes,
    policies,
    projects,
    restore_jobs,
    rules,
    schedules,
    session,
    tasks,
    virtual_machines,
)
from vprotect_simulator.engine import Refused
from vprotect_simulator.state import State

DIALECTS = ("classic", "current")

ROUTES: tuple[Route, ...] = (
    *session.ROUTES,
    *virtual_machines.ROUTES,
    *projects.ROUTES,
    *hypervisors.ROUTES,
    *backup_destinations.ROUTES,
    *tasks.ROUTES,
    *backups.ROUTES,
    *restore_jobs.ROUTES,
    *mounts.ROUTES,
    *nodes.ROUTES,
    *schedules.ROUTES,
    *policies.ROUTES,
    *rules.ROUTES,
)


@dataclass(frozen=True)
class Account:
    login: str
    password: str


class Api:
    """Answers calls from the state. Not for several threads at once: the server holds a lock around it."""

    def __init__(self, state: State, account: Account, dialect: str = "classic") -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"the dialect is {dialect!r}, but must be one of {', '.join(DIALECTS)}")
        self.state = state
        self.account = account

    def answer(self, call: Call) -> Reply:
        engine.catch_up(self.state)
        path = call.path.rstrip("/") or "/"
        if (call.method, path) == ("POST", "/session/login"):
            return session.log_in(self.state, call, self.account.login, self.account.password)
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
