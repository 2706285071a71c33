"""How a file of the spool is handed out without web standing still: by the proxy, or by few threads at once.

A thread of web is held for as long as the browser takes. With `SPOOL_ACCEL` the proxy sends the file instead
(`X-Accel-Redirect`, as nginx has it).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

PIECE = 256 * 1024

_lock = threading.Lock()
_open_streams = 0


class TooManyStreams(Exception):
    """Other threads of this process would be left for pages."""


class Stream:
    """A file from a byte on, in pieces. Its place is free again when it ended, or its browser went away."""

    def __init__(self, path: Path, start: int) -> None:
        self._is_open = False
        self._file = path.open("rb")
        self._file.seek(start)
        _take_place()
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()
        if self._is_open:
            self._is_open = False
            _give_back()

    __del__ = close


def _take_place() -> None:
    global _open_streams
    with _lock:
        if _open_streams >= settings.SPOOL_STREAMS:
            raise TooManyStreams
        _open_streams += 1


def _give_back() -> None:
    global _open_streams
    with _lock:
        _open_streams -= 1


def send(path: Path, start: int = 0) -> HttpResponseBase:
    """All of it but its name. Raises `TooManyStreams`."""
    if settings.SPOOL_ACCEL:
        # The proxy tells the length, and knows ranges.
        return HttpResponse(headers={"X-Accel-Redirect": f"{settings.SPOOL_ACCEL}{path.name}"})
    size = path.stat().st_size
    response = StreamingHttpResponse(Stream(path, start), status=206 if start else 200)
    response["Content-Length"] = str(size - start)
    response["Accept-Ranges"] = "bytes"
    if start:
        response["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
    return response
