"""Parts of a `multipart/x-mixed-replace` stream (RFC 2046, 5.1), as cameras push JPEGs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

MAX_PART_BYTES = 64 << 20
_MAX_LINE = 1024
_MAX_LINES = 64
_STEP = 65_536
_MOST_BETWEEN = 16 << 20  # after a part that was shorter than it said: most of the next one


class BadPartError(ValueError):
    """The stream is not what it says."""


class Reader(Protocol):
    """As `http.client.HTTPResponse` reads."""

    def readline(self, limit: int = ..., /) -> bytes: ...

    def read1(self, n: int = ..., /) -> bytes: ...


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart type; None: another type. Some cameras write its dashes into the parameter."""
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    if not kind.lower().startswith("multipart/"):
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "boundary":
            return b"--" + value.strip().strip('"').removeprefix("--").encode("latin-1", "replace")
    return None


def next_part(
    stream: Reader, boundary: bytes, check: Callable[[], None] = lambda: None
) -> bytes | None:
    """The body of the next part, or what came of it before the next boundary; None: the stream ended. `check` is called between reads and may raise.

    Raises:
        BadPartError: too long, or not a multipart stream.
    """
    if not _skip_to(stream, boundary, check):
        return None
    length: int | None = None
    for _ in range(_MAX_LINES):
        line = stream.readline(_MAX_LINE)
        if not line:
            return None
        if line in (b"\r\n", b"\n"):
            break
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
    else:
        raise BadPartError("a part with too many headers")
    if length is not None:
        if length > MAX_PART_BYTES:
            raise BadPartError(f"a part of {length} bytes")
        body = _exactly(stream, length, check)
        return (
            None
            if body is None
            else re.split(rb"\r?\n%b\r?\n" % re.escape(boundary), body, maxsplit=1)[0]
        )
    return _up_to(stream, boundary, check)


def _skip_to(stream: Reader, boundary: bytes, check: Callable[[], None]) -> bool:
    left = _MOST_BETWEEN
    while left > 0:
        check()
        line = stream.readline(_MAX_LINE)
        left -= len(line)
        if not line or line.startswith(boundary + b"--"):
            return False
        if line.startswith(boundary):
            return True
    raise BadPartError("no boundary")


def _exactly(stream: Reader, length: int, check: Callable[[], None]) -> bytes | None:
    parts, left = [], length
    while left:
        check()
        got = stream.read1(min(left, _STEP))
        if not got:
            return None
        parts.append(got)
        left -= len(got)
    return b"".join(parts)


def _up_to(stream: Reader, boundary: bytes, check: Callable[[], None]) -> bytes | None:
    """Without a length: JPEG data up to its end marker; the boundary's line is left to the next call."""
    body = bytearray()
    while line := stream.readline(_STEP):
        check()
        body += line
        if len(body) > MAX_PART_BYTES:
            raise BadPartError("a part without end")
        if body.endswith((b"\xff\xd9\r\n", b"\xff\xd9\n")):
            return bytes(body)
        at = body.rfind(boundary, max(0, len(body) - len(line) - len(boundary)))
        if at >= 0:
            raise BadPartError("a part without length that is no JPEG")
    return None
