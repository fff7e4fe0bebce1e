"""A real gateway's desk and the real cloud share the signs of an attendant: a silent one stops the work, one on the other page does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud.permits.line import Line, at_work


@pytest.mark.parametrize("has_page", [True, False])
@pytest.mark.parametrize("up", [True, False])
async def test_a_silent_attendant_stops_the_work_within_the_rules_time(
    line: Line, has_page: bool, up: bool
) -> None:
    permit = await at_work(line, has_page=has_page)
    line.up = up
    await line.steps(30)
    assert line.state() == ("active", "")
    await line.steps(60)
    assert line.state() == ("suspended", "attendant")
    line.up = True
    await line.steps(10)
    told: Any = line.cloud.book.row(permit)
    assert (told["state"], told["permit"]["cause"]) == ("suspended", "attendant")


@pytest.mark.parametrize(
    ("has_page", "up", "at_gateway"),
    [(True, True, True), (True, True, False), (False, True, False), (True, False, True)],
)
async def test_an_attendant_on_either_page_stops_nothing(
    line: Line, has_page: bool, up: bool, at_gateway: bool
) -> None:
    permit = await at_work(line, has_page=has_page)
    line.up = up

    def alive(_: int) -> None:
        if at_gateway:
            line.watch.sign(permit)
        else:
            line.crew.must("li", "POST", f"/permits/{permit}/attendant")

    await line.steps(200, alive)
    assert line.state() == ("active", "")
    assert line.cloud.book.row(permit)["state"] == "active"


async def test_the_cloud_stops_it_where_the_gateway_does_not(line: Line) -> None:
    permit = await at_work(line, has_page=True)

    async def nothing() -> None:
        return None

    line.desk._round = nothing  # type: ignore[method-assign]
    await line.steps(85)
    assert line.cloud.book.row(permit)["state"] == "suspended"
