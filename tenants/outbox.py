"""Mails that workers send: rows that are claimed one by one, tried with growing pauses, given up visibly.

A mail counts as sent once its server took it. Who dies between that and the note of it leaves a mail that is sent
again: SMTP knows no way around it, and the second one has the id of the first. Nothing else doubles a mail.
"""

from __future__ import annotations

import logging
import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger(__name__)


class State(models.TextChoices):
    WAITING = "waiting", _("waiting")
    SENT = "sent", _("sent")
    DROPPED = "dropped", _("nothing to say any more")
    GIVEN_UP = "given_up", _("given up")


class OutgoingMail(models.Model):
    """A mail to be sent, written when it is sent: of what its reader may see then.

    Whoever sends it puts `next_at` into the future first: it comes again by itself if nobody tells how it went.
    `problem`: the kind of the last error and the server's code, never its words, which name people.
    """

    State = State

    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True, default="", db_default="")

    class Meta:
        abstract = True


def failing(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Of what is sent by tries (`state`, `attempts`, `next_at`): what fails again and again, or was given up lately."""
    lately = timezone.now() - timedelta(days=1)
    given_up = models.Q(state=State.GIVEN_UP, next_at__gt=lately)
    return rows.filter(given_up | models.Q(state=State.WAITING, attempts__gte=2))


Mail = TypeVar("Mail", bound=OutgoingMail)


@dataclass(frozen=True)
class Outbox(Generic[Mail]):
    """The mails of a model. `pauses`: after each try; the first is longer than a try can take, so that nobody sends
    what somebody is sending.
    """

    model: type[Mail]
    pauses: tuple[timedelta, ...]

    def send_due(self, send: Callable[[Mail, BaseEmailBackend], None], seconds: float) -> int:
        """Claims for so long at most; returns how many it tried."""
        ends, tried = time.monotonic() + seconds, 0
        connection = get_connection()
        try:
            while time.monotonic() < ends and (mail := self.claim()):
                tried += 1
                send(mail, connection)
        finally:
            connection.close()
        return tried

    def claim(self) -> Mail | None:
        """The one that is due longest, for a while nobody else's."""
        now = timezone.now()
        with transaction.atomic():
            due = self.model._default_manager.filter(state=State.WAITING, next_at__lte=now)
            mail = due.select_for_update(skip_locked=True, no_key=True).order_by("next_at").first()
            if mail is None:
                return None
            mail.next_at = now + self.pauses[min(mail.attempts, len(self.pauses) - 1)]
            mail.attempts += 1
            mail.save(update_fields=["next_at", "attempts"])
        return mail

    def send(self, mail: Mail, write: Callable[[], EmailMessage | None], connection: BaseEmailBackend) -> None:
        """`write` returns None where there is nothing left to say. One that it cannot write holds up no other."""
        try:
            message = write()
        except Exception as error:
            logger.exception("%s %s cannot be written", mail._meta.model_name, mail.pk)
            self._note_failure(mail, error)
            return
        if message is None:
            self.note(mail, state=State.DROPPED)
            return
        message.connection = connection
        try:
            connection.open()
            message.send()
        except (OSError, smtplib.SMTPException) as error:
            self._note_failure(mail, error)
            connection.close()
        else:
            self.note(mail, state=State.SENT, sent_at=timezone.now(), problem="")

    def note(self, mail: Mail, **changes: object) -> None:
        """Not over what an operator decided meanwhile."""
        self.model._default_manager.filter(pk=mail.pk, state=State.WAITING).update(**changes)

    def _note_failure(self, mail: Mail, error: Exception) -> None:
        """A mailbox that is not there will not be there later either."""
        codes = [code for code, _text in getattr(error, "recipients", {}).values()] or [getattr(error, "smtp_code", 0)]
        is_final = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and min(codes) >= 500
        gives_up = is_final or mail.attempts >= len(self.pauses)
        problem = " ".join([type(error).__name__, *(str(code) for code in codes if code)])
        logger.warning("%s %s was not sent, try %s: %s", mail._meta.model_name, mail.pk, mail.attempts, problem)
        self.note(mail, problem=problem, **({"state": State.GIVEN_UP} if gives_up else {}))
