"""What goes into a log: one line for each event, no secret, and no link in it that somebody else could open."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime

LINE = "%(asctime)s %(levelname)s %(name)s [%(correlation_id)s] %(message)s"
# Shorter ones would blank out ordinary words.
SHORTEST_SECRET = 6
# Links that came by mail, and what an identity provider sends somebody back with.
_LINKS = re.compile(
    r"(/invitation/|/calendar/|/notifications/unsubscribe/|/reports/unsubscribe/|/accounts/password/reset/key/|/accounts/confirm-email/)[^\s/?\"']+"
    r"|(/accounts/sso/[^\s/?\"']+/callback/\?)[^\s\"']+"
)
# Passwords in addresses, and what is named as a secret wherever it was written.
_NAMED = re.compile(
    r"(?i)(://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|(\b(?:password|passwd|client_secret|secret_key|access_token|id_token|jsessionid|sessionid|authorization)"
    r"[\"']?\s*[=:]\s*(?:bearer\s+|basic\s+)?[\"']?)[^\s\"',;&}]+"
)
# What a program shows instead of signing in (tokens/secret.py), wherever it was written.
_TOKENS = re.compile(r"(\bvpt_)[0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "…")
    for pattern in (_LINKS, _NAMED):
        text = pattern.sub(lambda found: f"{found[1] or found[2]}…", text)
    return _TOKENS.sub(r"\1…", text)


def one_line(text: str) -> str:
    """Control characters, also those that end lines, as they are written in code."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LineFormatter(logging.Formatter):
    """Whatever is named in a message, one line; a traceback follows as it is, without secrets."""

    def __init__(self, fmt: str = LINE, secrets: Iterable[str] = ()) -> None:
        super().__init__(fmt, defaults={"correlation_id": "-"})
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = copy(record)
        line.msg, line.args = one_line(record.getMessage()), None
        return without_secrets(super().format(line), self._secrets)


class JSONFormatter(logging.Formatter):
    """One object for each event: time (UTC), level, logger, process, correlation_id, message, and what it is about.

    What it is about are the members of the record's `about`, as of a call upstream its path, status and milliseconds.
    """

    def __init__(self, process: str, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._process, self._secrets = process, secrets

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "correlation_id": getattr(record, "correlation_id", "-"),
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: self._masked(value) for name, value in entry.items()}, ensure_ascii=False)

    def _masked(self, value: object) -> object:
        return without_secrets(value, self._secrets) if isinstance(value, str) else value
