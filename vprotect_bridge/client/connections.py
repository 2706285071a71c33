"""Connections to vProtect: each for one call, watched, and cut when its time is up."""

from __future__ import annotations

import contextvars
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

logger = logging.getLogger(__name__)

opened_sockets: contextvars.ContextVar[list[socket.socket]] = contextvars.ContextVar("opened_sockets")


class _WatchedHTTP(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        opened_sockets.get().append(self.sock)


class _WatchedHTTPS(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        opened_sockets.get().append(self.sock)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


@contextmanager
def http_session() -> Iterator[requests.Session]:
    """A session for one call. `trust_env` off: neither proxies nor REQUESTS_CA_BUNDLE come from outside."""
    with requests.Session() as session:
        session.trust_env = False
        adapter = HTTPAdapter(max_retries=0)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        yield session


@contextmanager
def deadline(seconds: float, opened: list[socket.socket]) -> Iterator[threading.Event]:
    """Cuts the connection when time is up: a read time-out counts from the last byte, a dripping server knows.

    Inside, the event tells whether it was cut: to who reads, it looks like an end.
    """
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        for connection in opened:
            try:
                # On the plain socket, below TLS: a TLS object is not to be touched from a second thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                logger.debug("the connection had ended already")

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield is_cut
    finally:
        timer.cancel()
