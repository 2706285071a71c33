"""Calls to addresses that somebody else named, tried against real sockets on loopback."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from tenants import outbound
from tenants.outbound import MOST_BYTES, OutboundSession

Answer = Callable[[BaseHTTPRequestHandler], None]
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[Callable[[Answer], str]]:
    """`server(answer)` — the address of an https server on loopback, whose authority is trusted."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings.OUTBOUND_CA_FILE, settings.OUTBOUND_PRIVATE_NETWORKS = str(tmp_path / "ca.pem"), LOOPBACK
    running: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        handler = type("Handler", (BaseHTTPRequestHandler,), {"do_GET": answer, "log_message": lambda *_: None})
        listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        listening.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        running.append(listening)
        return f"https://localhost:{listening.server_port}/"

    yield start
    for listening in running:
        listening.shutdown()
        listening.server_close()


def get(url: str) -> requests.Response:
    with OutboundSession() as session:
        return session.get(url, allow_redirects=True, timeout=60)


def body(text: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)

    return answer


def test_an_answer_is_read_from_an_address_that_is_allowed(server: Callable[[Answer], str]):
    assert get(server(body(b'{"issuer": "it"}'))).json() == {"issuer": "it"}


@pytest.mark.parametrize("allowed", [[], [ip_network("10.0.0.0/8")]])
def test_an_address_inside_is_refused_unless_the_operator_allows_it(
    allowed: list[Any], server: Callable[[Answer], str], settings: Any
):
    url = server(body(b"a secret of the inside"))
    settings.OUTBOUND_PRIVATE_NETWORKS = allowed
    with pytest.raises(requests.ConnectionError, match="not a public address"):
        get(url)


def test_a_name_that_is_answered_with_another_address_the_second_time_is_refused(
    server: Callable[[Answer], str], settings: Any, monkeypatch: pytest.MonkeyPatch
):
    url = server(body(b"a secret of the inside"))
    settings.OUTBOUND_PRIVATE_NETWORKS = []
    public = [(2, 1, 6, "", ("9.9.9.9", 443))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", one_time(public, outbound.socket.getaddrinfo))
    with pytest.raises(requests.ConnectionError, match="not a public address"):
        get(url)


def one_time(first: Any, then: Callable[..., Any]) -> Callable[..., Any]:
    answers = iter([first])
    return lambda *args, **kwargs: next(answers, None) or then(*args, **kwargs)


def test_a_redirect_is_not_followed(server: Callable[[Answer], str]):
    with pytest.raises(requests.TooManyRedirects):
        get(server(body(b"", 302, Location="https://localhost:1/")))


def test_an_answer_that_is_too_large_is_refused(server: Callable[[Answer], str]):
    with pytest.raises(requests.RequestException, match="too large"):
        get(server(body(b"x" * (MOST_BYTES + 1))))


def test_a_server_that_drips_is_cut_off(server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbound, "SECONDS", 0.3)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)

    began = time.monotonic()
    with pytest.raises(requests.RequestException):
        get(server(drip))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["http://localhost/", "file:///etc/passwd", "ftp://localhost/", "gopher://localhost/"])
def test_nothing_but_https_is_spoken(url: str, settings: Any):
    settings.OUTBOUND_PRIVATE_NETWORKS = LOOPBACK
    with pytest.raises(requests.exceptions.InvalidSchema):
        get(url)


def test_a_certificate_of_another_authority_is_refused(server: Callable[[Answer], str], settings: Any):
    url = server(body(b"{}"))
    settings.OUTBOUND_CA_FILE = None
    with pytest.raises(requests.exceptions.SSLError):
        get(url)
