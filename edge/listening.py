"""A bounded TCP server for protocols whose devices connect by themselves."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import AfterValidator, Field, IPvAnyNetwork

from tocsin.errors import CodecError, DriverError, DriverReason, LinkError
from tocsin.sdk import DriverConfig, DriverContext, Endpoint


def address_of(listen: str) -> tuple[str, int]:
    """`127.0.0.1:7611`, `[::]:7611` as host and port."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("write address and port, like 127.0.0.1:7611 or [::]:7611")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as exc:
        raise ValueError("an address to listen on is an IP address, like 127.0.0.1") from exc
    return host.strip("[]"), int(port)


def _listen(text: str) -> str:
    address_of(text)
    return text


class ListenerConfig(DriverConfig):
    """What every driver that listens has."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        description="Address and port to listen on, like 127.0.0.1:7611; 0.0.0.0 takes connections on every interface."
    )
    allow: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Networks that may connect, like 10.0.0.0/8; any if none is given."
    )
    max_connections: int = Field(
        default=1000, ge=1, le=100_000, description="More connections than this are refused."
    )
    idle_timeout_s: float = Field(
        default=300.0, gt=0, le=86_400, description="A link silent for so long is closed, seconds."
    )
    unidentified_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Time allowed until a device has said who it is, seconds.",
    )
    max_buffer_bytes: int = Field(
        default=65_536,
        ge=4096,
        le=16_777_216,
        description="Most unread bytes held for one link.",
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""
        return (Endpoint("listen", self.listen),)


class Peer:
    """One connection. `address` is `host:port` of the other side."""

    def __init__(
        self,
        listener: _Listener,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        address: str,
    ) -> None:
        self.address = address
        self._listener, self._reader, self._writer = listener, reader, writer
        loop = asyncio.get_running_loop()
        self._deadline_s: float | None = loop.time() + listener.config.unidentified_timeout_s

    async def read(self) -> bytes:
        """What has come; b"" once the link has ended, is closed, or a time limit has passed."""
        config, count = self._listener.config, self._listener.context.count
        now_s = asyncio.get_running_loop().time()
        limit_s, name = config.idle_timeout_s, "listener.idle"
        if self._deadline_s is not None and self._deadline_s - now_s < limit_s:
            limit_s, name = max(0.0, self._deadline_s - now_s), "listener.unidentified"
        try:
            async with asyncio.timeout(limit_s):
                return await self._reader.read(config.max_buffer_bytes)
        except TimeoutError:
            count(name, 1)
        except OSError:
            pass
        return b""

    async def send(self, data: bytes) -> None:
        """Hand `data` to the link; waits while the other side does not take it.

        Raises:
            LinkError: the link is gone, or nothing was taken within `idle_timeout_s`.
        """
        if self._writer.is_closing():
            raise LinkError(DriverReason.CLOSED, f"{self.address} has gone")
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._listener.config.idle_timeout_s):
                await self._writer.drain()
        except TimeoutError as exc:
            self._writer.transport.abort()
            raise LinkError(DriverReason.NO_ANSWER, f"{self.address} takes no bytes") from exc
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self.address} has gone") from exc

    def identified(self, name: str) -> None:
        """Ends the time limit of a stranger. A link of the same name that is still open is closed."""
        self._deadline_s = None
        self._listener.named(name, self)

    def close(self) -> None:
        """Close the link; a pending `read` ends."""
        self._writer.close()
        self._reader.feed_eof()


Handle = Callable[[Peer], Awaitable[None]]


async def serve(config: ListenerConfig, context: DriverContext, handle: Handle) -> None:
    """Run `handle` for every connection, until cancelled. Its CodecError or DriverError closes only its own peer.

    Raises:
        LinkError: the port cannot be opened.
    """
    await _Listener(config, context, handle).run()


class _Listener:
    def __init__(self, config: ListenerConfig, context: DriverContext, handle: Handle) -> None:
        self.config, self.context, self._handle = config, context, handle
        self._tasks: set[asyncio.Task[None]] = set()
        self._names: dict[str, Peer] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        host, port = address_of(self.config.listen)
        try:
            server = await asyncio.start_server(
                self._accepted, host, port, limit=self.config.max_buffer_bytes // 2
            )
        except OSError as exc:
            raise _cannot_listen(self.config.listen, exc) from exc
        try:
            await self._failed
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def named(self, name: str, peer: Peer) -> None:
        """`peer` is the one link of device `name` from now on."""
        former = self._names.get(name)
        self._names[name] = peer
        if former is not None and former is not peer:
            self.context.count("listener.replaced", 1)
            former.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = (writer.get_extra_info("peername") or ("", 0))[:2]
        if not self._may(host):
            self.context.count("listener.refused_address", 1)
            writer.transport.abort()
        elif len(self._tasks) >= self.config.max_connections:
            self.context.count("listener.refused_full", 1)
            writer.transport.abort()
        else:
            peer = Peer(self, reader, writer, f"{host}:{port}")
            task = asyncio.get_running_loop().create_task(self._one(peer))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _may(self, host: str) -> bool:
        if not self.config.allow:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.config.allow)

    async def _one(self, peer: Peer) -> None:
        try:
            await self._handle(peer)
        except (CodecError, DriverError) as error:
            self.context.count("listener.errors", 1)
            self.context.log.info("%s: %s", peer.address, error.message)
        finally:
            for name in [name for name, other in self._names.items() if other is peer]:
                del self._names[name]
            peer.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(error)


def _cannot_listen(listen: str, error: OSError) -> LinkError:
    reason, hint = {
        errno.EADDRINUSE: (DriverReason.REFUSED, "another program has the port: ss -ltnp"),
        errno.EACCES: (DriverReason.PERMISSION, "ports below 1024 need a privilege: take another"),
    }.get(error.errno or 0, (DriverReason.NO_PORT, "is it an address of this machine? ip address"))
    return LinkError(reason, f"cannot listen on {listen}: {error.strerror}", hint=hint)
