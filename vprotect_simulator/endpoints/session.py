"""Logging in and out (API reference, 4)."""

from __future__ import annotations

import secrets

from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.names import Row, enum, guid_of
from vprotect_simulator.state import State

COOKIE = "JSESSIONID"


def log_in(state: State, call: Call, login: str, password: str) -> Reply:
    given = call.body if isinstance(call.body, dict) else {}
    is_locked = state.refused_logins >= state.settings.lock_account_after
    if is_locked or (given.get("login"), given.get("password")) != (login, password):
        state.refused_logins += 1
        return Reply(401, {"message": "Wrong login or password"})
    state.refused_logins = 0
    cookie = secrets.token_hex(16)
    state.sessions[cookie] = state.clock.now_ms()
    return Reply(201, _session_info(login), {"Set-Cookie": f"{COOKIE}={cookie}; Path=/api; HttpOnly; Secure"})


def _session_info(login: str) -> Row:
    return {
        "requester": {"guid": guid_of("user/portal-svc"), "name": login},
        "language": enum("EN"),
        "uiTimeZone": "UTC",
        "privileges": [enum("VE_BACKUP_SLA_READ"), enum("VE_BACKUP_SLA_WRITE")],
        "infoTourEnabled": False,
    }


def is_open(state: State, call: Call) -> bool:
    """A session ends after a time without calls (API reference, 4.3)."""
    cookie, now = call.cookies.get(COOKIE, ""), state.clock.now_ms()
    last_used = state.sessions.get(cookie)
    if last_used is None or now - last_used > state.settings.session_ttl * 1000:
        state.sessions.pop(cookie, None)
        return False
    state.sessions[cookie] = now
    return True


def get_session(state: State, call: Call) -> Reply:
    return Reply(204)


ROUTES = (Route("GET", "/session", get_session),)
