"""Cheap signs that a part of the demo is there."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from celery import Celery
from kombu.exceptions import OperationalError

SECONDS = 2


def http_ok(url: str) -> bool:
    """Whether /healthz says so. Straight to the address, whatever proxies the environment names."""
    address = urlsplit(url)
    return _status(http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS), "/healthz") == 200


def https_with(url: str, ca_file: Path) -> bool:
    """Whether anything answers with a certificate of this CA."""
    if not ca_file.exists():
        return False
    address = urlsplit(url)
    context = ssl.create_default_context(cafile=ca_file)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=SECONDS, context=context)
    return _status(connection, "/") is not None


def worker(redis_url: str) -> bool:
    try:
        return bool(_celery(redis_url).control.ping(timeout=0.5, limit=1))
    except OperationalError:
        return False


def ring_inventory(redis_url: str) -> None:
    """Beat would ring too, but only after its first period."""
    for task in ("sync_inventory", "sync_plans"):
        _celery(redis_url).send_task(f"vprotect_bridge.tasks.{task}", queue="inventory")


def has_machines(database_url: str) -> bool:
    with psycopg.connect(database_url) as pg:
        row = pg.execute("SELECT EXISTS (SELECT FROM vprotect_bridge_machine)").fetchone()
    return bool(row and row[0])


def has_histories(database_url: str) -> bool:
    """Whether the restore points of every machine were read."""
    with psycopg.connect(database_url) as pg:
        row = pg.execute("SELECT NOT EXISTS (SELECT FROM vprotect_bridge_machine WHERE backups_at IS NULL)").fetchone()
    return bool(row and row[0])


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _celery(redis_url: str) -> Celery:
    return Celery("demo", broker=redis_url, set_as_current=False)
