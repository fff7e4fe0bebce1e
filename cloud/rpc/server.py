"""The spine's side of the socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import msgspec

from cloud.rpc.faults import to_fault
from cloud.rpc.frames import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    Answer,
    Request,
    pack,
    read_frame,
    unpack_request,
)
from tocsin.errors import SpineError, SpineReason, TocsinError

Handler = Callable[..., Awaitable[object]]
StreamHandler = Callable[..., AsyncGenerator[object, None]]

MAX_OPEN_REQUESTS = 256  # per connection; beyond, the connection is read no further
SEND_TIMEOUT_S = 30.0
SEND_BUFFER_BYTES = (
    4 << 20
)  # an answer of megabytes leaves in one go, and not turn by turn with its reader


class SpineServer:
    """Answers requests on a Unix socket that only its owner may open.

    `handlers[op](**args)` returns the result; `streams[op](**args)` yields items until the client cancels.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        streams: Mapping[str, StreamHandler],
        log: logging.Logger,
    ) -> None:
        self._path, self._handlers, self._streams, self._log = path, handlers, streams, log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A stale socket file is replaced."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            sock.bind(str(self._path))
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._accept, sock=sock)

    async def aclose(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection callback runs in a task
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).run()
        except (ConnectionError, SpineError, TimeoutError) as exc:
            self._log.warning("a client of the spine was dropped: %s", exc)
        except asyncio.CancelledError:
            pass  # aclose()
        finally:
            self._connections.discard(task)
            writer.close()

    async def answer(self, request: Request, send: Callable[[Answer], Awaitable[None]]) -> None:
        """Carry out one request."""
        try:
            if (stream := self._streams.get(request.op)) is not None:
                async with aclosing(stream(**request.args)) as items:
                    async for item in items:
                        await send(Answer(request.id, item=item))
                await send(Answer(request.id, end=True))
            elif (handler := self._handlers.get(request.op)) is not None:
                await send(Answer(request.id, ok=True, result=await handler(**request.args)))
            else:
                raise SpineError(SpineReason.UNKNOWN_OP, f"no operation {request.op!r}")
        except TocsinError as exc:
            await send(Answer(request.id, ok=False, error=to_fault(exc)))
        except TypeError as exc:
            self._log.error("operation %s failed", request.op, exc_info=exc)
            error = SpineError(SpineReason.BAD_ARGS, f"{request.op}: {exc}")
            await send(Answer(request.id, ok=False, error=to_fault(error)))


class _Connection:
    """One client: requests run at once, answers leave in the order they are ready."""

    def __init__(
        self, server: SpineServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES
        )
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MAX_OPEN_REQUESTS)

    async def run(self) -> None:
        try:
            while (body := await read_frame(self._reader, MAX_REQUEST_BYTES)) is not None:
                request = unpack_request(body)
                if request.cancel:
                    if (task := self._tasks.get(request.id)) is not None:
                        task.cancel()
                    continue
                await self._room.acquire()
                task = asyncio.create_task(self._one(request), name=f"rpc-{request.op}")
                self._tasks[request.id] = task
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, request: Request) -> None:
        try:
            await self._server.answer(request, self._send)
        except (ConnectionError, TimeoutError):
            self._writer.close()
        finally:
            self._tasks.pop(request.id, None)
            self._room.release()

    async def _send(self, answer: Answer) -> None:
        try:
            frame = pack(answer, MAX_ANSWER_BYTES)
        except SpineError as exc:
            frame = pack(Answer(answer.id, ok=False, error=to_fault(exc)), MAX_ANSWER_BYTES)
        except (TypeError, msgspec.MsgspecError, OverflowError) as exc:
            fault = to_fault(SpineError(SpineReason.FAILED, f"the answer cannot be sent: {exc}"))
            frame = pack(Answer(answer.id, ok=False, error=fault), MAX_ANSWER_BYTES)
        self._writer.write(frame)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()
