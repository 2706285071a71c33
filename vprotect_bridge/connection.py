"""The one connection of all workers to vProtect: its shared session, the breaker of its login, and how it is.

Both live in PostgreSQL, in tables of which web may read only the status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from psycopg.types.json import Jsonb

from tenants.correlation import correlation_id
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.client.errors import (
    BadAnswer,
    BadCredentials,
    LoginPaused,
    NotSent,
    Rejected,
    TooManyRequests,
    Unauthorized,
    UpstreamError,
)
from vprotect_bridge.client.transport import Answer, Cookies, Transport, login_pause
from vprotect_bridge.metrics import observe_call
from vprotect_bridge.models import UpstreamSession, UpstreamStatus

logger = logging.getLogger(__name__)

UNREACHABLE, REFUSED_LOGIN, NONSENSE = "unreachable", "refused_login", "nonsense"
# The Date header has whole seconds, and the call itself takes time.
SKEW_NOTED_MS = 2000
WAIT_FOR_LOGIN_SECONDS = 30


@cache
def vprotect() -> VProtect:
    """The client of this process, by the settings.

    Raises `ImproperlyConfigured` in a process that is not a worker: it has neither address nor password.
    """
    if not hasattr(settings, "VPROTECT_URL"):
        raise ImproperlyConfigured("Only a worker speaks to vProtect: PORTAL_PROCESS must be worker here.")
    transport = WatchedTransport(
        settings.VPROTECT_URL,
        ca_file=settings.VPROTECT_CA_FILE,
        sessions=PostgresSessionStore(),
        credentials=credentials,
        timeout=settings.VPROTECT_SECONDS["timeout"],
        correlation=correlation_id.get,
        observe=observe_call,
    )
    return VProtect(transport, settings.VPROTECT_DIALECT)


def credentials() -> tuple[str, str]:
    """Login and password of the service account; the password as its file says now."""
    file, password = settings.VPROTECT_PASSWORD_FILE, settings.VPROTECT_PASSWORD
    try:
        password = (file.read_text().strip() if file else "") or password
    except OSError as error:
        logger.error("VPROTECT_PASSWORD_FILE cannot be read, the password is the one of the start: %s", error.strerror)
    return settings.VPROTECT_LOGIN, password


# ── Locks that live with the process ─────────────────────────────────────────


@contextmanager
def own_connection() -> Iterator[psycopg.Connection[Any]]:
    """A PostgreSQL session of its own, outside Django's transactions; closing it frees every lock that it holds."""
    wanted = ("host", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "options")
    parameters = {name: value for name, value in connection.get_connection_params().items() if name in wanted}
    with psycopg.connect(**parameters, autocommit=True, connect_timeout=5) as pg:
        yield pg


def try_lock(pg: psycopg.Connection[Any], name: str) -> bool:
    """Takes the lock of this name for as long as `pg` is open; False = another process holds it."""
    row = pg.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
    return row is not None and row[0]


def wait_for_lock(pg: psycopg.Connection[Any], name: str) -> None:
    """The same, as soon as no other process holds it."""
    pg.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])


# ── The session ──────────────────────────────────────────────────────────────


class PostgresSessionStore:
    """A `SessionStore` for all processes together, in the row of `UpstreamSession`."""

    def cookies(self) -> tuple[int, Cookies | None]:
        return UpstreamSession.objects.values_list("generation", "cookies").get(pk=1)

    def login(self, seen_generation: int, do_login: Callable[[], Cookies]) -> tuple[int, Cookies]:
        """Logs in unless somebody did since `seen_generation`; the others wait for that login and use it.

        Raises `LoginPaused` while the breaker is open, `BadCredentials` when this login was refused, `NotSent` when
        another process's login takes too long.
        """
        with own_connection() as pg:
            _wait_for_turn(pg)
            generation, cookies, is_paused = _read_session(pg)
            if cookies is not None and generation != seen_generation:
                return generation, cookies
            if is_paused:
                raise LoginPaused("a login was refused lately")
            try:
                cookies = do_login()
            except BadCredentials:
                _open_breaker(pg)
                raise
            return _keep_session(pg, cookies), cookies


