"""Reads settings from the environment; anything missing or odd ends the start with one sentence."""

import math
import os
import ssl
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_REQUIRED = object()

# What `secret` has read, for logs to leave out.
secrets: set[str] = set()


def text(name: str, default: object = _REQUIRED, *, choices: tuple[str, ...] = ()) -> str:
    """The value of `name`, or of the file that `<name>_FILE` points to, without surrounding space."""
    if name in os.environ and f"{name}_FILE" in os.environ:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: which of them counts? Set one.")
    value = _from_file(name) if f"{name}_FILE" in os.environ else os.environ.get(name)
    if value is None or value == "":
        if default is _REQUIRED:
            raise ImproperlyConfigured(f"{name} is not set: set it, or {name}_FILE, in the environment.")
        return str(default)
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be one of: {', '.join(choices)}.")
    return value


def secret(name: str, default: object = _REQUIRED) -> str:
    """As `text`, and from now on no log shows it; of an address only its password."""
    value = text(name, default)
    password = urlsplit(value).password if "://" in value else value
    secrets.update({password, unquote(password)} if password else ())
    return value


def source(name: str) -> Path | None:
    """The file that `name` comes from, to be read again when it may have changed."""
    return Path(os.environ[f"{name}_FILE"]) if f"{name}_FILE" in os.environ else None


def address(name: str, default: object = _REQUIRED, *, schemes: tuple[str, ...] = ("https",)) -> str:
    """An address with a host, without a slash at its end."""
    value = text(name, default)
    try:
        parts = urlsplit(value)
        is_whole = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        starts = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ImproperlyConfigured(f"{name} is {value!r}, but must start with {starts} and name a host.")
    return value.rstrip("/")


def host_and_port(name: str) -> tuple[str, int] | None:
    """What to listen on, as 127.0.0.1:9464; None while it is not set."""
    value = text(name, "")
    host, _, port = value.rpartition(":")
    if value and not (host and port.isdigit() and 0 < int(port) < 65536):
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be host:port, as 127.0.0.1:9464.")
    return (host, int(port)) if value else None


def flag(name: str, default: bool = False) -> bool:
    """1, true, yes or 0, false, no; any other word is refused, so that a typing error switches nothing on."""
    value = text(name, "yes" if default else "no").lower()
    if value not in {"1", "true", "yes", "0", "false", "no"}:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be yes or no.")
    return value in {"1", "true", "yes"}


def number(name: str, default: float, *, least: float = 0) -> float:
    value = text(name, default)
    try:
        parsed = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be a number.") from None
    if not math.isfinite(parsed):
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be a number.")
    if parsed < least:
        raise ImproperlyConfigured(f"{name} is {value}, but must be at least {least}.")
    return parsed


def whole_number(name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
    parsed = number(name, default, least=least)
    if parsed != int(parsed) or parsed > most:
        raise ImproperlyConfigured(f"{name} is {parsed:g}, but must be a whole number up to {most}.")
    return int(parsed)


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Networks as 10.1.0.0/16, separated by commas."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from None


def file(name: str) -> str | None:
    """The path of a file that exists; None while it is not set."""
    path = text(name, "") or None
    if path and not Path(path).is_file():
        raise ImproperlyConfigured(f"{name} is {path!r}, which is not a file.")
    return path


def certificates(name: str) -> str | None:
    """The path of a file of certificates in PEM; None while it is not set."""
    path = file(name)
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ImproperlyConfigured(f"{name} is {path!r}, which holds no certificate in PEM.") from None
    return path


def _from_file(name: str) -> str:
    path = Path(os.environ[f"{name}_FILE"])
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE points to {path}, which cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}_FILE points to {path}, which is not text.") from None
