"""The configured stations, and what each has told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import msgspec

from edge.drivers.hj212.config import Hj212Config, StationConfig
from edge.remembered import Remembered
from firmware_bridges.hj212.frames import Frame
from firmware_bridges.hj212.samples import Factor, Plan
from firmware_bridges.hj212.segment import Segment
from firmware_bridges.modbus.crc import crc16 as crc16_modbus
from tocsin.contract.quality import Quality
from tocsin.sdk import CommandSpec, DeviceSpec, Sample, SourceWindow

COMMANDS = (
    CommandSpec("read", "Ask for real-time data (2011)"),
    CommandSpec("stop", "Stop real-time data (2012)"),
    CommandSpec("clock", "Ask for the station's time (1011)"),
    CommandSpec("set-clock", "Set the station's clock to the gateway's (1012)"),
)


class Station:
    """One station of the configuration."""

    def __init__(self, config: StationConfig, window: SourceWindow) -> None:
        self.config = config
        named = {code: Factor(f.quantity, f.unit) for code, f in config.factors.items()}
        self.plan = Plan(config.measurement, named)
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

    def admits(self, password: str) -> bool:
        """Whether frames with this password are the station's."""
        wanted = self.config.password
        return wanted is None or hmac.compare_digest(password.encode(), wanted.reveal().encode())

    def doubt(self, frame: Frame) -> int | None:
        """The least quality of a frame's values; None: its CRC is refused."""
        if frame.crc_ok:
            return 0
        is_modbus = frame.crc.upper() == f"{crc16_modbus(frame.segment):04X}"
        if is_modbus and self.config.crc != "strict":
            return 0
        return int(Quality.UNCERTAIN) if self.config.crc == "any" else None

    def key(self, told: Segment, parameters: bytes) -> bytes:
        """What makes a message the same one: command and parameters, and the request's number if they tell no time."""
        dated = "DataTime" in told.fields or "AlarmTime" in told.fields
        name = told.head.get("CN", "") + ("" if dated else told.qn)
        return hashlib.blake2b(name.encode() + b"\0" + parameters, digest_size=12).digest()

    def fresh(self, rows: list[Sample], told: Segment) -> list[tuple[Sample, bytes | None]]:
        """Rows to keep, with their keys: a factor sampled before the message is told with each one until the next."""
        newest = max((r.source_ns for r in rows if r.source_ns is not None), default=None)
        found: list[tuple[Sample, bytes | None]] = []
        for row in rows:
            if row.source_ns in (None, newest):
                found.append((row, None))
                continue
            text = msgspec.json.encode((told.head.get("CN"), row.source_ns, row.values))
            key = hashlib.blake2b(text, digest_size=12).digest()
            if key not in self.told:
                found.append((row, key))
        return found


def stations(config: Hj212Config) -> dict[str, Station]:
    """All of them by MN."""
    window = SourceWindow(config.max_past_s, config.max_future_s)
    return {one.mn: Station(one, window) for one in config.devices}
