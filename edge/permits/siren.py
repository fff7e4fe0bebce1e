"""When the siren of a space sounds (pure), and what switches it: asked again until it obeys, and looked after while it is on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from edge.outputs import FileOutput
from edge.permits.options import SirenConfig, SpaceConfig
from tocsin.errors import TocsinError
from tocsin.permits.names import State
from tocsin.permits.permit import Permit
from tocsin.sdk import Clock

AGAIN_S = 1.0  # after a refusal
REFRESH_S = 10.0  # while it is on: a relay that was restarted is off
_WITHIN_S = 5.0
_PATIENCE = 5  # tries before it is told: at a start its line may not be open yet
_STOPPED = frozenset({State.SUSPENDED, State.EMERGENCY, State.EXPIRED})
_log = logging.getLogger("edge.permits")


def must_sound(permit: Permit, silenced_ns: int | None, called_ns: int = 0) -> bool:
    """While work that had begun is stopped: as long as anyone may be inside, then until all came out or it was silenced.

    `called_ns`: somebody called for help since it stopped, whom no roll call has answered.
    """
    stopped = permit.state in _STOPPED and permit.activated_ns is not None
    if not stopped or permit.occupied:
        return stopped
    since_ns = max(permit.suspended_ns or permit.since_ns, called_ns)
    came_out = permit.emptied_ns is not None and permit.emptied_ns >= since_ns
    return not came_out and (silenced_ns is None or silenced_ns < since_ns)


class Carrier(Protocol):
    """A driver under supervision."""

    async def command(
        self, device: str, name: str, args: Mapping[str, object], within_s: float
    ) -> dict[str, object]: ...


class Siren:
    """One space's. `want` never waits; `run` makes it so. Past guards and the outbox: neither may stand in its way."""

    def __init__(
        self,
        space: SpaceConfig,
        clock: Clock,
        carrier: Callable[[str], Carrier | None],
        output: Callable[[str], FileOutput | None],
        sound: Callable[[], None],
        told: Callable[[str, bool, str], None],
    ) -> None:
        self._space, self._clock = space, clock
        self._carrier, self._output, self._sound, self._told = carrier, output, sound, told
        self._wanted = False
        self._is: bool | None = None  # unknown after a start: it may have been left on
        self._changed = asyncio.Event()
        self._failures = 0

    @property
    def is_on(self) -> bool:
        """Whether it obeyed last when it was switched on."""
        return bool(self._is)

    def want(self, on: bool) -> None:
        """On or off from now on."""
        if on != self._wanted:
            self._wanted = on
            self._changed.set()

    async def run(self) -> None:
        """Switch it until cancelled."""
        config = self._space.siren
        while config is not None:
            self._changed.clear()
            done = True
            if self._wanted or self._is is not False:
                done = await self._switch(config, self._wanted)
            try:
                async with asyncio.timeout(REFRESH_S if done else AGAIN_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _switch(self, config: SirenConfig, on: bool) -> bool:
        try:
            await self._tell(config, on)
        except (TocsinError, TimeoutError) as exc:
            why = exc.message if isinstance(exc, TocsinError) else "no answer in time"
            self._failures += 1
            if self._failures == _PATIENCE:
                _log.error("the siren of %s does not obey: %s", self._space.id, why)
                self._told(self._space.id, False, why)
            return False
        if on != self._is and (on or self._is is not None):
            _log.warning("the siren of %s is %s", self._space.id, "on" if on else "off")
        if self._failures >= _PATIENCE or on != self._is:
            self._told(self._space.id, True, "on" if on else "off")
        self._failures, self._is = 0, on
        return True

    async def _tell(self, config: SirenConfig, on: bool) -> None:
        if config.output:
            output = self._output(config.output)
            if output is None:
                raise TocsinError(f"no output {config.output!r} any more")
            output.held = on
            self._sound()
            return
        carrier = self._carrier(config.device)
        if carrier is None:
            raise TocsinError(f"no device {config.device!r} any more")
        args = config.on if on else config.off
        async with asyncio.timeout(_WITHIN_S * 2):
            await carrier.command(config.device, config.command, dict(args), _WITHIN_S)
