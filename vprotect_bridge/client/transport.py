"""Speaks HTTP to vProtect: session, login, deadline, and what an answer proves. Nothing else sees a raw response.

Every call has a connection of its own and no retries of the library's: a reused connection and a hidden retry both
make a POST ambiguous.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import requests

from vprotect_bridge.client import read
from vprotect_bridge.client.connections import deadline, http_session, opened_sockets
from vprotect_bridge.client.download import Download
from vprotect_bridge.client.errors import (
    Ambiguous,
    BadAnswer,
    BadCredentials,
    LoginPaused,
    NotFound,
    NotSent,
    Rejected,
    TooManyRequests,
    Unauthorized,
    UpstreamError,
)

logger = logging.getLogger(__name__)

Cookies = dict[str, str]
MOST_BYTES = 64 * 1024 * 1024
MOST_BYTES_OF_A_POST = 1024 * 1024
DEFAULT_PORT = 8181
CONNECT_SECONDS = 5.0


class SessionStore(Protocol):
    """Where the one session is kept, for all processes together."""

    def cookies(self) -> tuple[int, Cookies | None]:
        """The session's generation and cookies; None = nobody has logged in yet."""

    def login(self, seen_generation: int, do_login: Callable[[], Cookies]) -> tuple[int, Cookies]:
        """Logs in unless somebody else did since `seen_generation`; one login at a time.

        Raises `LoginPaused` while the breaker is open, `BadCredentials` when this login was refused.
        """


def login_pause(refused: int) -> float:
    """Seconds without a login after `refused` refusals in a row: a locked account is worse than a pause."""
    return min(60.0 * 2 ** (refused - 1), 3600.0)


