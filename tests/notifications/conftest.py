from __future__ import annotations

import email
import email.policy
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from django.utils import timezone

from notifications.models import MailTimes, PersonalChoices
from tenants.models import Tenant, User
from tests.conftest import machine_of
from tests.notifications.happenings import seen
from vprotect_bridge.models import Machine, UpstreamStatus


class MailServer:
    """A real mail server on loopback. `answers`: what it says to the next mails in place of taking them."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox as nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


class AnyPort(Controller):
    """Listens where there is room; aiosmtpd wants to be told a port."""

    def _create_server(self) -> Any:
        self.port = 0
        return super()._create_server()

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@pytest.fixture(scope="session")
def _mail_server() -> Iterator[tuple[MailServer, int]]:
    handler = MailServer()
    controller = AnyPort(handler, hostname="127.0.0.1")
    controller.start()
    yield handler, controller.port
    controller.stop(no_assert=True)


@pytest.fixture
def mail_server(_mail_server: tuple[MailServer, int], settings: Any) -> MailServer:
    handler, port = _mail_server
    handler.taken.clear()
    handler.answers.clear()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    return handler


@pytest.fixture
def machine(sunflower: Tenant, owner: User) -> Machine:
    """Of somebody who has been in the portal, and of whose inventory we know."""
    UpstreamStatus.objects.filter(pk=1).update(inventory_at=timezone.now())
    seen(owner)
    return machine_of(sunflower)


@pytest.fixture
def at_once(owner: User, sunflower: Tenant) -> PersonalChoices:
    MailTimes.objects.create(user=owner)
    return PersonalChoices.across_tenants.create(user=owner, tenant=sunflower, by_mail="at_once", backups="always")


@dataclass
class Receiver:
    """A receiver of webhooks on loopback, over TLS. `answers`: what it says to the next calls in place of 204."""

    url: str = ""
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _headers, body in self.calls]


@pytest.fixture(scope="session")
def _receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Receiver, Path]]:
    ca, receiver = trustme.CA(), Receiver()
    ca_file = tmp_path_factory.mktemp("receiver") / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            self.send_header("Location", "https://localhost:1/inside")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    receiver.url = f"https://localhost:{listening.server_port}/hook"
    yield receiver, ca_file
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def receiver(_receiver: tuple[Receiver, Path], settings: Any) -> Receiver:
    found, ca_file = _receiver
    found.calls.clear()
    found.answers.clear()
    settings.OUTBOUND_CA_FILE, settings.OUTBOUND_PRIVATE_NETWORKS = str(ca_file), [ip_network("127.0.0.0/8")]
    return found
