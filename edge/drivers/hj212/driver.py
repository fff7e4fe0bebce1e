"""The `hj212` driver: a port that monitoring stations connect to (HJ 212-2017, HJ/T 212-2005)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from edge.drivers.hj212.commands import command, command_number
from edge.drivers.hj212.config import Hj212Config
from edge.drivers.hj212.session import Session, Terms
from edge.drivers.hj212.stations import Station, stations
from edge.links import Links, changed
from edge.listening import Peer, serve
from edge.zones import parse_zone
from tocsin.errors import DriverReason, LinkError, UsageError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine

_UNKNOWN_TOLD = 1000


class Hj212Driver:
    """One port, many stations."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Hj212Config

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, Hj212Config)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._stations = stations(config)
        self._terms = Terms(
            context,
            parse_zone(config.time_zone),
            self._find,
            self._known,
            config.set_clocks,
            config.parts_wait_s,
        )
        self._links = Links[Session](self._gone)
        self._unknown: set[str] = set()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return tuple(station.spec for station in self._stations.values())

    async def run(self) -> None:
        """Until cancelled."""
        await serve(self._config, self._context, self._handle)

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other stations while it runs; those that stay keep their links."""
        if not isinstance(config, Hj212Config):
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
            DeviceFaultError: it answered no.
            UsageError: no such command.
        """
        del within_s  # there is no queue: it is sent now or refused
        if args:
            raise UsageError(f"{name} takes no arguments")
        command_number(name)
        station = next(s for s in self._stations.values() if s.id == device)
        session = self._links.session(device, "station")
        return await command(session, station, name, self._config.command_timeout_s)

    async def _handle(self, peer: Peer) -> None:
        session = Session(peer, self._terms)
        with self._links.held(session):
            await session.run()

    def _gone(self, device: str) -> None:
        gone = LinkError(DriverReason.CLOSED, "the station has gone", device=device)
        self._context.unavailable(device, gone)

    def _known(self, session: Session, station: Station) -> None:
        self._links.known(station.id, session)
        self._context.available(station.id)

    def _find(self, mn: str) -> Station | None:
        found = self._stations.get(mn)
        if found is not None:
            return found
        self._context.count("hj212.unknown_station", 1)
        if mn not in self._unknown and len(self._unknown) < _UNKNOWN_TOLD:
            self._unknown.add(mn)
            self._context.log.warning(
                "station %r is not configured and was refused; to let it in:\n"
                '[[drivers.devices]]\nid = "station-%s"\nmn = %s\nmeasurement = "air"  # or emission, effluent',
                mn[:64],
                re.sub("[^a-z0-9]+", "-", mn[:40].lower()).strip("-"),
                json.dumps(mn[:64], ensure_ascii=False),
            )
        return None