class MemorySessionStore:
    """A session for one process: tools and tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = 0
        self._cookies: Cookies | None = None
        self._refused = 0
        self._paused_until = 0.0

    def cookies(self) -> tuple[int, Cookies | None]:
        return self._generation, self._cookies

    def login(self, seen_generation: int, do_login: Callable[[], Cookies]) -> tuple[int, Cookies]:
        with self._lock:
            if self._cookies is not None and self._generation != seen_generation:
                return self._generation, self._cookies
            if time.monotonic() < self._paused_until:
                raise LoginPaused("a login was refused lately")
            try:
                self._cookies = do_login()
            except BadCredentials:
                self._refused += 1
                self._paused_until = time.monotonic() + login_pause(self._refused)
                raise
            self._generation, self._refused = self._generation + 1, 0
            return self._generation, self._cookies


@dataclass(frozen=True)
class Answer:
    """A 2xx answer. `data` is the parsed JSON, None for an empty body; `total` is X-Total-Count where sent."""

    status: int
    data: Any
    total: int | None


@dataclass(frozen=True)
class Account:
    """What a login tells of the account (API reference, 4.1). `session_ends_at`: epoch seconds, if a cookie says."""

    name: str
    privileges: tuple[str, ...]
    session_ends_at: int | None


class Transport:
    """Calls below `<base_url>/api`. `timeout` is the overall deadline of a call, in seconds.

    `observe` hears of each exchange: method, path, the status or the class of the error, seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_file: str | None,
        sessions: SessionStore,
        credentials: Callable[[], tuple[str, str]],
        timeout: float = 20.0,
        allow_http: bool = False,
        correlation: Callable[[], str] = lambda: "",
        observe: Callable[[str, str, str, float], None] = lambda method, path, result, seconds: None,
    ) -> None:
        if not base_url.startswith("https://") and not (allow_http and base_url.startswith("http://")):
            raise ValueError(f"{base_url!r} does not start with https://")
        self._api = with_port(base_url) + "/api"
        self._verify: str | bool = ca_file or True
        self._sessions = sessions
        self._credentials = credentials
        self._timeout = timeout
        self._correlation = correlation
        self._observe = observe
        self.clock_skew_ms: int | None = None
        self.account: Account | None = None

    def __repr__(self) -> str:
        return f"<Transport {self._api}>"

    def get(self, path: str, params: dict[str, Any] | None = None) -> Answer:
        return self._call("GET", path, params=params)

    def put(self, path: str, body: Any) -> Answer:
        return self._call("PUT", path, body=body)

    def post(self, path: str, body: Any) -> Answer:
        """One POST; a 401 was not processed and is repeated once after a login, nothing else ever is."""
        return self._call("POST", path, body=body)

    def ask(self, path: str, body: Any) -> Answer:
        """A question disguised as a POST: it changes nothing, and its answer may be as long as a list's."""
        return self._call("POST", path, body=body, most_bytes=MOST_BYTES)

    def delete(self, path: str) -> Answer:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, *, params: Any = None, body: Any = None, most_bytes: int = 0) -> Answer:
        most_bytes = most_bytes or (MOST_BYTES_OF_A_POST if method == "POST" else MOST_BYTES)
        generation, cookies = self._session()
        answer = self._once(method, path, params, body, cookies, most_bytes)
        if answer.status_code == 401:
            _, cookies = self._sessions.login(generation, self._login)
            answer = self._once(method, path, params, body, cookies, most_bytes)
        return _read(answer)

    def _session(self) -> tuple[int, Cookies]:
        generation, cookies = self._sessions.cookies()
        return (generation, cookies) if cookies is not None else self._sessions.login(generation, self._login)

    @contextmanager
    def download(self, path: str, body: Any, *, start: int = 0) -> Iterator[Download]:
        """An answer that is read piece by piece and is never whole in memory, from the byte `start` on if it can be.

        The deadline is that of each piece. Raises `UpstreamError` as any call does.
        """
        generation, cookies = self._session()
        with ExitStack() as opened:
            found = self._open(opened, path, body, cookies, start)
            if isinstance(found, _Received) and found.status_code == 401:
                _, cookies = self._sessions.login(generation, self._login)
                found = self._open(opened, path, body, cookies, start)
            if isinstance(found, _Received):
                _read(found)
                raise BadAnswer("a file was expected", status=found.status_code)
            yield found

    def _open(self, kept: ExitStack, path: str, body: Any, cookies: Cookies, start: int) -> Download | _Received:
        """The file, or the answer that says why not."""
        opened: list[socket.socket] = []
        with self._request("POST", path, None, body, cookies, opened, kept, start) as response:
            if response.status_code in {200, 206}:
                return Download(response, opened, self._timeout, start)
            return _Received(response, MOST_BYTES_OF_A_POST)

    def _login(self) -> Cookies:
        """Guide, "Login": POST the credentials, keep all cookies."""
        login, password = self._credentials()
        answer = self._once("POST", "/session/login", None, {"login": login, "password": password}, {})
        if answer.status_code in {400, 401, 403}:
            raise BadCredentials("vProtect refused the login of the service account", status=answer.status_code)
        if not answer.ok or not answer.cookies:
            raise Ambiguous("the login was answered without a session", status=answer.status_code)
        self.account = _account(answer)
        return answer.cookies.get_dict()

    def _once(
        self, method: str, path: str, params: Any, body: Any, cookies: Cookies, most_bytes: int = MOST_BYTES_OF_A_POST
    ) -> _Received:
        with ExitStack() as kept, self._request(method, path, params, body, cookies, [], kept) as response:
            return _Received(response, most_bytes)

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        params: Any,
        body: Any,
        cookies: Cookies,
        opened: list[socket.socket],
        kept: ExitStack,
        start: int | None = None,
    ) -> Iterator[requests.Response]:
        """Within the deadline, also of what is read inside; the connection stays open for as long as `kept`."""
        began = time.monotonic()
        token = opened_sockets.set(opened)
        try:
            with deadline(self._timeout, opened) as is_cut:
                response = kept.enter_context(http_session()).request(
                    method,
                    self._api + path,
                    params=params,
                    json=body,
                    cookies=cookies,
                    headers=_headers(self._correlation(), start),
                    timeout=(min(CONNECT_SECONDS, self._timeout), self._timeout),
                    verify=self._verify,
                    allow_redirects=False,
                    stream=True,
                )
                kept.callback(response.close)
                self._note_clock(response.headers.get("Date"))
                yield response
            if is_cut.is_set():
                self._observe(method, path, Ambiguous.__name__, time.monotonic() - began)
                # Cut among the headers or in a body of unknown length, it looks like the end of a short answer.
                raise Ambiguous(f"{method} {path}: no answer in time")
        except (requests.RequestException, OSError) as error:
            # Before a connection stood nothing can have been sent; after, anything may have been.
            kind = Ambiguous if opened else NotSent
            self._observe(method, path, kind.__name__, time.monotonic() - began)
            raise kind(f"{method} {path}: {type(error).__name__}") from error
        finally:
            opened_sockets.reset(token)
        seconds = time.monotonic() - began
        self._observe(method, path, str(response.status_code), seconds)
        about = {"method": method, "path": path, "status": response.status_code, "milliseconds": round(seconds * 1000)}
        sentence = "vProtect %(method)s %(path)s → %(status)s in %(milliseconds)s ms"
        logger.info(sentence, about, extra={"about": about})

    def _note_clock(self, date: str | None) -> None:
        """Before the body is read: a long list would make vProtect's clock look slow."""
        try:
            theirs = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        self.clock_skew_ms = int((theirs - time.time()) * 1000)


