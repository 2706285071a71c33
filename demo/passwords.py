"""The demo's passwords: made once, kept in a file that only its owner reads, never in the repository."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.roles import ROLES


@dataclass(frozen=True)
class Passwords:
    secret_key: str
    roles: dict[str, str]
    vprotect: str
    people: str


def load_or_make(file: Path) -> Passwords:
    if file.exists():
        return Passwords(**json.loads(file.read_text()))
    passwords = Passwords(
        secret_key=secrets.token_urlsafe(50),
        roles={role: secrets.token_urlsafe(24) for role in ROLES},
        vprotect=secrets.token_urlsafe(24),
        people="-".join(secrets.token_hex(2) for _ in range(3)),  # a person types it
    )
    _write_privately(file, json.dumps(asdict(passwords), indent=2))
    return passwords


def _write_privately(file: Path, text: str) -> None:
    """Private from its first byte, and complete or not there."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    part.rename(file)
