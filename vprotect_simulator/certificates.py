"""A CA of the simulator's own, kept in its folder, and a certificate for the names under which it is reached."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import trustme


def server_context(folder: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    """Clients verify against `folder/ca.pem`, which stays the same from start to start; its key never leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _ca(folder).issue_cert(*names).configure_cert(context)
    return context


def _ca(folder: Path) -> trustme.CA:
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    ca = trustme.CA()
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(ca.private_key_pem.bytes())
    # The certificate last and whole: who waits for it finds a simulator that has its key.
    beside = folder / "ca.new"
    ca.cert_pem.write_to_path(beside)
    beside.replace(certificate)
    return ca
