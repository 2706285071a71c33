"""What is stored for later use and must not be readable in a copy of the database."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def encrypt(text: str, purpose: str) -> str:
    """With SECRET_KEY; what was encrypted for one purpose cannot be put in the place of another."""
    return _cipher(purpose).encrypt(text.encode()).decode()


def decrypt(encrypted_text: str, purpose: str) -> str:
    """Of SECRET_KEY or one of its predecessors. Raises `cryptography.fernet.InvalidToken` for anything else."""
    return _cipher(purpose).decrypt(encrypted_text.encode()).decode()


def _cipher(purpose: str) -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(purpose.encode() + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
