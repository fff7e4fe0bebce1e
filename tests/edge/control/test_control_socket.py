"""The control socket: who may ask, what is answered, and what a second agent or a stale file does."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.control.client import ask, follow
from edge.control.server import Args, ControlServer
from tocsin.errors import AlarmRefusal, AlarmRefusedError, ControlError


async def greet(args: Args) -> dict[str, str]:
    """An answer."""
    return {"hello": args.get("name", "nobody")}


async def refuse(args: Args) -> None:
    """A refusal with a reason."""
    raise AlarmRefusedError(AlarmRefusal.NO_NAME, "who is asking?", hint="--actor")


async def count(args: Args) -> AsyncIterator[dict[str, int]]:
    """A stream that ends."""
    for n in range(int(args["upto"])):
        yield {"n": n}


async def forever(args: Args) -> AsyncIterator[dict[str, int]]:
    """A stream that does not."""
    n = 0
    while True:
        yield {"n": n}
        n += 1
        await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    """A running server."""
    ready = asyncio.Event()
    calls = {"greet": greet, "refuse": refuse}
    server = ControlServer(path, calls, {"count": count, "forever": forever})
    task = asyncio.create_task(server.run(ready.set))
    await asyncio.wait({task, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED")
    if task.done():
        task.result()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_question_is_answered_and_an_error_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "control.sock"
    async with serving(path):
        assert await asyncio.to_thread(ask, path, "greet", {"name": "li"}) == {"hello": "li"}
        with pytest.raises(AlarmRefusedError) as refused:
            await asyncio.to_thread(ask, path, "refuse")
        assert (refused.value.reason, refused.value.hint) == (AlarmRefusal.NO_NAME, "--actor")
        with pytest.raises(ControlError, match="no operation 'open'"):
            await asyncio.to_thread(ask, path, "open")
    assert not path.exists()
    with pytest.raises(ControlError, match="no agent answers"):
        ask(path, "greet")


async def test_only_the_owner_may_touch_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_stream_ends_by_itself_or_when_the_asker_leaves(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    def some() -> list[object]:
        items = follow(path, "forever")
        found = [next(items)["n"] for _ in range(3)]
        items.close()  # type: ignore[attr-defined]
        return found

    async with serving(path):
        found = await asyncio.to_thread(lambda: list(follow(path, "count", {"upto": "3"})))
        assert found == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert await asyncio.to_thread(some) == [0, 1, 2]
        assert await asyncio.to_thread(ask, path, "greet") == {"hello": "nobody"}


@pytest.mark.parametrize("line", [b"garbage\n", b"{}\n", b'{"op": 7}\n', b"\xff\xfe\n", b"[1]\n"])
async def test_what_is_no_request_gets_an_error_and_the_connection_stays(
    tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        assert b"control.bad-request" in await asyncio.wait_for(reader.readline(), 10)
        writer.write(b'{"op": "greet"}\n')
        assert b"nobody" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()


async def test_a_socket_left_by_a_killed_agent_is_replaced_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(path):
        with pytest.raises(ControlError, match="another agent answers"):
            async with serving(path):
                pass
        assert await asyncio.to_thread(ask, path, "greet") == {"hello": "nobody"}


async def test_a_path_that_is_too_long_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="control socket"):
        async with serving(tmp_path / ("x" * 120)):
            pass
