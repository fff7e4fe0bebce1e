"""Frames on the socket: u32 big-endian length, then one msgpack map.

request {"id", "op", "args"}
answer  {"id", "ok": true, "result"} or {"id", "ok": false, "error": {"code", "message", "hint", "reason"}}
stream  {"id", "item"} ..., then {"id", "end": true} or an answer with an error
cancel  {"id", "cancel": true} from the client ends a request or a stream
"""

from __future__ import annotations

import asyncio
import socket

import msgspec

from tocsin.errors import SpineError, SpineReason

MAX_REQUEST_BYTES = 16 << 20
MAX_ANSWER_BYTES = 256 << 20


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A TocsinError on its way through the socket."""

    code: str
    message: str
    hint: str = ""
    reason: str = ""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client sends."""

    id: int
    op: str = ""
    args: dict[str, object] = {}
    cancel: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the spine sends: exactly one of `ok`, `end` or `item` is meant."""

    id: int
    ok: bool | None = None
    result: object = None
    error: Fault | None = None
    item: object = None
    end: bool = False


_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def pack(message: Request | Answer, limit: int) -> bytes:
    """One frame.

    Raises:
        SpineError: larger than `limit`.
    """
    body = _encoder.encode(message)
    if len(body) > limit:
        raise SpineError(
            SpineReason.TOO_LARGE,
            f"a message of {len(body)} bytes, {limit} allowed",
            hint="ask for less at once",
        )
    return len(body).to_bytes(4) + body


def unpack_request(body: bytes) -> Request:
    """The request in a frame's body.

    Raises:
        SpineError: not a request.
    """
    try:
        return _requests.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SpineError(SpineReason.BAD_FRAME, str(exc)) from exc


def unpack_answer(body: bytes) -> Answer:
    """The answer in a frame's body.

    Raises:
        SpineError: not an answer.
    """
    try:
        return _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SpineError(SpineReason.BAD_FRAME, str(exc)) from exc


async def read_frame(reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """The next body; None at the end of the connection.

    Raises:
        SpineError: larger than `limit`.
    """
    try:
        size = int.from_bytes(await reader.readexactly(4))
        if size > limit:
            raise SpineError(SpineReason.TOO_LARGE, f"a frame of {size} bytes, {limit} allowed")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def recv_frame(sock: socket.socket, limit: int) -> bytes:
    """The next body from a blocking socket.

    Raises:
        SpineError: too large, or the connection ended.
    """
    size = int.from_bytes(_recv_exactly(sock, 4))
    if size > limit:
        raise SpineError(SpineReason.TOO_LARGE, f"a frame of {size} bytes, {limit} allowed")
    return _recv_exactly(sock, size)


def _recv_exactly(sock: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            raise SpineError(SpineReason.GONE, "the spine closed the connection")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