def with_port(base_url: str) -> str:
    """vProtect listens on 8181 unless the address names another port (guide, "Setup")."""
    parts = urlsplit(base_url)
    netloc = parts.netloc if parts.port else f"{parts.netloc.rstrip(':')}:{DEFAULT_PORT}"
    return urlunsplit(parts._replace(netloc=netloc, path=parts.path.rstrip("/")))


class _Received:
    """A response read to its end, or to the limit."""

    def __init__(self, response: requests.Response, most_bytes: int) -> None:
        self.status_code, self.headers, self.ok = response.status_code, response.headers, response.ok
        self.cookies = response.cookies
        self.body = b""
        chunks, size = [], 0
        for chunk in response.iter_content(65536):
            size += len(chunk)
            if size > most_bytes:
                raise BadAnswer(f"the answer is larger than {most_bytes} bytes", status=response.status_code)
            chunks.append(chunk)
        self.body = b"".join(chunks)
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and "Content-Encoding" not in response.headers and size < int(expected):
            raise BadAnswer("the answer was cut off", status=response.status_code)


def _read(answer: _Received) -> Answer:
    """Sorts an answer by what it proves (docs/submit-protocol.md, section 3)."""
    status = answer.status_code
    if 200 <= status < 300:
        total = answer.headers.get("X-Total-Count", "")
        return Answer(status, _json(answer), int(total) if total.isdigit() else None)
    message = _message(answer)
    if status == 401:
        raise Unauthorized(message, status=status)
    if status == 404:
        raise NotFound(message, status=status)
    if status in {400, 403, 409, 422}:
        raise Rejected(message, status=status)
    if status == 429:
        after = answer.headers.get("Retry-After", "")
        raise TooManyRequests(message, status=status, retry_after=float(after) if after.isdigit() else None)
    raise Ambiguous(message, status=status)


def _account(answer: _Received) -> Account:
    """Nothing else of that answer is kept: it may hold tokens of other products."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = None
    told = body if isinstance(body, dict) else {}
    requester = told.get("requester")
    ends = [cookie.expires for cookie in answer.cookies if cookie.expires is not None]
    name = read.text(requester.get("name")) if isinstance(requester, dict) else ""
    return Account(name, read.enums(told.get("privileges")), min(ends, default=None))


def _json(answer: _Received) -> Any:
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the answer is not JSON", status=answer.status_code) from error


def _message(answer: _Received) -> str:
    """`message`, else `error.message`, else the status (API reference, 3.9)."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return f"HTTP {answer.status_code}"
    error = body.get("error") if isinstance(body, dict) else None
    inner = error.get("message") if isinstance(error, dict) else None
    outer = body.get("message") if isinstance(body, dict) else None
    return str(outer or inner or f"HTTP {answer.status_code}")[:2000]


def _headers(correlation: str, start: int | None) -> dict[str, str]:
    """`start` of a file: one that may be taken up in its middle must not be compressed on the way."""
    as_it_is = {} if start is None else {"Accept-Encoding": "identity"}
    rest = {"Range": f"bytes={start}-"} if start else {}
    named = {"X-Correlation-Id": correlation} if correlation else {}
    return {"Accept": "application/json" if start is None else "*/*", **named, **as_it_is, **rest}


__all__ = ["Answer", "MemorySessionStore", "SessionStore", "Transport", "UpstreamError", "login_pause"]
