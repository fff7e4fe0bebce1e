"""The control socket of a running agent: Unix socket, mode 0600, peer credentials checked (unix(7), SO_PEERCRED)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.control.protocol import LONGEST_LINE, Failure, Reply, Request
from tocsin.errors import ConfigError, ControlError, TocsinError

Args = Mapping[str, str]
Call = Callable[[Args], Awaitable[object]]
Stream = Callable[[Args], AsyncIterator[object]]

_log = logging.getLogger("edge.control")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Request)
_IDLE_S = 60.0
_CLIENTS = 16


class ControlServer:
    """Answers `calls` and `streams` by their operation's name."""

    def __init__(
        self, path: Path, calls: Mapping[str, Call], streams: Mapping[str, Stream]
    ) -> None:
        self._path, self._calls, self._streams = path, calls, streams
        self._clients: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled; the socket file goes with us.

        Raises:
            ControlError: another agent answers there, or the socket cannot be made.
        """
        listener = _bind(self._path)
        server = await asyncio.start_unix_server(self._client, sock=listener, limit=LONGEST_LINE)
        ready()
        try:
            await server.serve_forever()
        finally:
            server.close()
            for task in list(self._clients):
                task.cancel()
            with suppress(OSError):  # a disk that became read-only
                self._path.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream callback is always a task
        self._clients.add(task)
        try:
            if not _permitted(writer):
                _log.warning("control socket: a peer of another user was turned away")
            elif len(self._clients) <= _CLIENTS:
                await self._converse(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError, ValueError):
            pass  # the asker went away, or we are stopping: neither is news
        finally:
            self._clients.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = await asyncio.wait_for(reader.readline(), _IDLE_S)
            if not line:
                return
            try:
                request = _decoder.decode(line)
                if request.op in self._streams:
                    await self._stream(request, reader, writer)
                    continue
                call = self._calls.get(request.op)
                if call is None:
                    raise ControlError(f"no operation {request.op!r}")
                reply = Reply(result=await call(request.args))
            except msgspec.DecodeError as exc:
                reply = Reply(error=Failure("control.bad-request", str(exc)))
            except TocsinError as exc:
                reply = Reply(error=_failure(exc))
            await _send(writer, reply)

    async def _stream(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Items until the asker says or closes anything."""
        gone = asyncio.ensure_future(reader.read(1))
        items = self._streams[request.op](request.args)
        try:
            while not gone.done():
                following = asyncio.ensure_future(anext(items))
                await asyncio.wait({gone, following}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    with suppress(asyncio.CancelledError):
                        await following
                    break
                await _send(writer, Reply(item=following.result()))
        except StopAsyncIteration:
            await _send(writer, Reply(end=True))
        finally:
            gone.cancel()


def _failure(exc: TocsinError) -> Failure:
    reason = getattr(exc, "reason", "")
    problems = [p.as_dict() for p in exc.problems] if isinstance(exc, ConfigError) else []
    return Failure(exc.code, exc.message, exc.hint, str(reason), exc.exit_code, problems)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(_encoder.encode(reply) + b"\n")
    await asyncio.wait_for(writer.drain(), 10)


def _permitted(writer: asyncio.StreamWriter) -> bool:
    """Our own user, or root."""
    peer: socket.socket = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return uid in (0, os.geteuid())


def _bind(path: Path) -> socket.socket:
    """A listening socket; one that a killed agent left behind is replaced."""
    if _answers(path):
        raise ControlError(f"another agent answers at {path}", hint="stop it first")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o022)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.umask(0o177)
        sock.bind(str(path))
        sock.listen(_CLIENTS)
    except OSError as exc:
        sock.close()
        raise ControlError(
            f"control socket {path}: {exc}", hint="set [control] socket to a short path"
        ) from exc
    finally:
        os.umask(before)
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
