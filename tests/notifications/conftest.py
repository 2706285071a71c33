from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
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
