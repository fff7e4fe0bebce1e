"""The `gb26875` driver: a port that fire-protection transmitters connect to (GB/T 26875.3-2011)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from edge.drivers.gb26875.commands import Asked, command
from edge.drivers.gb26875.config import Gb26875Config
from edge.drivers.gb26875.session import Session
from edge.drivers.gb26875.site import Transmitter, transmitters
from edge.links import Links, changed
from edge.listening import Peer, serve
from edge.zones import parse_zone
from tocsin.errors import DriverReason, LinkError, UsageError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine

_UNKNOWN_TOLD = 1000


class Gb26875Driver:
    """One port, many transmitters."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Gb26875Config

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, Gb26875Config)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._zone = parse_zone(config.time_zone)
        self._transmitters = transmitters(config)
        self._links = Links[Session](self._gone)
        self._unknown: set[bytes] = set()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return tuple(spec for one in self._transmitters.values() for spec in one.specs)

    async def run(self) -> None:
        """Until cancelled."""
        await serve(self._config, self._context, self._handle)

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other transmitters while it runs; those that stay keep their links."""
        if not isinstance(config, Gb26875Config):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        self._config = config
        self._transmitters, others = changed(self._transmitters, transmitters(config))
        self._links.cut(others)
        return True

    async def probe(self) -> list[ProbeLine]:
        """Transmitters connect by themselves: nothing can be touched from here."""
        text = f"connects to {self._config.listen} by itself; see its state in `tocsin edge status`"
        return [ProbeLine(spec.id, True, text) for spec in self.devices]

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Send one command down at once and wait for the transmitter's answer.

        Raises:
            LinkError: the transmitter is not connected (`CLOSED`), or did not answer (`NO_ANSWER`).
            DeviceFaultError: it denied the command.
            UsageError: no such command, or wrong arguments; or `device` is one of its parts.
        """
        del within_s  # there is no queue: it is sent now or refused
        asked = Asked(name, args)
        found = next((t for t in self._transmitters.values() if t.id == device), None)
        if found is None:
            raise UsageError(f"{device} takes no commands", hint="send it to its transmitter")
        session = self._links.session(device, "transmitter")
        return await command(session, found, asked, self._config.command_timeout_s)

    async def _handle(self, peer: Peer) -> None:
        session = Session(peer, self._context, self._zone, self._find, self._known)
        with self._links.held(session):
            await session.run()

    def _gone(self, device: str) -> None:
        one = next(t for t in self._transmitters.values() if t.id == device)
        for spec in one.specs:
            gone = LinkError(DriverReason.CLOSED, "the transmitter has gone", device=spec.id)
            self._context.unavailable(spec.id, gone)

    def _known(self, session: Session, transmitter: Transmitter) -> None:
        self._links.known(transmitter.id, session)
        for spec in transmitter.specs:
            self._context.available(spec.id)

    def _find(self, address: bytes) -> Transmitter | None:
        found = self._transmitters.get(address)
        if found is not None:
            return found
        self._context.count("gb26875.unknown_transmitter", 1)
        if address not in self._unknown and len(self._unknown) < _UNKNOWN_TOLD:
            self._unknown.add(address)
            shown = address.hex()
            self._context.log.warning(
                "transmitter %s is not configured and was refused; to let it in:\n"
                '[[drivers.devices]]\nid = "fire-%s"\naddress = "%s"',
                shown,
                shown,
                shown,
            )
        return None
