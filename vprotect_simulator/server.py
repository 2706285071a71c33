"""The simulated vProtect behind HTTPS: reads requests, keeps the ledger, and plays the faults."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vprotect_simulator.api import DIALECTS, Api
from vprotect_simulator.calls import Call, Reply
from vprotect_simulator.certificates import server_context
from vprotect_simulator.control import Control
from vprotect_simulator.control_calls import answer_control
from vprotect_simulator.cors import Cors
from vprotect_simulator.faults import Fault
from vprotect_simulator.names import Row
from vprotect_simulator.request_bodies import BrokenFrame, read_body
from vprotect_simulator.seed import Seed, lay_out
from vprotect_simulator.state import State

SECONDS_BETWEEN_SAVES = 2.0
IDLE_SECONDS = 60
# What is sent there has a password or a token in it.
SECRETS = re.compile(r"/session/login.*|/credential.*|.*/ssh-password/?")


class SimulatorServer:
    """Starts and stops the simulator; `control` is the way in for tests.

    The CA and, with `state_file`, what it remembers are kept in files, so that a second start goes on where the
    first ended. Port 0 = any free one. `tls` False speaks plain HTTP. `token`: for who logs in with one. `seed`: what
    there is at first, instead of a landscape. `cors_origins`: pages of which servers may call from a browser.
    """

    def __init__(
        self,
        folder: Path,
        *,
        login: str = "portal-svc",
        password: str,
        port: int = 0,
        host: str = "127.0.0.1",
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        speed: float = 1.0,
        landscape_name: str = "demo",
        state_file: Path | None = None,
        dialect: str = "classic",
        tls: bool = True,
        token: str = "",
        seed: Seed | None = None,
        cors_origins: tuple[str, ...] = (),
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"the dialect is {dialect!r}, but must be one of {', '.join(DIALECTS)}")
        self._lock = threading.RLock()
        self._state_file = state_file
        self.state = _first_state(state_file, seed or landscape_name, speed, dialect)
        self.state.login = login
        self.control = Control(self.state, self._lock, seed or landscape_name)
        self.api = Api(self.state, password, token)
        self.cors = Cors(cors_origins, tls=tls)
        self._is_changed = True
        self._stopping = threading.Event()
        self._http = _Listener((host, port), self)
        self.port = self._http.server_address[1]
        self.ca_file = folder / "ca.pem"
        self._http.tls = server_context(folder, names) if tls else None
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._keep_saving, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._save()

    # ── Calls ────────────────────────────────────────────────────────────────

    def find_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return self.control.faults.hit(method, path)

    def answer(self, call: Call) -> Reply:
        with self._lock:
            try:
                reply = self.api.answer(call)
            except Exception:  # a mistake of ours: told to the operator, and answered like one of a real server
                traceback.print_exc()
                reply = Reply(500, {"message": "Internal error"})
            if cookie := reply.headers.get("Set-Cookie"):
                reply.headers["Set-Cookie"] = self.cors.cookie(cookie)
            self._is_changed = True
            if call.method != "GET":
                self._save()
            return reply

    def control_call(self, call: Call) -> Reply:
        with self._lock:
            self._is_changed = True
            return answer_control(self.control, call)

    # ── Memory ───────────────────────────────────────────────────────────────

    def _keep_saving(self) -> None:
        while not self._stopping.wait(SECONDS_BETWEEN_SAVES):
            self._save()

    def _save(self) -> None:
        with self._lock:
            if self._state_file and self._is_changed:
                self.state.save(self._state_file)
                self._is_changed = False


def _first_state(state_file: Path | None, first: str | Seed, speed: float, dialect: str) -> State:
    if state_file and state_file.exists():
        state = State.load(state_file)
        if state.dialect != dialect:
            raise ValueError(
                f"{state_file} is what a {state.dialect} server remembers: start it as that, or remove it to start over"
            )
    else:
        state = State(dialect=dialect)
        state.settings.change({"speed": speed})
        lay_out(first, state)
    state.settings.change({"speed": speed})
    return state


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], simulator: SimulatorServer) -> None:
        super().__init__(address, _Handler)
        self.simulator = simulator

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a slow handshake must not hold up the others."""
        with suppress(OSError):
            request.settimeout(IDLE_SECONDS)
            # An answer must not wait for the farewell of the handshake to be acknowledged.
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Answers HTTP/1.1 with Content-Length; faults are played on the raw socket."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def _handle(self) -> None:
        address = urlsplit(self.path)
        try:
            body, problem = read_body(self.headers, self.rfile), ""
        except ValueError as error:
            body, problem = None, str(error)
            self.close_connection |= isinstance(error, BrokenFrame)
        # Like a GET, of which only the head is sent.
        method = "GET" if self.command == "HEAD" else self.command
        query = parse_qs(address.query, keep_blank_values=True)
        if self.command == "OPTIONS":
            self._send(Reply(204, headers=self.server.simulator.cors.preflight(self.headers)))
        elif problem:
            self._send(Reply(400, {"message": problem}))
        elif address.path.startswith("/api/"):
            path = address.path.removeprefix("/api")
            address_of_caller = self.client_address[0]
            self._play(Call(method, path, query, body, self._cookies(), self._range_start(), address_of_caller))
        elif address.path.startswith("/control/"):
            call = Call(method, address.path.removeprefix("/control"), query, body)
            self._send(self.server.simulator.control_call(call))
        else:
            self._send(Reply(404, {"message": "Not found"}))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = _handle

    def _cookies(self) -> dict[str, str]:
        """One by one: what another server of this host set must not hide ours, however it is written."""
        pairs = [piece.partition("=") for piece in self.headers.get("Cookie", "").split(";")]
        return {name.strip(): value.strip().strip('"') for name, _equals, value in pairs}

    def _range_start(self) -> int:
        """Of the one kind of range that a broken transfer is taken up with: from a byte to the end."""
        wanted = re.fullmatch(r"bytes=(\d{1,18})-", self.headers.get("Range", ""))
        return int(wanted[1]) if wanted else 0

    # ── Faults ───────────────────────────────────────────────────────────────

    def _play(self, call: Call) -> None:
        simulator = self.server.simulator
        fault = simulator.find_fault(call.method, call.path)
        note = self._note(call, fault)
        if fault is None:
            reply = simulator.answer(call)
            note["status"] = reply.status
            self._send(reply)
        elif fault.kind == "late":
            threading.Timer(fault.seconds, simulator.answer, [call]).start()
            self._reset()
        elif fault.kind in {"slow", "drip", "truncated", "wrong_guid", "other_vm"}:
            self._distort(fault, simulator.answer(call))
        else:
            if fault.when == "after":
                simulator.answer(call)
            self._fail(fault)

    def _note(self, call: Call, fault: Fault | None) -> Row:
        """The entry for the ledger; a password is not kept."""
        note = {
            "method": call.method,
            "path": call.path,
            "query": call.query,
            "body": None if SECRETS.fullmatch(call.path) else call.body,
            "at": self.server.simulator.state.clock.now_ms(),
            "correlation": self.headers.get("X-Correlation-Id"),
            "fault": fault and asdict(fault),
            "status": None,
        }
        self.server.simulator.control.note_call(note)
        return note

    def _distort(self, fault: Fault, reply: Reply) -> None:
        match fault.kind:
            case "slow":
                time.sleep(fault.seconds)
                self._send(reply)
            case "wrong_guid":
                self._send(Reply(reply.status, _with_every(reply.data, "guid", "no guid!")))
            case "other_vm":
                other = {"guid": "00000000-other-machine", "name": "other"}
                self._send(Reply(reply.status, _with_every(reply.data, "protectedEntity", other)))
            case "drip":
                self._drip(_rendered(reply), fault.seconds)
            case _:
                self._send_half(reply)

    def _fail(self, fault: Fault) -> None:
        match fault.kind:
            case "status":
                body = fault.body if fault.body is not None else {"message": "Internal error on node1.internal"}
                self._send(Reply(fault.status, body, fault.headers or {}))
            case "hang":
                time.sleep(fault.seconds)
                self.close_connection = True
            case "reset":
                self._reset()
            case "garbage":
                self._write(_whole(Reply(200), b'[{"guid": "not closed'))
            case "html":
                self._write(_whole(Reply(200), b"<html><body>Proxy</body></html>", "text/html"))
            case "empty":
                self._send(Reply(200))

    def _drip(self, rendered: Iterator[bytes], seconds: float) -> None:
        for piece in rendered:
            for byte in piece:
                if not self._write(bytes([byte])):
                    return
                time.sleep(seconds)

    def _send_half(self, reply: Reply) -> None:
        """The whole head, and half of the body; of one without a known length its first piece."""
        rendered = _rendered(reply)
        head, gap, body = next(rendered).partition(b"\r\n\r\n")
        self._write(head + gap + body[: len(body) // 2])
        left = (reply.length or 0) // 2
        for piece in rendered:
            left -= len(piece)
            if not self._write(piece[: left + len(piece)] if reply.length else piece) or left <= 0:
                break
        self.close_connection = True

    def _reset(self) -> None:
        """Closes with RST instead of a farewell."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket(fileno=self.connection.detach()).close()

    # ── Bytes ────────────────────────────────────────────────────────────────

    def _send(self, reply: Reply) -> None:
        farewell = {"Connection": "close"} if self.close_connection else {}
        reply.headers = {**reply.headers, **self.server.simulator.cors.headers(self.headers), **farewell}
        for piece in _rendered(reply, skew_ms=self.server.simulator.state.clock.offset_ms):
            if self.command == "HEAD":
                self._write(piece.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
                return
            if not self._write(piece):
                return

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no HTTP that we know: told in the same shape as all errors."""
        self.close_connection = True
        self._write(_whole(Reply(code, {"message": message or responses.get(code, "Error")})))

    def _write(self, data: bytes) -> bool:
        """Whether somebody still reads."""
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """The ledger is the log."""


def _rendered(reply: Reply, *, skew_ms: int = 0) -> Iterator[bytes]:
    """The answer as it goes over the wire, in one piece or in those that it is made of."""
    if reply.pieces is None:
        yield _whole(reply, skew_ms=skew_ms)
        return
    is_chunked = reply.length is None
    length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(reply.length)}
    yield _head(reply, {**length, **reply.headers}, skew_ms)
    for piece in filter(None, reply.pieces):
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    if is_chunked:
        yield b"0\r\n\r\n"


def _whole(reply: Reply, raw: bytes | None = None, kind: str = "application/json", *, skew_ms: int = 0) -> bytes:
    if raw is None:
        raw = reply.content
    body = raw if raw is not None else b"" if reply.data is None else json.dumps(reply.data).encode()
    kinds = {} if reply.status == 204 else {"Content-Type": kind, "Content-Length": str(len(body))}
    return _head(reply, {**kinds, **reply.headers}, skew_ms) + body


def _head(reply: Reply, headers: dict[str, str], skew_ms: int) -> bytes:
    moment = formatdate(time.time() + skew_ms / 1000, usegmt=True)
    status = f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Answer')}"
    lines = [status, f"Date: {moment}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _with_every(value: Any, member: str, replacement: Any) -> Any:
    """A copy in which every member of this name has another value."""
    if isinstance(value, dict):
        return {k: replacement if k == member else _with_every(v, member, replacement) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_every(item, member, replacement) for item in value]
    return value
