"""Looks at vProtect's certificate before anything is sent, and says in words what is wrong with it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509

from vprotect_bridge.client.transport import with_port

# OpenSSL's X509_V_ERR_…
NOT_YET_VALID, EXPIRED, SELF_SIGNED, SELF_SIGNED_IN_CHAIN, UNKNOWN_ISSUER = 9, 10, 18, 19, 20
NO_LEAF_ISSUER, WRONG_HOST, WRONG_ADDRESS = 21, 62, 64


class NoConnection(Exception):
    """The text is one sentence for an operator."""


@dataclass(frozen=True)
class Certificate:
    """`problem` is empty for one that is trusted."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    ends_at: datetime
    problem: str = ""

    @property
    def days_left(self) -> int:
        return (self.ends_at - datetime.now(UTC)).days


def look_at_certificate(base_url: str, ca_file: str | None, timeout: float = 10.0) -> Certificate:
    """Two handshakes: one that trusts anybody, to read it, and one that verifies. Raises `NoConnection`."""
    parts = urlsplit(with_port(base_url))
    host, port = parts.hostname or "", parts.port or 0
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    read = _read(_handshake(host, port, anybody, timeout))
    try:
        _handshake(host, port, ssl.create_default_context(cafile=ca_file), timeout)
    except ssl.SSLCertVerificationError as error:
        return Certificate(read.names, read.subject, read.issuer, read.ends_at, _problem(error, read, host, ca_file))
    return read


def _handshake(host: str, port: int, context: ssl.SSLContext, timeout: float) -> bytes:
    there = f"{host}, port {port}"
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError:
        raise
    except socket.gaierror:
        raise NoConnection(f"The name {host} is not known here: is VPROTECT_URL spelt right, and DNS set up?") from None
    except ConnectionRefusedError:
        raise NoConnection(f"Nothing listens at {there}: is vProtect running, and the port right?") from None
    except TimeoutError:
        raise NoConnection(f"{there} does not answer: does a firewall stand between?") from None
    except ssl.SSLError as error:
        said = (error.reason or "TLS failed").replace("_", " ").lower()
        raise NoConnection(f"{there} does not speak HTTPS ({said}): is this the port of plain HTTP?") from None
    except OSError as error:
        raise NoConnection(f"{there} cannot be reached: {error.strerror or type(error).__name__}.") from None


def _read(encoded: bytes) -> Certificate:
    found = x509.load_der_x509_certificate(encoded)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        of_hosts = (*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        of_hosts = ()
    return Certificate(
        names=tuple(map(str, of_hosts)),
        subject=found.subject.rfc4514_string() or "–",
        issuer=found.issuer.rfc4514_string() or "–",
        ends_at=found.not_valid_after_utc,
    )


def _problem(error: ssl.SSLCertVerificationError, read: Certificate, host: str, ca_file: str | None) -> str:
    match error.verify_code:
        case n if n == EXPIRED:
            return f"It expired on {read.ends_at:%Y-%m-%d}: vProtect needs a new one."
        case n if n == NOT_YET_VALID:
            return "It is not valid yet: is this machine's clock right?"
        case n if n in {WRONG_HOST, WRONG_ADDRESS}:
            return (
                f"It is not for {host} but for {', '.join(read.names) or read.subject}: use that name in VPROTECT_URL."
            )
        case n if n in {SELF_SIGNED, SELF_SIGNED_IN_CHAIN, UNKNOWN_ISSUER, NO_LEAF_ISSUER}:
            trusted = f"the authorities in {ca_file}" if ca_file else "the authorities that this system trusts"
            return f"It is not signed by {trusted}: put the certificate of its authority into VPROTECT_CA_FILE."
    return f"It is not trusted: {error.verify_message}."
