"""Requests, streams and errors over a real Unix socket."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from cloud.rpc import Feed, SpineClient, SpineServer, call_once
from cloud.rpc.feed import MAX_URGENT
from tocsin.errors import (
    AlarmRefusal,
    AlarmRefusedError,
    QueryError,
    QueryReason,
    SpineError,
    SpineReason,
)


class Spine:
    def __init__(self, path: Path) -> None:
        self.feed = Feed()
        self.cancelled = asyncio.Event()
        self.gate = asyncio.Event()
        self.server = SpineServer(
            path,
            {"echo": self._echo, "fail": self._fail, "refuse": self._refuse, "hang": self._hang,
             "huge": self._huge},
            {"count": self._count, "subscribe": self.feed.subscribe},
            logging.getLogger("test"),
        )  # fmt: skip

    async def _echo(self, **args: object) -> object:
        return args

    async def _fail(self) -> object:
        raise QueryError(QueryReason.TIME_LIMIT, "too long", hint="ask for less")

    async def _refuse(self) -> object:
        raise AlarmRefusedError(AlarmRefusal.STILL_BEYOND_LIMIT, "h2s is at 21")

    async def _huge(self) -> object:
        return b"x" * (257 << 20)

    async def _hang(self) -> object:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return None

    async def _count(self, n: int) -> AsyncGenerator[object, None]:
        for i in range(n):
            yield i


@pytest.fixture
async def spine(tmp_path: Path) -> AsyncGenerator[tuple[Spine, Path]]:
    path = tmp_path / "spine.sock"
    spine = Spine(path)
    await spine.server.start()
    yield spine, path
    await spine.server.aclose()


async def test_a_call_returns_the_result_and_the_socket_belongs_to_its_owner_alone(
    spine: tuple[Spine, Path],
) -> None:
    _, path = spine
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with SpineClient(path) as client:
        args: dict[str, Any] = {"a": 1, "b": [1.5, None, "气"], "c": b"\0", "t": 2**62}
        assert await client.call("echo", **args) == args
        assert await asyncio.to_thread(call_once, path, "echo", x=1) == {"x": 1}


async def test_errors_arrive_as_the_class_that_was_raised(spine: tuple[Spine, Path]) -> None:
    async with SpineClient(spine[1]) as client:
        with pytest.raises(QueryError) as query:
            await client.call("fail")
        assert (query.value.reason, query.value.message, query.value.hint) == (
            QueryReason.TIME_LIMIT,
            "time-limit: too long",
            "ask for less",
        )
        with pytest.raises(AlarmRefusedError) as refused:
            await asyncio.to_thread(call_once, spine[1], "refuse")
        assert refused.value.reason is AlarmRefusal.STILL_BEYOND_LIMIT
        with pytest.raises(SpineError) as unknown:
            await client.call("nonsense")
        assert unknown.value.reason is SpineReason.UNKNOWN_OP
        with pytest.raises(SpineError) as bad:
            await client.call("fail", what=1)
        assert bad.value.reason is SpineReason.BAD_ARGS


async def test_a_slow_call_holds_up_no_other_and_is_cancelled_when_its_caller_leaves(
    spine: tuple[Spine, Path],
) -> None:
    async with SpineClient(spine[1]) as client:
        slow = asyncio.create_task(client.call("hang"))
        assert await client.call("echo") == {}
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        async with asyncio.timeout(10):
            await spine[0].cancelled.wait()
        with pytest.raises(SpineError) as late:
            await client.call("hang", call_timeout_s=0.05)
        assert late.value.reason is SpineReason.TIMEOUT


async def test_a_stream_gives_every_item_and_ends(spine: tuple[Spine, Path]) -> None:
    async with SpineClient(spine[1]) as client:
        assert [item async for item in client.stream("count", n=1000)] == list(range(1000))


async def test_leaving_a_full_stream_frees_the_connection(spine: tuple[Spine, Path]) -> None:
    async with SpineClient(spine[1]) as client:
        stream = client.stream("count", n=100_000)
        assert await anext(stream) == 0
        await asyncio.sleep(0.05)
        await stream.aclose()
        assert await client.call("echo") == {}


async def test_a_client_comes_back_after_the_spine_was_restarted(tmp_path: Path) -> None:
    path = tmp_path / "spine.sock"
    first = Spine(path)
    await first.server.start()
    async with SpineClient(path) as client:
        assert await client.call("echo") == {}
        waiting = asyncio.create_task(client.call("hang"))
        await client.call("echo")
        await first.server.aclose()
        with pytest.raises(SpineError) as lost:
            await waiting
        assert lost.value.reason is SpineReason.GONE
        with pytest.raises(SpineError):
            await client.call("echo")
        second = Spine(path)
        await second.server.start()
        assert await client.call("echo") == {}
        await second.server.aclose()


async def test_an_answer_of_megabytes_arrives_whole_beside_small_ones(
    spine: tuple[Spine, Path],
) -> None:
    text = "".join(f"{n:07d}" for n in range(1_200_000))  # more than the system takes in one go
    async with SpineClient(spine[1]) as client:
        large, *small = await asyncio.gather(
            client.call("echo", text=text), *(client.call("echo", n=n) for n in range(5))
        )
    assert large == {"text": text}
    assert small == [{"n": n} for n in range(5)]


async def test_an_answer_beyond_the_limit_is_an_error_and_not_a_broken_connection(
    spine: tuple[Spine, Path],
) -> None:
    async with SpineClient(spine[1]) as client:
        with pytest.raises(SpineError) as large:
            await client.call("huge")
        assert large.value.reason is SpineReason.TOO_LARGE
        assert await client.call("echo") == {}


async def test_a_slow_reader_gets_the_newest_last_values_and_every_alarm() -> None:
    feed = Feed()
    reader = feed.subscribe()
    assert await anext(reader) == {"kind": "subscribed"}
    for i in range(5000):
        feed.publish_last({"gas-01": [{"value": i}]})
        if i % 10 == 0:
            feed.publish("alarm", {"n": i})
    alarms: list[object] = []
    async with asyncio.timeout(10):
        while True:
            item = await anext(reader)
            if item["kind"] == "last":
                break
            alarms.append(item["alarm"])
    assert alarms == [{"n": i} for i in range(0, 5000, 10)]
    assert item["rows"] == [{"value": 4999}]


async def test_a_reader_that_lags_too_many_alarms_is_ended_and_says_so() -> None:
    feed = Feed()
    reader = feed.subscribe()
    await anext(reader)
    for i in range(MAX_URGENT + 1):
        feed.publish("alarm", {"n": i})
    with pytest.raises(SpineError) as slow:
        await anext(reader)
    assert slow.value.reason is SpineReason.TOO_SLOW
    assert not feed.wanted
