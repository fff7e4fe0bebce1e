"""Who begins after whom while tasks of an agent are exchanged."""

from __future__ import annotations

import asyncio
import gc
import weakref

from edge.crew import Crew
from edge.garbage import leave_out_what_stands
from tocsin.errors import DriverReason, LinkError
from tocsin.testing import wait_until


async def test_what_begins_waits_for_all_that_are_ending_and_a_failure_is_told_only() -> None:
    said: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # it still has the port
            said.append("slow ended")

    async def next_one() -> None:
        said.append("next began")
        raise LinkError(DriverReason.REFUSED, "no")

    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.start("driver:a", slow)
        await asyncio.sleep(0)
        crew.replace("driver:b", next_one)
        crew.end("driver:a")
        await wait_until(lambda: "next began" in said)
        await crew.wind_down(1.0)
    assert said == ["slow ended", "next began"]


class _Models:
    """What a driver runs with."""

    itself: _Models | None = None


async def test_what_was_replaced_is_let_go_of_while_the_next_one_runs() -> None:
    running: list[weakref.ref[_Models]] = []

    async def look() -> None:
        models = _Models()
        running.append(weakref.ref(models))
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.start("driver:a", look)
        for n in range(1, 4):
            await wait_until(lambda n=n: len(running) == n)
            crew.replace("driver:a", look)
        await wait_until(lambda: len(running) == 4)
        gc.collect()
        assert [models() is not None for models in running] == [False, False, False, True]
        await crew.wind_down(1.0)


async def test_what_is_ending_is_waited_for_until_its_garbage_can_be_freed() -> None:
    running: list[weakref.ref[_Models]] = []

    async def look() -> None:
        models = _Models()
        models.itself = models
        running.append(weakref.ref(models))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        assert not await crew.settled()
        for name in ("driver:a", "driver:b"):
            crew.start(name, look)
        await wait_until(lambda: len(running) == 2)
        leave_out_what_stands()  # from now on no search for garbage comes by
        crew.replace("driver:a", look)
        crew.end("driver:b")
        assert await crew.settled()
        leave_out_what_stands()
        gc.unfreeze()
        assert [models() for models in running[:2]] == [None, None]
        await crew.wind_down(1.0)
