"""Reads settings from the environment; anything missing or odd ends the start with one sentence."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_REQUIRED = object()


def text(name: str, default: object = _REQUIRED, *, choices: tuple[str, ...] = ()) -> str:
    """The value of `name`, or of the file that `<name>_FILE` points to, without surrounding space."""
    value = _from_file(name) if f"{name}_FILE" in os.environ else os.environ.get(name)
    if value is None or value == "":
        if default is _REQUIRED:
            raise ImproperlyConfigured(f"{name} is not set: set it, or {name}_FILE, in the environment.")
        return str(default)
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be one of: {', '.join(choices)}.")
    return value


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
    if parsed < least:
        raise ImproperlyConfigured(f"{name} is {value}, but must be at least {least}.")
    return parsed


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


def _from_file(name: str) -> str:
    path = Path(os.environ[f"{name}_FILE"])
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE points to {path}, which cannot be read: {error.strerror}.") from None
