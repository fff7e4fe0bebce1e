"""The `sl651` driver: a port that hydrology stations connect to (SL 651-2014)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from edge.drivers.sl651.config import Sl651Config
from edge.drivers.sl651.session import Session, Terms
from edge.drivers.sl651.stations import COMMANDS, Station, stations
from edge.links import Links, changed
from edge.listening import Peer, serve
from edge.zones import parse_zone
from firmware_bridges.sl651.body import Body
from firmware_bridges.sl651.samples import as_shown
from tocsin.errors import DriverReason, LinkError, UsageError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine

_MISSING_CHECK_S = 1.0
_UNKNOWN_TOLD = 1000
_FUNCTIONS = {"read": 0x37, "set-clock": 0x4A, "clock": 0x51, "version": 0x45}


class Sl651Driver:
    """One port, many stations."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Sl651Config

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, Sl651Config)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._stations = stations(config)
        self._terms = Terms(
            context,
            parse_zone(config.time_zone),
            self._find,
            self._known,
            config.stay_online,
            config.parts_wait_s,
        )
        self._links = Links[Session](self._gone)
        self._unknown: set[str] = set()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return tuple(station.spec for station in self._stations.values())

    async def run(self) -> None:
        """Until cancelled."""
        asking = asyncio.create_task(self._ask_missing())
        try:
            await serve(self._config, self._context, self._handle)
        finally:
            asking.cancel()

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other stations while it runs; those that stay keep their links."""
        if not isinstance(config, Sl651Config):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        self._config = config
        self._stations, others = changed(self._stations, stations(config))
        self._links.cut(others)
        return True

    async def probe(self) -> list[ProbeLine]:
        """Stations connect by themselves: nothing can be touched from here."""
        text = f"connects to {self._config.listen} by itself; see its state in `tocsin edge status`"
        return [ProbeLine(spec.id, True, text) for spec in self.devices]

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Send one command down at once and wait for the station's answer.

        Raises:
            LinkError: the station is not connected (`CLOSED`), or did not answer (`NO_ANSWER`).
            UsageError: no such command.
        """
        del within_s  # there is no queue: it is sent now or refused
        function = _FUNCTIONS.get(name)
        if function is None or args:
            known = ", ".join(one.name for one in COMMANDS)
            raise UsageError(f"no command {name!r} with these arguments", hint=f"known: {known}")
        station = next(s for s in self._stations.values() if s.id == device)
        session = self._links.session(device, "station")
        limit_s = self._config.command_timeout_s
        try:
            return _told(await session.ask(station, function, limit_s))
        except TimeoutError as exc:
            text = f"no answer to {name} in {limit_s:g} s"
            raise LinkError(DriverReason.NO_ANSWER, text, device=device) from exc

    async def _handle(self, peer: Peer) -> None:
        session = Session(peer, self._terms)
        with self._links.held(session):
            await session.run()

    def _gone(self, device: str) -> None:
        if self._config.stay_online:
            gone = LinkError(DriverReason.CLOSED, "the station has gone", device=device)
            self._context.unavailable(device, gone)

    def _known(self, session: Session, station: Station) -> None:
        self._links.known(station.id, session)
        self._context.available(station.id)

    def _find(self, address: str) -> Station | None:
        found = self._stations.get(address)
        if found is not None:
            return found
        self._context.count("sl651.unknown_station", 1)
        if address not in self._unknown and len(self._unknown) < _UNKNOWN_TOLD:
            self._unknown.add(address)
            self._context.log.warning(
                "station %s is not configured and was refused; to let it in:\n"
                '[[drivers.devices]]\nid = "station-%s"\nstation = "%s"',
                address,
                address,
                address,
            )
        return None

    async def _ask_missing(self) -> None:
        while True:
            await self._context.clock.sleep(_MISSING_CHECK_S)
            for session in self._links.open:
                with suppress(LinkError):  # gone: its own task ends it
                    await session.ask_missing()


def _told(body: Body) -> dict[str, Any]:
    """What a station answered."""
    facts: dict[str, Any] = {"time": body.send_time}
    if body.elements is not None:
        facts["values"] = as_shown(body)
    elif body.rest:
        facts["raw"] = body.rest
        text = bytes.fromhex(body.rest)[1:]
        if text.isascii() and text.decode("ascii").isprintable():
            facts["text"] = text.decode("ascii")
    return facts
