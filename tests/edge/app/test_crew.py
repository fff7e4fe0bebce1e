"""Who begins after whom while tasks of an agent are exchanged."""

from __future__ import annotations

import asyncio

from edge.crew import Crew
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
