"""Finds out what an operator needs to know of a vProtect on the first day. Reads; changes nothing.

Only GETs go out, the login, and the two queries that the API dresses as POST (API reference, 5.5 and 14.2).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any

from vprotect_bridge.client import read, types
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.certificate import NoConnection, look_at_certificate
from vprotect_bridge.client.errors import (
    BadAnswer,
    BadCredentials,
    NotFound,
    NotSent,
    TooManyRequests,
    Unauthorized,
    UpstreamError,
)
from vprotect_bridge.client.plans import Policy, Rule, Schedule
from vprotect_bridge.client.read import GUID, Malformed
from vprotect_bridge.client.transport import Account, MemorySessionStore, Transport

SOON_DAYS = 30
MOST_SKEW_MS = 60_000


class Level(Enum):
    GOOD, NOTE, PROBLEM = "ok", "note", "PROBLEM"


@dataclass(frozen=True)
class Finding:
    """One sentence for a terminal, to which what vProtect says of itself may do nothing."""

    level: Level
    sentence: str

    def __post_init__(self) -> None:
        harmless = "".join(sign if sign.isprintable() else "?" for sign in self.sentence)
        object.__setattr__(self, "sentence", harmless)


good, note, problem = (partial(Finding, level) for level in Level)


@dataclass(frozen=True)
class Where:
    """Where vProtect is and how the portal is set to speak to it; `timeout` in seconds."""

    url: str
    login: str
    password: str = field(repr=False)
    ca_file: str | None
    dialect: str
    timeout: float = 20.0


def check(where: Where) -> Iterator[tuple[str, list[Finding]]]:
    """Headings with what was found, as soon as it is known. Ends early when nothing more can be asked."""
    certificate, is_reachable = _certificate(where)
    yield "Connection", certificate
    if not is_reachable:
        return
    transport = Transport(
        where.url,
        ca_file=where.ca_file,
        sessions=MemorySessionStore(),
        credentials=lambda: (where.login, where.password),
        timeout=where.timeout,
    )
    api = VProtect(transport, where.dialect)
    login, is_in = _log_in(transport, where)
    yield "Login", login
    if not is_in:
        return
    sight = Sight(api)
    yield "What can be read", list(sight.read_all())
    yield "Dialect", list(_dialect(sight, where.dialect))
    yield "What the account may do", list(_privileges(transport.account))
    yield "Tenant filters", list(_tenant_filters(sight))


# ── Connection and login ─────────────────────────────────────────────────────


def _certificate(where: Where) -> tuple[list[Finding], bool]:
    try:
        found = look_at_certificate(where.url, where.ca_file, where.timeout)
    except NoConnection as error:
        return [problem(str(error))], False
    who = f"The certificate is for {', '.join(found.names) or found.subject}, signed by {found.issuer}."
    if found.problem:
        return [note(who), problem(found.problem)], False
    left = f"It is trusted and good for {found.days_left} days, until {found.ends_at:%Y-%m-%d}."
    return [good(who), (note if found.days_left < SOON_DAYS else good)(left)], True


def _log_in(transport: Transport, where: Where) -> tuple[list[Finding], bool]:
    try:
        transport.get("/session")
    except NotFound:
        pass  # Logged in all the same: the call itself is not in every version.
    except UpstreamError as error:
        return [problem(_said(error, where))], False
    return [good(f"vProtect accepted the login of {where.login}."), _clock(transport), _session_length(transport)], True


def _said(error: UpstreamError, where: Where) -> str:
    """One sentence for what went wrong with a call."""
    match error:
        case BadCredentials():
            return f"vProtect refused the login of {where.login}: the name or the password is wrong, or it is locked."
        case Unauthorized():
            return "vProtect forgot the session at once: is there a proxy that drops cookies?"
        case BadAnswer():
            return f"What answers at {where.url} is not vProtect's API ({error.detail}): is a proxy between?"
        case NotSent():
            return f"The connection failed ({error.detail})."
        case TooManyRequests():
            return "vProtect says that it is asked too often: try again in a minute."
    if error.status is None:
        return f"vProtect took the connection but did not answer within {where.timeout:g} seconds."
    if 300 <= error.status < 400:
        return f"{where.url} sends elsewhere (HTTP {error.status}): VPROTECT_URL must be vProtect's own address."
    if error.status < 300:
        return f"What answers at {where.url} is not vProtect's API: a login gave no session (HTTP {error.status})."
    return f"vProtect answered with an error (HTTP {error.status}: {error.detail[:200]})."


def _clock(transport: Transport) -> Finding:
    if transport.clock_skew_ms is None:
        return note("It does not tell the time of its clock.")
    seconds = round(transport.clock_skew_ms / 1000)
    if abs(transport.clock_skew_ms) < 2000:
        return good("Its clock agrees with this machine's.")
    how = f"Its clock is {abs(seconds)} seconds {'ahead of' if seconds > 0 else 'behind'} this machine's."
    if abs(transport.clock_skew_ms) < MOST_SKEW_MS:
        return note(f"{how} The portal allows for it.")
    return problem(f"{how} Windows and schedules would be off: set both clocks by NTP.")


def _session_length(transport: Transport) -> Finding:
    ends_at = transport.account.session_ends_at if transport.account else None
    if ends_at is None:
        return note("It does not say how long a session lasts; the portal logs in again when one has ended.")
    minutes = (ends_at - datetime.now(UTC).timestamp()) / 60
    return good(f"A session lasts {minutes:.0f} minutes; the portal logs in again when one has ended.")


# ── One of each kind ─────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Kind:
    """A list of things. `is_needed`: without it the portal cannot work."""

    name: str
    path: str
    parse: Callable[[Any], Any]
    is_needed: bool = True


KINDS = (
    Kind("machines", "/virtual-machines", types.VirtualMachine.from_json),
    Kind("tasks", "/tasks", types.Task.from_json),
    Kind("backup destinations", "/backup-destinations", types.Destination.from_json),
    Kind("schedules", "/schedules", Schedule.from_json),
    Kind("policies", "/policies/vm-backup", Policy.from_json),
    Kind("rules", "/rules/vm-backup", Rule.from_json),
    Kind("hypervisor managers", "/hypervisor-managers", types.Hypervisor.manager_from_json),
    Kind("hypervisors", "/hypervisors", types.Hypervisor.host_from_json),
    Kind("projects", "/projects", types.Project.from_json, is_needed=False),
    Kind("restore jobs", "/restore-jobs", types.RestoreJob.from_json, is_needed=False),
    Kind("backup locations", "/backup-locations", read.row, is_needed=False),
    Kind("mounted backups", "/mounted-backups", read.row, is_needed=False),
    Kind("workflow executions", "/workflow-executions", read.row, is_needed=False),
)
# What has details of its own.
WITH_DETAILS = ("machines", "tasks", "schedules", "policies", "rules")


class Sight:
    """What was seen: rows as they came, by kind; `refused` and `unknown` are kinds."""

    def __init__(self, api: VProtect) -> None:
        self.api = api
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.unknown: set[str] = set()

    def read_all(self) -> Iterator[Finding]:
        for kind in KINDS:
            yield self._read(kind)
        machine = self._first_guid("machines")
        if not machine:
            yield note("There is no machine, so backups and what is asked about one machine could not be tried.")
            return
        backups = Kind("backups of a machine", "/backups/", types.Backup.from_json)
        yield self._read(backups, {"protected-entity": machine})
        yield self._query(
            "destinations usable for a machine", "/backup-destinations/usable-for-vms", [{"guid": machine}]
        )
        body = {"entities": [{"guid": machine}]}
        path = "/virtual-machines/incremental-not-possible"
        yield self._query("whether an incremental backup is possible", path, body, is_needed=False)

    def _read(self, kind: Kind, filters: dict[str, str] | None = None) -> Finding:
        """The first row, and its details: enough to see that it can be understood."""
        try:
            answer = self.api.transport.get(kind.path, {**(filters or {}), "page": 0, "size": 1})
            rows = answer.data or []
            if not isinstance(rows, list):
                raise BadAnswer("a list was expected")
            for row in rows:
                kind.parse(row)
            self.rows[kind.name] = rows
            if rows and kind.name in WITH_DETAILS:
                details = self.api.transport.get(f"{kind.path}/{read.guid(rows[0])}").data
                kind.parse(details)
                self.details[kind.name] = details
        except (UpstreamError, Malformed) as error:
            return self._not_read(kind.name, error, is_needed=kind.is_needed)
        count = answer.total if answer.total is not None else len(rows)
        return good(f"{kind.name}: {count}") if count else note(f"{kind.name}: none")

    def _query(self, name: str, path: str, body: Any, *, is_needed: bool = True) -> Finding:
        try:
            answer = self.api.transport.post(path, body)
            if not isinstance(answer.data, list | None):
                raise BadAnswer("a list was expected")
        except UpstreamError as error:
            return self._not_read(name, error, is_needed=is_needed)
        return good(f"{name}: answered")

    def _not_read(self, name: str, error: UpstreamError | Malformed, *, is_needed: bool) -> Finding:
        status = error.status if isinstance(error, UpstreamError) else None
        if status in {404, 405}:
            self.unknown.add(name)
            why = "this vProtect has no such call"
        elif status == 403:
            why = "the account may not read them"
        else:
            why = str(error) or type(error).__name__
        found = f"{name}: could not be read, {why}"
        return problem(f"{found}.") if is_needed else note(f"{found}; the portal does without.")

    def _first_guid(self, kind: str) -> str:
        row = next(iter(self.rows.get(kind, [])), {})
        guid = row.get("guid")
        return guid if isinstance(guid, str) and GUID.fullmatch(guid) else ""


# ── Dialect ──────────────────────────────────────────────────────────────────


def _dialect(sight: Sight, setting: str) -> Iterator[Finding]:
    """API reference, chapter 2: the first sign decides, since calls came one by one with the versions."""
    signs = list(_signs(sight))
    for _which, why in signs:
        yield note(why)
    if not signs:
        yield note(f"It cannot be told which dialect it speaks; the portal is set to {setting}.")
        return
    found = signs[0][0]
    version = "5.x or later" if found == "current" else "3.8 to 4.x"
    if found == setting:
        yield good(f"It looks like {version} (the dialect {found}), and the portal is set to {setting}.")
    else:
        yield problem(
            f"It looks like {version} (the dialect {found}), but the portal is set to {setting}: "
            f"set VPROTECT_DIALECT={found}."
        )


def _signs(sight: Sight) -> Iterator[tuple[str, str]]:
    rule = sight.details.get("rules", {})
    if "ruleBackupDestinations" in rule:
        yield "current", "A rule names its destinations with retention (ruleBackupDestinations)."
    elif "backupDestinations" in rule:
        yield "classic", "A rule names its destinations alone (backupDestinations)."
    if "backupRetryCount" in sight.details.get("policies", {}):
        yield "current", "A policy has a number of retries (backupRetryCount)."
    if "backup locations" in sight.rows:
        yield "current", "It knows backup locations."
    elif "backup locations" in sight.unknown:
        yield "classic", "It knows no backup locations."


# ── Account ──────────────────────────────────────────────────────────────────

# The one that is known by name (API reference, 18) and is not for reading, which was tried.
CHANGES_PLANS = "VE_BACKUP_SLA_WRITE"


def _privileges(account: Account | None) -> Iterator[Finding]:
    if account is None or not account.privileges:
        yield note("vProtect does not say what the account may do; what could be read is said above.")
        return
    yield good(f"It has {len(account.privileges)} privileges: {', '.join(sorted(account.privileges))}.")
    if CHANGES_PLANS not in account.privileges:
        yield note(f"{CHANGES_PLANS} is not among them: the portal may be unable to make and change plans.")
    yield note("Whether it may back up and restore shows when somebody does: this check changes nothing.")


# ── Tenants ──────────────────────────────────────────────────────────────────


def _tenant_filters(sight: Sight) -> Iterator[Finding]:
    """The same filter with a value that nobody has: whoever ignores it returns everything (20, trap 1)."""
    for name, path in (("machines", "/virtual-machines"), ("tasks", "/tasks"), ("schedules", "/schedules")):
        yield _tenant_filter(sight, name, path)
    yield _tenant_filter(sight, "policies", "/policies/vm-backup")


def _tenant_filter(sight: Sight, name: str, path: str) -> Finding:
    spelling = sight.api.dialect.tenant_filters[path]
    if not sight.rows.get(name):
        return note(f"{name}: there are none, so the filter {spelling} could not be tried.")
    try:
        answer = sight.api.transport.get(path, {spelling: secrets.token_hex(16), "page": 0, "size": 1})
    except UpstreamError as error:
        return note(f"{name}: the filter {spelling} could not be tried ({error}).")
    if answer.data:
        return note(f"{name}: the filter {spelling} is ignored, and the portal does not rely on it: claim by GUID.")
    return good(f"{name}: the filter {spelling} is honoured.")
