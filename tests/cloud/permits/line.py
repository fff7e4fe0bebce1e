"""The real cloud, a real gateway's desk, and a line between them that can be cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.permits.conditions import Watch
from edge.permits.desk import PermitDesk, Surroundings
from edge.permits.journal import FILE, PermitJournal
from edge.permits.options import SpaceConfig
from tests.cloud.permits.crew import Crew
from tests.permits.site import GOOD
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import VERSION, Event
from tocsin.permits.messages import DOWN

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

LAYOUT = Layout("gas-1", "gas", tuple(GOOD), "f" * len(GOOD))
STEP_S = 5  # how often a gateway speaks


class Line:
    """The cloud, one gateway, and a line between them that can be cut. `time` moves for both."""

    def __init__(self, cloud: RunningCloud, crew: Crew, folder: Path) -> None:
        self.cloud, self.crew, self._folder = cloud, crew, folder
        self.up, self.told = True, 0
        self.events: Counter[str] = Counter()
        self._sent: list[tuple[str, str, dict[str, object]]] = []
        self.watch = Watch(cloud.permit_clock, lambda _: [unit for _, unit in GOOD.values()])
        self.watch.cloud_ok = lambda: self.up
        self.desk: PermitDesk

    async def put_event(self, kind: str, device: str, text: str, data: dict[str, object]) -> None:
        """As the gateway's outbox."""
        self._sent.append((kind, text, data))

    async def begin(self, *, has_page: bool) -> None:
        """The gateway starts."""
        clock, outbox = self.cloud.permit_clock, self
        journal = await PermitJournal.open(self._folder, 32 << 20, clock.now_ns())
        around = Surroundings(
            "gw-north", "north", clock, lambda: "ntp", lambda: b"key", outbox,  # type: ignore[arg-type]
            lambda kind, *_: self.events.update([kind]),
        )  # fmt: skip
        spaces = {"well-7": SpaceConfig(id="well-7", gas=("gas-1",))}
        self.desk = PermitDesk(around, journal, self.watch, spaces, {}, watches_attendant=has_page)
        await self.desk.restore()

    async def step(self) -> None:
        """Five seconds: the air is measured, the gateway speaks, both look."""
        self.cloud.permit_clock.shift_ns += STEP_S * 10**9
        now_ns = self.crew.now_ns
        self.crew.air()
        self.watch.stored(Row(LAYOUT, now_ns, tuple(value for value, _ in GOOD.values())))
        if self.up:
            self.cloud.signs, self.cloud.heard_ns = self.desk.signs(), now_ns
        await asyncio.to_thread(self.cloud.book.look)
        await self._down()
        await self.desk._round()
        await self._up()

    async def _down(self) -> None:
        news, self.told = self.cloud.told[self.told :], len(self.cloud.told)
        for topic, payload in news if self.up else ():
            take = self.desk.take if topic.endswith(f"/{DOWN}") else self.desk.take_signs
            await take(payload)

    async def _up(self) -> None:
        if not self.up:
            return
        news, self._sent = self._sent, []
        for kind, text, data in news:
            now_ns = self.crew.now_ns
            event = Event(VERSION, "north", "gw-north", "S", 0, kind, now_ns, text=text, data=data)
            plain = msgspec.json.decode(msgspec.json.encode(event), type=Event)
            await asyncio.to_thread(self.cloud.book.on_event, plain, now_ns)
        await self._down()

    async def steps(self, seconds: float, each: Callable[[int], object] = lambda _: None) -> None:
        """That long; `each` is done every 20 s."""
        for n in range(int(seconds / STEP_S)):
            if n % 4 == 0:
                await asyncio.to_thread(each, n)
            await self.step()

    def state(self) -> tuple[str, str]:
        """At the gateway: where the permit stands, and why it was stopped."""
        (watched,) = self.desk.permits()
        return watched.permit.state.value, str(watched.permit.cause or "")

    async def disk_lost(self) -> None:
        """The gateway's file is damaged and it starts anew; the cloud hears it speak."""
        await self.desk.aclose()
        for tail in ("", "-wal", "-shm"):
            self._folder.joinpath(FILE + tail).unlink(missing_ok=True)
        await self.begin(has_page=True)
        self._sent.clear()
        self.up = True
        await asyncio.to_thread(self.cloud.book.resend, "gw-north")


async def at_work(line: Line, *, has_page: bool) -> str:
    """A permit that both sides keep, a minute and a half old, its attendant awake so far."""
    await line.begin(has_page=has_page)
    permit = await asyncio.to_thread(line.crew.active)
    await line.steps(90, lambda _: line.crew.must("li", "POST", f"/permits/{permit}/attendant"))
    assert line.state() == ("active", "")
    assert line.cloud.book.row(permit)["state"] == "active"
    return permit
