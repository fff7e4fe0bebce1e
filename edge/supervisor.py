"""Runs drivers. One that fails or crashes is said once, counted and run again; the others never notice."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from edge.devices import Devices
from tocsin.errors import DriverError, DriverReason, LinkError, TocsinError, UsageError
from tocsin.sdk import (
    Clock,
    DeviceSpec,
    Driver,
    DriverConfig,
    DriverContext,
    TakesChanges,
    TakesCommands,
    load_driver,
)

_log = logging.getLogger("edge.supervisor")

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
STABLE_S = 60.0


def backoff_s(attempt: int, pick: Callable[[float, float], float] = random.uniform) -> float:
    """Full jitter: anywhere up to 1, 2, 4 ... 60 s (attempt 0, 1, 2 ...)."""
    return pick(0.0, min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt, 16)))


def specs_of(config: DriverConfig, context: DriverContext) -> tuple[DeviceSpec, ...]:
    """The devices of a configured driver, built without I/O.

    Raises:
        TocsinError, ValueError, OSError: what the driver says of its configuration.
        DriverError: it crashed over it.
    """
    try:
        return load_driver(config.type)(config, context).devices
    except (TocsinError, ValueError, OSError):
        raise
    except Exception as exc:
        text = f"the driver crashed over this: {type(exc).__name__}: {exc}"
        raise DriverError(DriverReason.CLOSED, text) from exc


class Supervised:
    """One driver under supervision. `build` makes a fresh instance: a crashed one may be in any state."""

    def __init__(
        self,
        config: DriverConfig,
        build: Callable[[], Driver],
        devices: Devices,
        clock: Clock,
        counters: Counter[str],
    ) -> None:
        self._config, self._build = config, build
        self._devices, self._clock, self._counters = devices, clock, counters
        self._driver: Driver | None = None  # the one that runs
        self._said = ""
        self.state = "starting"
        self.restarts = 0

    @property
    def name(self) -> str:
        """The driver's name in the configuration."""
        return self._config.name

    @property
    def devices(self) -> tuple[str, ...]:
        """Ids of its devices."""
        return tuple(self._devices.of(self.name))

    @property
    def type(self) -> str:
        """Its driver."""
        return self._config.type

    @property
    def config(self) -> DriverConfig:
        """What it runs with."""
        return self._config

    def reconfigure(self, config: DriverConfig, build: Callable[[], Driver]) -> bool:
        """Have the running driver take another configuration; False when it must be run anew for that."""
        driver = self._driver
        if not isinstance(driver, TakesChanges) or not driver.reconfigure(config):
            return False
        self._config, self._build = config, build
        return True

    async def run(self) -> None:
        """Run until the source ends, or for ever.

        Raises:
            DriverError: it never worked and the configuration says `on_start_failure = "error"`.
        """
        attempt = 0
        while True:
            began_ns = self._clock.mono_ns()
            self.state = "running"
            error = await self._once()
            if error is None:
                self.state = "finished"
                self._devices.finished(self.name)
                _log.info("driver %s has come to the end of its source", self.name)
                return
            if not self._worked() and self._config.on_start_failure != "retry":
                self.state = "failed"
                if self._config.on_start_failure == "error":
                    raise error
                _log.warning("driver %s: going without it (on_start_failure)", self.name)
                return
            stable = self._clock.mono_ns() - began_ns >= STABLE_S * 1e9
            attempt = 0 if stable else attempt + 1
            self.state = "waiting"
            await self._clock.sleep(backoff_s(attempt - 1 if attempt else 0))
            self.restarts += 1
            self._counters["driver_restarts"] += 1

    async def _once(self) -> DriverError | None:
        """One run; None when it ended by itself."""
        try:
            self._driver = self._build()
            await self._driver.run()
        except DriverError as exc:
            self._counters["driver_errors"] += 1
            error = exc
        except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything; it must not stop the others
            self._counters["driver_crashes"] += 1
            self._crashed(exc)
            hint = exc.hint if isinstance(exc, TocsinError) else "this is a fault of the driver"
            error = DriverError(
                DriverReason.CLOSED, f"driver crashed: {type(exc).__name__}: {exc}", hint=hint
            )
        else:
            return None
        finally:
            self._driver = None
        for device in self._devices.of(self.name):
            self._devices.unavailable(device, error)
        return error

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Have the running driver carry out one command (`TakesCommands.command`).

        Raises:
            UsageError: the driver takes no commands, or not this one; nothing was sent.
            CommandRefusedError: nothing was sent.
            DriverError: not carried out, or nobody knows; see `TakesCommands`.
        """
        driver = self._driver
        if driver is None:
            raise LinkError(
                DriverReason.CLOSED, f"driver {self.name} is {self.state}", device=device
            )
        if not isinstance(driver, TakesCommands):
            raise UsageError(f"{device}: a {self.type} driver takes no commands")
        try:
            return await driver.command(device, name, args, within_s)
        except TocsinError:
            raise
        except Exception as exc:
            self._counters["driver_crashes"] += 1
            self._crashed(exc)
            text = f"the driver crashed: {type(exc).__name__}: {exc}"
            raise DriverError(DriverReason.NO_ANSWER, text, device=device) from exc

    def _crashed(self, exc: Exception) -> None:
        """The traceback of each kind of crash, once."""
        kind = f"{type(exc).__name__}: {exc}"
        if kind != self._said:
            self._said = kind
            _log.error("driver %s crashed and is run again", self.name, exc_info=exc)

    def _worked(self) -> bool:
        """Whether any of its devices ever answered."""
        return any(
            h.last_ok_ns is not None for h in self._devices.health() if h.driver == self.name
        )
