"""The permit desk of a running agent, on its real parts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.lan.routes import Routes
from edge.lan.server import LanPage
from edge.permits.conditions import Watch
from edge.permits.desk import PermitDesk, Surroundings
from edge.permits.grace import Grace
from edge.permits.grants import Unlocker
from edge.permits.journal import PermitJournal
from edge.permits.page_desk import PageDesk
from edge.permits.seal_key import seal_key
from edge.permits.siren import Siren
from tocsin.errors import OutboxError
from tocsin.grants.claims import Op
from tocsin.grants.primitives import exchange_public
from tocsin.sdk import Clock

if TYPE_CHECKING:
    from edge.app import Agent
    from edge.outputs import FileOutput
    from edge.permits.options import SpaceConfig
    from edge.supervisor import Supervised

FOLDER = "permits"
_log = logging.getLogger("edge.permits")


async def open_permits(agent: Agent) -> PermitDesk | None:
    """The desk with what the last run kept; None where none is wanted, or its disk refuses (said, told as an event, and then locks open for a rescue only)."""
    config, clock = agent.config, agent.clock
    options = config.permits
    if options is None:
        return None
    folder = config.gateway.data_dir / FOLDER
    try:
        journal = await PermitJournal.open(folder, options.max_bytes, clock.now_ns())
        private, grace = seal_key(folder), Grace(folder, clock)
    except (OutboxError, OSError) as exc:
        text = f"no permit is watched: {exc}"
        _log.error("%s", text)
        agent.events.say("permit.refused", "", text, {})
        agent.locks.refuse_when(lambda _, claims: "" if Op.RESCUE in claims.ops else text)
        agent.locks.keep_open_when(lambda _: text)
        return None
    watch = Watch(clock, lambda device: agent.pipeline.judge(device).units, grace.used_s)
    cloud = _Cloud(lambda: agent.link is not None and agent.link.connected, clock)
    watch.cloud_ok = cloud.is_there
    around = Surroundings(
        gateway=config.gateway.id,
        site=config.gateway.site,
        clock=clock,
        clock_state=lambda: agent.timekeeper.state.state,
        key=lambda: agent.command_key,
        outbox=agent.outbox,
        say=agent.events.say,
    )
    spaces = {space.id: space for space in config.spaces}
    sirens = {name: _siren(agent, watch, space) for name, space in spaces.items() if space.siren}
    desk = PermitDesk(
        around, journal, watch, spaces, sirens, watches_attendant=options.listen is not None
    )
    desk.seal = exchange_public(private).hex()
    desk.unlocker = Unlocker(desk, agent.locks, private, clock)
    desk.borrow, desk.settled = desk.unlocker.borrow, grace.over
    if options.listen is not None:
        routes = Routes(
            config.gateway.id,
            PageDesk(desk, agent.locks),
            clock,
            cloud.lost_ns,
            secure=options.cert is not None,
        )
        desk.page = LanPage(options.listen, routes, options.cert, options.key)
    try:
        await desk.restore()
    except BaseException:
        await journal.aclose()
        raise
    agent.flow.listen(watch.stored)
    agent.flow.listen(lambda row: desk.moved(row.layout.device))
    agent.flow.sample(watch.sampled)
    agent.locks.listen(desk.lock_news)
    agent.locks.refuse_when(desk.unlocker.why_not)
    agent.locks.keep_open_when(desk.unlocker.why_not_relock)
    agent.locks.open_with(desk.unlocker.capability)
    agent.orders_to_locks.unseal = desk.unlocker.unseal
    return desk


class _Cloud:
    """Whether the cloud is there, and since when it is not. The desk asks every second, so that is known before a page asks."""

    def __init__(self, connected: Callable[[], bool], clock: Clock) -> None:
        self._connected, self._clock = connected, clock
        self._since_mono_ns: int | None = None

    def is_there(self) -> bool:
        """Whether there is a session with the broker."""
        there = self._connected()
        if there:
            self._since_mono_ns = None
        elif self._since_mono_ns is None:
            self._since_mono_ns = self._clock.mono_ns()
        return there

    def lost_ns(self) -> int | None:
        """Since when it is away, by the wall clock of now; None while it is there."""
        if self.is_there() or self._since_mono_ns is None:
            return None
        return self._clock.now_ns() - (self._clock.mono_ns() - self._since_mono_ns)


def _siren(agent: Agent, watch: Watch, space: SpaceConfig) -> Siren:
    def carrier(device: str) -> Supervised | None:
        found = agent.driver_of(device)
        return found[0] if found else None

    def output(name: str) -> FileOutput | None:
        return next((o for o in agent.desk.outputs if o.name == name), None)

    def told(name: str, ok: bool, text: str) -> None:
        watch.siren_ok[name] = ok
        kind = "permit.siren" if ok else "permit.siren-failed"
        agent.events.say(kind, space.siren.device if space.siren else "", text, {"space": name})

    return Siren(space, agent.clock, carrier, output, agent.desk.sound, told)
