"""A server that answers what a test tells it to, over real HTTPS with a CA of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from vprotect_bridge.client.transport import MemorySessionStore, Transport

LOGIN_ANSWER = b"HTTP/1.1 201 Created\r\nSet-Cookie: JSESSIONID=abc; Path=/api\r\nContent-Length: 2\r\n\r\n{}"
Script = Callable[[ssl.SSLSocket, bytes], None]


class ScriptedServer:
    """Takes one request a connection, answers logins itself and hands the rest to `script`."""

    def __init__(self, folder: Path) -> None:
        ca = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        ca.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.script: Script = answer_with(b"[]")
        self.login_answer = LOGIN_ANSWER
        threading.Thread(target=self._serve, daemon=True).start()

    def logins(self) -> int:
        return sum(b"/session/login" in request for request in self.requests)

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(plain,), daemon=True).start()

    def _talk(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as secure:
                request = _read_request(secure)
                self.requests.append(request)
                if b"/session/login" in request:
                    secure.sendall(self.login_answer)
                else:
                    self.script(secure, request)
        except OSError:
            plain.close()


def _read_request(secure: ssl.SSLSocket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        request += secure.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < sum(map(int, lengths)):
        body += secure.recv(65536)
    return head + b"\r\n\r\n" + body


def answer_with(body: bytes, status: str = "200 OK", headers: str = "") -> Script:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return lambda secure, request: secure.sendall(head.encode() + body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    server = ScriptedServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def transport(server: ScriptedServer) -> Transport:
    return transport_to(server)


def transport_to(server: ScriptedServer, timeout: float = 2.0, ca_file: str | None = None) -> Transport:
    return Transport(
        server.url,
        ca_file=ca_file or server.ca_file,
        sessions=MemorySessionStore(),
        credentials=lambda: ("portal-svc", "canary-password"),
        timeout=timeout,
    )
