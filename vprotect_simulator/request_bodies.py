"""What a request carries: JSON, of a length that is told before, or in chunks (RFC 9112, 6 and 7)."""

from __future__ import annotations

import json
import re
from email.message import Message
from io import BufferedIOBase
from typing import Any

# A policy with the whole rows of ten thousand machines.
MOST_BYTES = 16_777_216
MOST_BYTES_OF_A_LINE = 65_536


class BrokenFrame(ValueError):
    """Where the body ends is not known: the next request cannot be found behind it."""


def read_body(headers: Message, stream: BufferedIOBase) -> Any:
    """Parsed JSON, None without a body. Raises `ValueError` with what is wrong."""
    raw = _read_chunks(headers, stream) if "Transfer-Encoding" in headers else _read_length(headers, stream)
    if not raw:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("The body is not JSON") from None


def _read_length(headers: Message, stream: BufferedIOBase) -> bytes:
    length = headers.get("Content-Length", "0")
    if not re.fullmatch("[0-9]{1,18}", length):
        raise BrokenFrame("The length of the body is not a number")
    return _read(stream, int(length))


def _read_chunks(headers: Message, stream: BufferedIOBase) -> bytes:
    if headers["Transfer-Encoding"].strip().casefold() != "chunked":
        raise BrokenFrame("The transfer encoding must be chunked")
    body = b""
    while size := _size_of_chunk(stream):
        body += _read(stream, size, len(body))
        stream.readline(MOST_BYTES_OF_A_LINE)
    while stream.readline(MOST_BYTES_OF_A_LINE).strip():
        pass  # trailers
    return body


def _size_of_chunk(stream: BufferedIOBase) -> int:
    size = stream.readline(MOST_BYTES_OF_A_LINE).partition(b";")[0].strip()
    if not re.fullmatch(b"[0-9A-Fa-f]{1,15}", size):
        raise BrokenFrame("The size of a chunk is not a number")
    return int(size, 16)


def _read(stream: BufferedIOBase, length: int, already: int = 0) -> bytes:
    if already + length > MOST_BYTES:
        raise BrokenFrame("The body is too large")
    return stream.read(length)
