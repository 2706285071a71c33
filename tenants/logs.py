"""What goes into a log: one line for each event, and no link in it that somebody else could open."""

from __future__ import annotations

import logging
import re
from copy import copy

# Links that came by mail, and what an identity provider sends somebody back with.
_SECRETS = re.compile(
    r"(/invitation/|/accounts/password/reset/key/|/accounts/confirm-email/)[^\s/?\"']+"
    r"|(/accounts/sso/[^\s/?\"']+/callback/\?)[^\s\"']+"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def without_secrets(text: str) -> str:
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}…", text)


def one_line(text: str) -> str:
    """Control characters, also those that end lines, as they are written in code."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LineFormatter(logging.Formatter):
    """Whatever is named in a message, one line; a traceback follows as it is, without links."""

    def format(self, record: logging.LogRecord) -> str:
        line = copy(record)
        line.msg, line.args = one_line(record.getMessage()), None
        return without_secrets(super().format(line))
