"""The `jt808` driver: a port that vehicle terminals connect to (JT/T 808-2011, 2013, 2019)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from edge.drivers.jt808.commands import Command, command
from edge.drivers.jt808.config import Jt808Config
from edge.drivers.jt808.fleet import Fleet
from edge.drivers.jt808.session import Session, Terms
from edge.listening import Peer, serve
from edge.zones import parse_zone
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine

_MISSING_CHECK_S = 1.0
_UNKNOWN_TOLD = 1000


class Jt808Driver:
    """One port, many terminals."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Jt808Config

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, Jt808Config)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._fleet = Fleet(config)
        self._terms = Terms(
            context,
            parse_zone(config.time_zone),
            self._fleet.by_phone,
            require_auth=config.require_auth,
            parts_wait_s=config.parts_wait_s,
        )
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._by_id: dict[str, Session] = {}
        self._unknown: set[str] = set()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return self._fleet.specs

    async def run(self) -> None:
        """Until cancelled."""
        asking = asyncio.create_task(self._ask_missing())
        try:
            await serve(self._config, self._context, self._handle)
        finally:
            asking.cancel()

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other terminals while it runs; those that stay keep their links."""
        if not isinstance(config, Jt808Config):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        self._config = config
        self._fleet.replace(config)
        for session, task in self._sessions.items():
            if session.vehicle is not None and session.vehicle not in self._fleet:
                task.cancel()
        return True

    async def probe(self) -> list[ProbeLine]:
        """Terminals connect by themselves: nothing can be touched from here."""
        text = f"connects to {self._config.listen} by itself; see its state in `tocsin edge status`"
        return [ProbeLine(spec.id, True, text) for spec in self.devices]

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Send one command down at once and wait for the terminal's answer.

        Raises:
            LinkError: the terminal is not connected (`CLOSED`), or did not answer (`NO_ANSWER`).
            DeviceFaultError: it answered no.
            UsageError: no such command, or wrong arguments.
        """
        del within_s  # there is no queue: it is sent now or refused
        asked = Command(name, args)
        session = self._by_id.get(device)
        if session is None:
            raise LinkError(
                DriverReason.CLOSED,
                "the terminal is not connected",
                device=device,
                hint="send the command again once it is",
            )
        return await command(session, device, asked, self._config.command_timeout_s)

    async def _handle(self, peer: Peer) -> None:
        session = Session(peer, self._terms, self._refused, self._identified)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - every connection has a task of its own
        self._sessions[session] = task
        try:
            await session.run()
        finally:
            del self._sessions[session]
            session.gone()
            vehicle = session.vehicle
            if vehicle is not None and self._by_id.get(vehicle.id) is session:
                del self._by_id[vehicle.id]
                gone = LinkError(DriverReason.CLOSED, "the terminal has gone", device=vehicle.id)
                self._context.unavailable(vehicle.id, gone)

    def _identified(self, session: Session) -> None:
        assert session.vehicle is not None  # noqa: S101 - that is what identified means
        self._by_id[session.vehicle.id] = session
        self._context.available(session.vehicle.id)

    def _refused(self, phone: str) -> None:
        self._context.count("jt808.unknown_terminal", 1)
        if phone in self._unknown or len(self._unknown) >= _UNKNOWN_TOLD:
            return
        self._unknown.add(phone)
        self._context.log.warning(
            "terminal %s is not configured and was refused; to let it in:\n"
            '[[drivers.devices]]\nid = "vehicle-%s"\nphone = "%s"',
            phone,
            phone,
            phone,
        )

    async def _ask_missing(self) -> None:
        while True:
            await self._context.clock.sleep(_MISSING_CHECK_S)
            for session in list(self._sessions):
                with suppress(LinkError):  # gone: its own task ends it
                    await session.ask_missing()
