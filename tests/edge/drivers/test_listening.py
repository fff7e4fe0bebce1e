"""The TCP server of push protocols: its limits, one by one, on a real port."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import ValidationError

from edge.listening import ListenerConfig, Peer, serve
from tocsin.errors import CodecError, CodecReason, DriverReason, LinkError
from tocsin.sdk import DriverContext, Sample, SystemClock
from tocsin.testing import free_port, wait_until
from tocsin.testing.contexts import keeping

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    def __init__(self, handle: Callable[[Peer], Awaitable[None]] | None = None, **config: object):
        self.counts: Counter[str] = Counter()
        self.port = free_port()
        self.handle = handle or self.echo
        self.config = ListenerConfig(
            type="x",
            name="x",
            **({"listen": f"127.0.0.1:{self.port}"} | config),  # type: ignore[arg-type]
        )
        self.context = DriverContext(
            name="x",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=keeping(self._emit),
            available=lambda device: None,
            unavailable=lambda device, error: None,
            count=lambda name, n: self.counts.update({name: n}),
        )

    async def _emit(self, sample: Sample) -> None:
        raise AssertionError(sample)

    async def echo(self, peer: Peer) -> None:
        while data := await peer.read():
            if data.startswith(b"I am "):
                peer.identified(data[5:].decode())
            if data == b"bad":
                raise CodecError(CodecReason.FRAMING, "bad")
            await peer.send(data)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(serve(self.config, self.context, self.handle))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, ZeroDivisionError):
                await task

    async def connect(self) -> Link:
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)


async def say(link: Link, data: bytes) -> bytes:
    """What comes back; b"" where the link ends."""
    link[1].write(data)
    return await heard(link)


async def heard(link: Link) -> bytes:
    try:
        return await asyncio.wait_for(link[0].read(4096), 20)
    except ConnectionError:
        return b""
    finally:
        if link[0].at_eof():
            link[1].close()


async def test_a_bad_frame_closes_only_its_own_peer() -> None:
    server = Server()
    async with server.running():
        good, bad = await server.connect(), await server.connect()
        assert await say(bad, b"bad") == b""
        assert await say(good, b"hello") == b"hello"
        good[1].close()
    assert server.counts == {"listener.errors": 1}


async def test_an_address_outside_the_list_is_refused() -> None:
    server = Server(allow=["10.0.0.0/8", "::1/128"])
    async with server.running():
        assert await heard(await server.connect()) == b""
    assert server.counts == {"listener.refused_address": 1}


async def test_more_connections_than_allowed_are_refused_until_one_ends() -> None:
    server = Server(max_connections=2)
    async with server.running():
        first, second = await server.connect(), await server.connect()
        assert await say(first, b"1") == await say(second, b"1")
        assert await heard(await server.connect()) == b""
        first[1].close()
        third: Link | None = None

        async def let_in() -> bool:
            nonlocal third
            third = await server.connect()
            return await say(third, b"3") == b"3"

        await wait_until(let_in)
        second[1].close()
        assert third is not None
        third[1].close()
    assert server.counts["listener.refused_full"] >= 1


async def test_a_stranger_and_a_silent_device_are_closed_in_their_time() -> None:
    server = Server(idle_timeout_s=1.2, unidentified_timeout_s=0.4)
    async with server.running():
        stranger, device = await server.connect(), await server.connect()
        assert await say(device, b"I am x") == b"I am x"
        assert await heard(stranger) == b""
        assert server.counts == {"listener.unidentified": 1}
        assert await say(device, b"still here") == b"still here"
        assert await heard(device) == b""
    assert server.counts == {"listener.unidentified": 1, "listener.idle": 1}


async def test_a_stranger_that_keeps_talking_is_closed_too() -> None:
    server = Server(unidentified_timeout_s=0.4)
    async with server.running():
        stranger = await server.connect()

        async def closed() -> bool:
            return await say(stranger, b"x") == b""

        await wait_until(closed)
    assert server.counts == {"listener.unidentified": 1}


async def test_a_second_link_of_a_device_replaces_the_first() -> None:
    server = Server()
    async with server.running():
        first, second = await server.connect(), await server.connect()
        await say(first, b"I am x")
        await say(second, b"I am x")
        assert await heard(first) == b""
        assert await say(second, b"still here") == b"still here"
        second[1].close()
    assert server.counts == {"listener.replaced": 1}


async def test_a_peer_that_takes_nothing_is_dropped() -> None:
    ended = asyncio.Event()

    async def flood(peer: Peer) -> None:
        peer.identified("x")
        try:
            while True:
                await peer.send(bytes(65_536))
        finally:
            ended.set()

    server = Server(flood, idle_timeout_s=0.5)
    async with server.running():
        _, writer = await server.connect()
        await asyncio.wait_for(ended.wait(), 20)
        writer.close()
    assert server.counts == {"listener.errors": 1}


async def test_a_taken_port_says_so_and_a_cancelled_server_frees_it() -> None:
    server = Server()
    async with server.running():
        link = await server.connect()
        await say(link, b"1")
        with pytest.raises(LinkError) as taken:
            await serve(server.config, server.context, server.handle)
        assert taken.value.reason is DriverReason.REFUSED
    assert await heard(link) == b""
    async with server.running():
        again = await server.connect()
        assert await say(again, b"1") == b"1"
        again[1].close()


async def test_a_mistake_in_a_handler_is_not_swallowed() -> None:
    async def wrong(peer: Peer) -> None:
        raise ZeroDivisionError

    server = Server(wrong)
    async with server.running() as task:
        await heard(await server.connect())
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("listen", ["7611", "localhost:7611", "127.0.0.1:70000", "127.0.0.1:x"])
def test_what_is_no_address_is_a_mistake(listen: str) -> None:
    with pytest.raises(ValidationError, match="127"):
        Server(listen=listen)
