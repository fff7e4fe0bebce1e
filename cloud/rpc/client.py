"""The other processes' side of the socket."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from types import TracebackType

from cloud.rpc.faults import from_fault
from cloud.rpc.frames import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    Answer,
    Request,
    pack,
    read_frame,
    recv_frame,
    unpack_answer,
)
from tocsin.errors import SpineError, SpineReason

CALL_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 4 << 20  # read ahead; what is waited for is never held back by it
STREAM_ITEMS = (
    256  # waiting items of one stream; when full, the whole connection is read no further
)


def _gone(path: Path, cause: object) -> SpineError:
    return SpineError(
        SpineReason.GONE,
        f"no cloud answers at {path}: {cause}",
        hint="is `tocsin cloud run` running on this data directory?",
    )


class SpineClient:
    """One connection, many requests at once; opened at first use and again after it broke.

    Give a long stream (`subscribe`) a client of its own: a reader that lags holds up its own connection only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Answer | None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> SpineClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; open requests end with `SpineError`."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None

    async def call(
        self, op: str, *, call_timeout_s: float = CALL_TIMEOUT_S, **args: object
    ) -> object:
        """The result of one operation.

        Raises:
            TocsinError: the class the spine raised, or `SpineError` when it is not there.
        """
        async with self._request(op, args) as (_id, answers):
            try:
                async with asyncio.timeout(call_timeout_s):
                    answer = await answers.get()
            except TimeoutError:
                raise SpineError(
                    SpineReason.TIMEOUT, f"{op} did not answer within {call_timeout_s} s"
                ) from None
            if answer is None:
                raise _gone(self._path, "connection lost")
            if answer.error is not None:
                raise from_fault(answer.error)
            return answer.result

    async def stream(self, op: str, **args: object) -> AsyncGenerator[object, None]:
        """The items of a streaming operation, until it ends or the caller stops.

        Raises:
            TocsinError: as `call`.
        """
        async with self._request(op, args) as (_id, answers):
            while True:
                answer = await answers.get()
                if answer is None:
                    raise _gone(self._path, "connection lost")
                if answer.error is not None:
                    raise from_fault(answer.error)
                if answer.end:
                    return
                yield answer.item

    def _request(self, op: str, args: dict[str, object]) -> _Pending:
        return _Pending(self, Request(next(self._ids), op, args))

    async def open_request(self, request: Request) -> asyncio.Queue[Answer | None]:
        """Send a request; its answers come through the queue, None when the connection is lost."""
        frame = pack(request, MAX_REQUEST_BYTES)
        writer = await self._connected()
        answers: asyncio.Queue[Answer | None] = asyncio.Queue(STREAM_ITEMS)
        self._waiting[request.id] = answers
        try:
            writer.write(frame)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await writer.drain()
        except (ConnectionError, TimeoutError) as exc:
            self._waiting.pop(request.id, None)
            raise _gone(self._path, exc) from exc
        return answers

    def close_request(self, request: Request) -> None:
        """Forget a request, and tell the spine."""
        answers = self._waiting.pop(request.id, None)
        if answers is None:
            return
        while not answers.empty():  # the reading task may wait for room
            answers.get_nowait()
        if self._writer is not None:
            self._writer.write(pack(Request(request.id, cancel=True), MAX_REQUEST_BYTES))

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        reader, self._writer = await asyncio.open_unix_connection(
                            str(self._path), limit=READ_BYTES
                        )
                except (OSError, TimeoutError) as exc:
                    raise _gone(self._path, exc) from exc
                self._reading = asyncio.create_task(
                    self._read(reader, self._writer), name="spine-client"
                )
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (body := await read_frame(reader, MAX_ANSWER_BYTES)) is not None:
                answer = unpack_answer(body)
                if (answers := self._waiting.get(answer.id)) is not None:
                    if answer.ok is not None or answer.end:
                        self._waiting.pop(answer.id)
                    await answers.put(answer)
        finally:
            self._writer = None
            writer.close()
            waiting, self._waiting = self._waiting, {}
            for answers in waiting.values():
                if answers.full():
                    answers.get_nowait()
                answers.put_nowait(None)


class _Pending:
    """An open request as a context: leaving it early cancels it at the spine."""

    def __init__(self, client: SpineClient, request: Request) -> None:
        self._client, self._sent = client, request

    async def __aenter__(self) -> tuple[int, asyncio.Queue[Answer | None]]:
        return self._sent.id, await self._client.open_request(self._sent)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close_request(self._sent)


def stream_once(
    path: Path, op: str, *, item_timeout_s: float = CALL_TIMEOUT_S, **args: object
) -> Generator[object, None, None]:
    """The items of a streaming operation over a connection of its own; closing the generator ends the operation.

    Raises:
        TocsinError: as `SpineClient.call`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_TIMEOUT_S)
        try:
            sock.connect(str(path))
            sock.settimeout(item_timeout_s)
            sock.sendall(pack(Request(1, op, args), MAX_REQUEST_BYTES))
            while not (answer := unpack_answer(recv_frame(sock, MAX_ANSWER_BYTES))).end:
                if answer.error is not None:
                    raise from_fault(answer.error)
                yield answer.item
        except TimeoutError as exc:
            raise SpineError(
                SpineReason.TIMEOUT, f"{op} told nothing within {item_timeout_s} s"
            ) from exc
        except OSError as exc:
            raise _gone(path, exc) from exc


def call_once(
    path: Path, op: str, *, call_timeout_s: float = CALL_TIMEOUT_S, **args: object
) -> object:
    """One operation over a connection of its own, for programs without an event loop.

    Raises:
        TocsinError: as `SpineClient.call`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_TIMEOUT_S)
        try:
            sock.connect(str(path))
            sock.settimeout(call_timeout_s)
            sock.sendall(pack(Request(1, op, args), MAX_REQUEST_BYTES))
            answer = unpack_answer(recv_frame(sock, MAX_ANSWER_BYTES))
        except TimeoutError as exc:
            raise SpineError(
                SpineReason.TIMEOUT, f"{op} did not answer within {call_timeout_s} s"
            ) from exc
        except OSError as exc:
            raise _gone(path, exc) from exc
    if answer.error is not None:
        raise from_fault(answer.error)
    return answer.result
