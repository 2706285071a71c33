"""What an answer, or the lack of one, proves."""

import logging
import socket
import struct
import time
import traceback
from pathlib import Path

import pytest
import trustme

from tests.vprotect_bridge.client.conftest import ScriptedServer, answer_with, transport_to
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
from vprotect_bridge.client.transport import MemorySessionStore, Transport, login_pause


def test_the_answer_is_parsed_and_the_total_read(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b'[{"guid": "a"}]', headers="X-Total-Count: 7\r\n")
    answer = transport.get("/tasks")
    assert (answer.data, answer.total) == ([{"guid": "a"}], 7)


def test_a_refused_connection_was_provably_not_sent(server: ScriptedServer, transport: Transport):
    transport.get("/tasks")
    server.close()
    with pytest.raises(NotSent):
        transport.post("/tasks/export", {})


def test_an_unknown_name_was_provably_not_sent(server: ScriptedServer):
    server.url = "https://no-such-host.invalid:8181"
    with pytest.raises(NotSent):
        transport_to(server).get("/tasks")


def test_a_certificate_of_another_ca_is_refused_before_anything_is_sent(server: ScriptedServer, tmp_path: Path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(NotSent):
        transport_to(server, ca_file=str(other)).get("/tasks")
    assert server.requests == []


def test_a_certificate_for_another_name_is_refused(server: ScriptedServer):
    server.url = server.url.replace("localhost", "127.0.0.1")
    with pytest.raises(NotSent):
        transport_to(server).get("/tasks")


def test_a_ca_bundle_in_the_environment_changes_nothing(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert transport_to(server).get("/tasks").data == []


def _reset(secure, request):
    secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    secure.close()


def _close(secure, request):
    secure.close()


def _cut_off(secure, request):
    secure.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n[{")


@pytest.mark.parametrize("fault", [_reset, _close, _cut_off])
def test_a_connection_lost_after_the_request_proves_nothing(fault, server: ScriptedServer, transport: Transport):
    server.script = fault
    with pytest.raises(Ambiguous):
        transport.post("/tasks/export", {})
    assert sum(b"/tasks/export" in request for request in server.requests) == 1


def test_a_dripping_server_cannot_hold_a_call_past_its_deadline(server: ScriptedServer):
    def drip(secure, request):
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(50):
            secure.sendall(b" ")
            time.sleep(0.1)

    server.script = drip
    transport = transport_to(server, timeout=0.7)
    began = time.monotonic()
    with pytest.raises(Ambiguous):
        transport.get("/tasks")
    assert time.monotonic() - began < 2


def test_dripping_headers_cannot_either(server: ScriptedServer):
    def drip(secure, request):
        for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 50:
            secure.sendall(bytes([letter]))
            time.sleep(0.1)

    server.script = drip
    began = time.monotonic()
    with pytest.raises(Ambiguous):
        transport_to(server, timeout=0.7).get("/tasks")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", ["500 E", "502 E", "503 E", "504 E", "408 E", "302 Found", "418 Teapot"])
def test_these_statuses_prove_nothing(status: str, server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"<html>", status)
    with pytest.raises(Ambiguous):
        transport.post("/tasks/export", {})


@pytest.mark.parametrize("status", ["400 E", "403 E", "409 E", "422 E"])
def test_these_statuses_are_a_refusal_with_the_servers_words(status: str, server: ScriptedServer, transport: Transport):
    server.script = answer_with(b'{"message": "no such policy"}', status)
    with pytest.raises(Rejected, match="no such policy"):
        transport.post("/tasks/export", {})


def test_not_found_is_a_refusal_of_its_own(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b'{"error": {"message": "gone"}}', "404 Not Found")
    with pytest.raises(NotFound, match="gone"):
        transport.get("/tasks/a")


def test_too_many_requests_says_when_to_come_back(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"", "429 Too Many", "Retry-After: 12\r\n")
    with pytest.raises(TooManyRequests) as caught:
        transport.get("/tasks")
    assert caught.value.retry_after == 12


def test_an_answer_that_is_not_json_is_a_bad_answer(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"<html>welcome</html>")
    with pytest.raises(BadAnswer):
        transport.post("/tasks/export", {})


def test_an_answer_that_never_ends_is_cut(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"[" + b" " * 2_000_000 + b"]")
    with pytest.raises(BadAnswer, match="larger"):
        transport.post("/tasks/export", {})


def test_an_expired_session_is_renewed_and_the_call_repeated_once(server: ScriptedServer, transport: Transport):
    transport.get("/tasks")
    answers = iter([answer_with(b"", "401 No"), answer_with(b'["again"]')])
    server.script = lambda secure, request: next(answers)(secure, request)
    assert transport.post("/tasks/export", {}).data == ["again"]
    assert server.logins() == 2


def test_a_second_401_is_given_up(server: ScriptedServer, transport: Transport):
    server.script = answer_with(b"", "401 No")
    with pytest.raises(Unauthorized):
        transport.get("/tasks")
    assert server.logins() == 2


def test_a_refused_login_is_not_tried_again_at_once(server: ScriptedServer, transport: Transport):
    server.login_answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(BadCredentials):
        transport.get("/tasks")
    with pytest.raises(LoginPaused):
        transport.get("/tasks")
    assert server.logins() == 1


def test_pauses_between_refused_logins_grow_to_an_hour():
    assert [login_pause(n) for n in (1, 2, 3, 20)] == [60, 120, 240, 3600]


def test_plain_http_is_refused():
    with pytest.raises(ValueError, match="https"):
        Transport("http://localhost", ca_file=None, sessions=None, credentials=lambda: ("", ""))


def test_the_password_is_in_no_log_and_no_repr(
    server: ScriptedServer, transport: Transport, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    transport.get("/tasks")
    assert "canary-password" not in caplog.text + repr(transport)
    assert "JSESSIONID" not in caplog.text


@pytest.mark.parametrize("status", ["400 E", "401 E", "403 E", "500 E", "200 OK"])
@pytest.mark.parametrize("body", [b'{"message": "canary-password"}', b"canary-password", b""])
def test_a_server_that_repeats_the_password_is_not_quoted(
    status: str, body: bytes, server: ScriptedServer, transport: Transport, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    server.login_answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)
    with pytest.raises(UpstreamError) as caught:
        transport.get("/tasks")
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert "canary-password" not in told


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("https://vprotect.example", "https://vprotect.example:8181/api"),
        ("https://vprotect.example/", "https://vprotect.example:8181/api"),
        ("https://vprotect.example:443", "https://vprotect.example:443/api"),
        ("https://10.0.0.1:8282/", "https://10.0.0.1:8282/api"),
        ("https://[fe80::1]", "https://[fe80::1]:8181/api"),
    ],
)
def test_the_port_is_8181_unless_the_address_names_one(address: str, called: str):
    sessions = MemorySessionStore()
    transport = Transport(address, ca_file=None, sessions=sessions, credentials=lambda: ("portal", "secret"))
    assert repr(transport) == f"<Transport {called}>"
