"""HTTP/1.1 (RFC 9112) on one connection, read and written by h11; everything is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11
import msgspec

LONGEST_HEAD = 16_384
LONGEST_BODY = 65_536
PATIENCE_S = 15.0  # for one request to arrive whole, and for the next one to begin
CLOSE_S = 2.0
_READ = 16_384


class Request(msgspec.Struct, frozen=True):
    """One request; header names in lower case, the last one of a name counts."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: str


class Response(msgspec.Struct, frozen=True):
    """One answer."""

    status: int
    body: bytes
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Request], Awaitable[Response]]


class _TooLargeError(Exception):
    """The body is longer than anybody here needs."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Requests of one connection, one after the other, until it ends or is silent for too long."""
    link = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
    peer = str((writer.get_extra_info("peername") or ("",))[0])
    try:
        while True:
            async with asyncio.timeout(PATIENCE_S):
                request = await _next_request(link, reader, peer)
            if request is None:
                return
            await _send(link, writer, await answer(request), request.method)
            if link.our_state is h11.MUST_CLOSE or link.their_state is not h11.DONE:
                return
            link.start_next_cycle()
    except _TooLargeError:
        await _refuse(link, writer, 413)
    except h11.RemoteProtocolError as exc:
        await _refuse(link, writer, exc.error_status_hint)
    except (OSError, TimeoutError):
        pass  # whoever asked has gone
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await writer.wait_closed()


async def _next_request(
    link: h11.Connection, reader: asyncio.StreamReader, peer: str
) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = link.next_event()
        if event is h11.NEED_DATA:
            link.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LONGEST_BODY:
                raise _TooLargeError
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("latin-1").partition("?")
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in head.headers}
            method = head.method.decode("latin-1")
            return Request(method, path, query, headers, bytes(body), peer)
        else:
            return None


async def _send(
    link: h11.Connection, writer: asyncio.StreamWriter, response: Response, method: str
) -> None:
    headers = [
        ("content-type", response.type),
        ("content-length", str(len(response.body))),
        *response.headers,
    ]
    data = link.send(h11.Response(status_code=response.status, headers=headers)) or b""
    if method != "HEAD":
        data += link.send(h11.Data(data=response.body)) or b""
    data += link.send(h11.EndOfMessage()) or b""
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        await writer.drain()


async def _refuse(link: h11.Connection, writer: asyncio.StreamWriter, status: int) -> None:
    if link.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    told = Response(status, b"", "text/plain", (("connection", "close"),))
    with suppress(OSError, TimeoutError, h11.LocalProtocolError):
        await _send(link, writer, told, "GET")
