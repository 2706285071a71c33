"""The demo's mail: a file for each, which a browser opens."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone


class EmailBackend(BaseEmailBackend):
    """Into the folder DEMO_MAILS: the mail as it would be sent (.eml), and what a person would see of it (.html)."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(os.environ["DEMO_MAILS"])
        folder.mkdir(mode=0o700, exist_ok=True)
        for message in email_messages:
            words = re.sub(r"[^\w@.]+", "-", f"{message.to[0]} {message.subject}").strip("-")[:80]
            file = folder / f"{timezone.now():%Y-%m-%d %H.%M.%S.%f} {words}"
            file.with_name(f"{file.name}.eml").write_bytes(message.message().as_bytes())
            for html, kind in getattr(message, "alternatives", ()):
                if kind == "text/html":
                    file.with_name(f"{file.name}.html").write_text(str(html))
        return len(email_messages)
