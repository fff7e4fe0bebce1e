"""The virtual station's mind: its rain and water level, its reports, and how it answers the centre. No I/O."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import msgspec

from firmware_bridges.sl651.body import element, head, level_array, rain_array, report, time_of
from firmware_bridges.sl651.frames import ETB, ETX, STX, SYN, Frame, encode_frame
from tocsin.contract.catalogue import Value

ZONE = timezone(timedelta(hours=8))
VERSION = "TOCSIN-VS1"
_RIVER, _SLOTS, _KEPT = 0x48, 12, 12
_TIP_MM = 0.5
_QUIET = (
    "battery_low",
    "level_alarm",
    "flow_alarm",
    "quality_alarm",
    "flow_gauge_fault",
    "level_gauge_fault",
    "door_open",
    "memory_fault",
)


class Row(msgspec.Struct, frozen=True):
    """What was told for one minute, in the catalogue's units."""

    t_ns: int
    values: dict[str, Value]


class Message(msgspec.Struct, frozen=True):
    """Frames of one report, by the number of the part, and what it tells."""

    function: int
    serial: int
    frames: tuple[bytes, ...]
    rows: tuple[Row, ...] = ()


class Station:
    """Every report has a minute of its own, later than the one before; a fast station runs ahead of the clock."""

    def __init__(
        self, address: str, *, password: bytes = b"\x12\x34", clock_error_s: float = 0.0
    ) -> None:
        self._address, self._password = address, password
        self._clock_error = timedelta(seconds=clock_error_s)
        self._minute: datetime | None = None
        self._serial = 0
        self.rain_mm, self.tips = 120.0, 0
        self._slots: list[tuple[datetime, float, float]] = []  # of the last hour: from, rain, level
        self.sent_parts: tuple[bytes, ...] = ()

    def now(self, wall_ns: int) -> datetime:
        """What its clock says."""
        return datetime.fromtimestamp(wall_ns / 1e9, ZONE).replace(microsecond=0) + (
            self._clock_error
        )

    def keepalive(self, wall_ns: int) -> bytes:
        """2F: never answered."""
        return self._frame(0x2F, head(self._next(), self.now(wall_ns)))

    def measure(self, wall_ns: int, *, function: int = 0x32) -> Message:
        """A timed report, or with 0x33 an added one after a tip of the bucket; 0x37 answers a query."""
        at = self._observed(wall_ns)
        if function == 0x33:
            self.tips += 1
            self.rain_mm += _TIP_MM
        level = round(12.0 + 1.5 * math.sin(at.timestamp() / 3000), 3)
        self._slots = [*self._slots, (at, _TIP_MM if function == 0x33 else 0.0, level)][-_KEPT:]
        voltage = 12.6
        told = (
            element("26", self.rain_mm, 3, 1)
            + element("39", level, 4, 3)
            + element("38", voltage, 2, 2)
            + bytes.fromhex("452000600481")
            + element("FF92", 20.1, 3, 1)
        )
        values: dict[str, Value] = {
            "rain_total": self.rain_mm,
            "level": level,
            "voltage": voltage,
            "status": 0x00600481,
            "mains_failed": True,  # a solar panel
            **dict.fromkeys(_QUIET, False),
            "extras": "FF92=20.1",
        }
        return self._report(function, wall_ns, at, told, (Row(_ns(at), values),))

    def hourly(self, wall_ns: int) -> Message:
        """34: twelve slots of five minutes, the last one now; FF before the station began."""
        at = self._observed(wall_ns)
        slots = [at - timedelta(minutes=5 * (_SLOTS - 1 - i)) for i in range(_SLOTS)]
        rain: list[float | None] = []
        levels: list[float | None] = []
        for slot in slots:
            seen = [s for s in self._slots if slot - timedelta(minutes=5) < s[0] <= slot]
            rain.append(sum(s[1] for s in seen) if seen else None)
            levels.append(round(seen[-1][2], 2) if seen else None)
        rows = tuple(
            Row(_ns(slot), {"rain_5min": mm, "level_5min": m})
            for slot, mm, m in zip(slots, rain, levels, strict=True)
        )
        told = rain_array(rain) + level_array("F5", levels)
        return self._report(0x34, wall_ns, at, told, rows)

    def picture(self, wall_ns: int, size: int, part_bytes: int) -> Message:
        """36: a picture in parts; only the last one is answered, a missing one asked for."""
        at = self._observed(wall_ns)
        data = b"\xff\xd8\xff\xe0" + bytes(i % 251 for i in range(size)) + b"\xff\xd9"
        body = report(
            self._next(), self.now(wall_ns), self._address, _RIVER, at, b"\xf3\xf3" + data
        )
        pieces = [body[i : i + part_bytes] for i in range(0, len(body), part_bytes)]
        self.sent_parts = tuple(
            self._frame(0x36, piece, (n, len(pieces))) for n, piece in enumerate(pieces, 1)
        )
        return Message(0x36, self._serial, self.sent_parts)

    def answer(self, frame: Frame, wall_ns: int) -> Message | None:
        """What it says to a query or an order; None where it says nothing."""
        where = b"\xf1\xf1" + bytes.fromhex(self._address)
        match frame.function:
            case 0x37:
                return self.measure(wall_ns, function=0x37)
            case 0x4A:
                if (told := time_of(frame.body[2:8])) is not None:
                    wanted = datetime.fromisoformat(told).replace(tzinfo=ZONE)
                    self._clock_error = wanted - datetime.fromtimestamp(wall_ns / 1e9, ZONE)
                    self._minute = None
                body = head(self._next(), self.now(wall_ns)) + where
            case 0x51:
                body = head(self._next(), self.now(wall_ns)) + where
            case 0x45:
                text = bytes((len(VERSION),)) + VERSION.encode()
                body = head(self._next(), self.now(wall_ns)) + where + text
            case _:
                return None
        return Message(frame.function, self._serial, (self._frame(frame.function, body),))

    def _observed(self, wall_ns: int) -> datetime:
        at = self.now(wall_ns).replace(second=0)
        if self._minute is not None:
            at = max(at, self._minute + timedelta(minutes=1))
        self._minute = at
        return at

    def _next(self) -> int:
        self._serial = self._serial % 0xFFFF + 1
        return self._serial

    def _report(
        self, function: int, wall_ns: int, at: datetime, told: bytes, rows: tuple[Row, ...]
    ) -> Message:
        sent = max(at, self.now(wall_ns))
        body = report(self._next(), sent, self._address, _RIVER, at, told)
        return Message(function, self._serial, (self._frame(function, body),), rows)

    def _frame(self, function: int, body: bytes, part: tuple[int, int] | None = None) -> bytes:
        index, total = part or (None, None)
        start, end = (SYN, ETX if index == total else ETB) if part else (STX, ETX)
        return encode_frame(
            Frame(
                True,
                "01",
                self._address,
                self._password,
                function,
                start,
                end,
                body,
                index,
                total,
            )
        )


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000
