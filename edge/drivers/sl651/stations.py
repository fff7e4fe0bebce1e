"""The configured stations, and what each has told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from edge.drivers.sl651.config import Sl651Config, StationConfig
from edge.remembered import Remembered
from firmware_bridges.sl651.body import Body
from firmware_bridges.sl651.samples import Element, Plan, standard
from tocsin.sdk import CommandSpec, DeviceSpec, SourceWindow

COMMANDS = (
    CommandSpec("read", "Ask for what the station measures now (37H)"),
    CommandSpec("set-clock", "Set the station's clock to the gateway's (4AH)"),
    CommandSpec("clock", "Ask for the station's time (51H)"),
    CommandSpec("version", "Ask for the station's software version (45H)"),
)


class Station:
    """One station of the configuration."""

    def __init__(self, config: StationConfig, window: SourceWindow) -> None:
        self.config = config
        always, named = standard()
        known = always | named
        self.plan = Plan(
            {
                code: known[code] if e.quantity is None else Element(e.quantity, e.unit)
                for code, e in config.elements.items()
            }
        )
        self.spec = DeviceSpec(
            config.id,
            config.measurement,
            self.plan.channels,
            config.period_s,
            window,
            config.model,
            COMMANDS,
        )
        self.keeping = asyncio.Lock()  # a new link may send again what the old one is still keeping
        self.told = Remembered()

    @property
    def id(self) -> str:
        """Id of the device."""
        return self.config.id

    def admits(self, password: bytes) -> bool:
        """Whether frames with this password are the station's."""
        wanted = self.config.password
        return wanted is None or hmac.compare_digest(password.hex(), wanted.reveal().lower())

    def key(self, function: int, body: bytes, told: Body) -> bytes:
        """What makes a report the same one: all but its serial and send time, which change as it is sent again."""
        dated = told.obs_time is not None
        return hashlib.blake2b(
            bytes((function,)) + (body[8:] if dated else body), digest_size=12
        ).digest()


def stations(config: Sl651Config) -> dict[str, Station]:
    """All of them by address."""
    window = SourceWindow(config.max_past_s, config.max_future_s)
    return {one.station.lower(): Station(one, window) for one in config.devices}
