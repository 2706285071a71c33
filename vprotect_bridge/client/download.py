"""A file on its way from vProtect, piece by piece."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import requests
from urllib3.exceptions import HTTPError

from vprotect_bridge.client.connections import deadline
from vprotect_bridge.client.errors import Ambiguous, BadAnswer

PIECE = 256 * 1024


class Download:
    """`name` as the server gives it, `length` of the whole file where it is told, `start`: where this begins in it."""

    def __init__(self, response: requests.Response, opened: list[socket.socket], timeout: float, wanted: int) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise BadAnswer("a file was expected as it is, and came compressed", status=response.status_code)
        self._response, self._opened, self._timeout = response, opened, timeout
        self.name = _name(response.headers.get("Content-Disposition", ""))
        self.start, self.length = _range(response, wanted)

    def pieces(self) -> Iterator[bytes]:
        """Each within the deadline. Raises `Ambiguous` when the transfer breaks before its end."""
        while piece := self._piece():
            yield piece

    def _piece(self) -> bytes:
        with deadline(self._timeout, self._opened) as is_cut:
            try:
                piece = self._response.raw.read(PIECE)
            except (HTTPError, OSError, ValueError) as error:
                raise Ambiguous(f"the transfer broke: {type(error).__name__}") from error
        if is_cut.is_set():
            raise Ambiguous("the transfer was too slow")
        return bytes(piece)


def _range(response: requests.Response, wanted: int) -> tuple[int, int | None]:
    """Where it begins, and the whole length. A server that knows no ranges begins at the beginning."""
    if response.status_code != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    told = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18})", response.headers.get("Content-Range", ""))
    if told is None or int(told[1]) != wanted:
        raise BadAnswer("another part of the file came than was asked for", status=206)
    return wanted, int(told[2])


def _name(disposition: str) -> str:
    """Sometimes wrapped in underscores or quotes (API reference, 15)."""
    told = re.search(r'filename="((?:[^"\\]|\\.)*)"|filename=([^;]*)', disposition)
    return (told[1] or told[2] or "").strip() if told else ""