def _wait_for_turn(pg: psycopg.Connection[Any]) -> None:
    try:
        # A lock of the session and not of a transaction: none may stay open while vProtect is asked.
        pg.execute("SELECT set_config('lock_timeout', %s, false)", [f"{WAIT_FOR_LOGIN_SECONDS}s"])
        pg.execute("SELECT pg_advisory_lock(hashtextextended('vprotect login', 0))")
    except psycopg.errors.LockNotAvailable as error:
        raise NotSent("another process's login takes too long") from error


def _read_session(pg: psycopg.Connection[Any]) -> tuple[int, Cookies | None, bool]:
    row = pg.execute(
        "SELECT generation, cookies, coalesce(login_paused_until > clock_timestamp(), false)"
        " FROM vprotect_bridge_upstreamsession WHERE id = 1"
    ).fetchone()
    if row is None:
        raise UpstreamSession.DoesNotExist("the row of the shared session is missing")
    return row[0], row[1], row[2]


def _keep_session(pg: psycopg.Connection[Any], cookies: Cookies) -> int:
    row = pg.execute(
        "UPDATE vprotect_bridge_upstreamsession SET generation = generation + 1, cookies = %s,"
        " logged_in_at = clock_timestamp(), refused_logins = 0, login_paused_until = NULL WHERE id = 1"
        " RETURNING generation",
        [Jsonb(cookies)],
    ).fetchone()
    if row is None:
        raise UpstreamSession.DoesNotExist("the row of the shared session is missing")
    return row[0]


def _open_breaker(pg: psycopg.Connection[Any]) -> None:
    """The next login waits, longer after each refusal; until one succeeds there is no session."""
    refused = pg.execute(
        "UPDATE vprotect_bridge_upstreamsession SET refused_logins = refused_logins + 1, cookies = NULL"
        " WHERE id = 1 RETURNING refused_logins"
    ).fetchone()
    pg.execute(
        "UPDATE vprotect_bridge_upstreamsession"
        " SET login_paused_until = clock_timestamp() + make_interval(secs => %s) WHERE id = 1",
        [login_pause(refused[0] if refused else 1)],
    )


# ── How vProtect is ──────────────────────────────────────────────────────────


class WatchedTransport(Transport):
    """Notes how vProtect is after every GET. Not after a POST: nothing may stand between its answer and its record."""

    def get(self, path: str, params: dict[str, Any] | None = None) -> Answer:
        try:
            answer = super().get(path, params)
        except UpstreamError as error:
            note_error(error)
            raise
        note_reachable(self.clock_skew_ms)
        return answer


def note_reachable(clock_skew_ms: int | None = None) -> None:
    """Writes only what changed; `clock_skew_ms` (vProtect's clock minus ours) when it moved by over two seconds."""
    status = UpstreamStatus.objects.filter(pk=1)
    status.filter(Q(unreachable_since__isnull=False) | ~Q(problem="")).update(unreachable_since=None, problem="")
    if clock_skew_ms is not None:
        near = (clock_skew_ms - SKEW_NOTED_MS, clock_skew_ms + SKEW_NOTED_MS)
        status.exclude(clock_skew_ms__range=near).update(clock_skew_ms=clock_skew_ms)


def note_unreachable(problem: str) -> None:
    """`problem`: unreachable, refused_login or nonsense. The first moment of a trouble is kept."""
    changed = UpstreamStatus.objects.filter(pk=1).exclude(unreachable_since__isnull=False, problem=problem)
    changed.update(unreachable_since=Coalesce(F("unreachable_since"), Now()), problem=problem)


def note_error(error: UpstreamError) -> None:
    """Notes what a failed call tells of vProtect; a refusal of a request is a healthy answer."""
    if isinstance(error, Rejected | TooManyRequests):
        note_reachable()
    elif isinstance(error, BadCredentials | LoginPaused | Unauthorized):
        note_unreachable(REFUSED_LOGIN)
    else:
        note_unreachable(NONSENSE if isinstance(error, BadAnswer) else UNREACHABLE)
