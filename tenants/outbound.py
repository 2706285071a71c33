"""Calls to addresses that customers name: https to public addresses, no redirects, in bounded time and size."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from threading import Timer
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

MOST_BYTES = 1024 * 1024
SECONDS = 5.0


def may_be_called(address: str) -> bool:
    """An IP address as text: a public one, or one that the operator allows. Raises `ValueError` for what is none."""
    ip = ip_address(address.partition("%")[0])
    return ip.is_global or any(ip in network for network in settings.OUTBOUND_PRIVATE_NETWORKS)


class OutboundSession(requests.Session):
    """A `requests` session; raises `requests.RequestException` for what it refuses, as for what fails."""

    def __init__(self) -> None:
        super().__init__()
        # No proxy and no password file of the environment.
        self.trust_env = False
        self.verify = settings.OUTBOUND_CA_FILE or True
        self.adapters.clear()
        self.mount("https://", _OutboundAdapter(max_retries=0))

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs |= {"timeout": SECONDS, "allow_redirects": False, "stream": True}
        response = super().request(*args, **kwargs)
        with response:
            if response.is_redirect:
                raise requests.TooManyRedirects("it answers with a redirect")
            try:
                body = response.raw.read(MOST_BYTES + 1, decode_content=True)
            except HTTPError as error:
                raise requests.ConnectionError(error) from error
        if len(body) > MOST_BYTES:
            raise requests.exceptions.ContentDecodingError("its answer is too large")
        response._content = body
        return response


class _OutboundConnection(HTTPSConnection):
    def connect(self) -> None:
        """A time-out counts from the last byte, so a server that drips is cut off by a clock of its own."""
        super().connect()
        deadline = Timer(2 * SECONDS, _cut, [self.sock])
        deadline.daemon = True
        deadline.start()

    def _new_conn(self) -> socket.socket:
        """Looked at before and after: a name may be answered with another address the second time."""
        for *_kind, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            self._check(str(address[0]))
        connected = super()._new_conn()
        try:
            self._check(connected.getpeername()[0])
        except NewConnectionError:
            connected.close()
            raise
        return connected

    def _check(self, address: str) -> None:
        if not may_be_called(address):
            raise NewConnectionError(self, f"{self.host} is not a public address")


def _cut(connection: socket.socket) -> None:
    # On the plain socket, below TLS: a TLS object is not to be touched from a second thread.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _OutboundPool(HTTPSConnectionPool):
    ConnectionCls = _OutboundConnection


class _OutboundAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _OutboundPool}
