"""Logging in and out (API reference, 4)."""

from __future__ import annotations

import secrets

from vprotect_simulator.backups import requester
from vprotect_simulator.calls import Call, Reply, Route
from vprotect_simulator.names import Row, enum, without
from vprotect_simulator.state import State

COOKIE = "JSESSIONID"
DAY_MS = 24 * 3600 * 1000
PRIVILEGES = (
    *("VE_INSTANCE_READ", "VE_BACKUP_SLA_READ", "VE_BACKUP_SLA_WRITE", "APP_BACKUP_SLA_READ", "NODE_READ"),
    *("STORAGE_BACKUP_SLA_READ", "CLOUD_BACKUP_SLA_READ"),
)


def log_in(state: State, call: Call, password: str) -> Reply:
    given = call.body if isinstance(call.body, dict) else {}
    return _let_in(state, call, (given.get("login"), given.get("password")) == (state.login, password))


def log_in_with_token(state: State, call: Call, token: str) -> Reply:
    """What the body is called is not known: `token` is our guess. Without a token nobody gets in that way."""
    given = call.body if isinstance(call.body, dict) else {}
    return _let_in(state, call, bool(token) and given.get("token") == token)


def _let_in(state: State, call: Call, is_right: bool) -> Reply:
    now = state.clock.now_ms()
    if state.refused_logins >= state.settings.lock_account_after or not is_right:
        state.refused_logins += 1
        state.last_refused_login, state.last_refused_address = now, call.address
        return Reply(401, {"message": "Wrong login or password"})
    state.refused_logins = 0
    info = _session_info(state)
    state.last_login = now
    cookie = secrets.token_hex(16)
    state.sessions[cookie] = now
    return Reply(201, info, {"Set-Cookie": f"{COOKIE}={cookie}; Path=/api; HttpOnly"})


def _session_info(state: State) -> Row:
    """Session info (4.1); the moments are of the logins before this one."""
    info = {
        "requester": without(requester(state), "type"),
        "language": {"name": "EN", "description": "English"},
        "uiTimeZone": "UTC",
        "uiConsoleMode": enum("WORKFLOW"),
        "appUserSettings": {"pageSize": 25, "timeFormat": 24, "unmountPeriodForMountedBackups": DAY_MS},
        "privileges": [enum(name) for name in PRIVILEGES],
        "infoTourEnabled": False,
    }
    earlier = {
        "lastSuccessfulLogin": state.last_login,
        "lastFailedLogin": state.last_refused_login,
        "lastFailedLoginIp": state.last_refused_address,
    }
    return {**info, **{name: value for name, value in earlier.items() if value}}


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


def log_out(state: State, call: Call) -> Reply:
    """Which of the candidates is the real one is not known (22, unknown 1): all end the session."""
    state.sessions.pop(call.cookies.get(COOKIE, ""), None)
    return Reply(204)


# The only ones that are answered to who is not logged in.
LOGINS = {("POST", "/session/login"): log_in, ("POST", "/session/login-with-token"): log_in_with_token}

ROUTES = (
    Route("GET", "/session", get_session),
    Route("POST", "/session/logout", log_out),
    Route("GET", "/session/logout", log_out),
    Route("DELETE", "/session", log_out),
)
