"""The virtual station's mind: its air, its messages, and how it answers the centre. No I/O."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import msgspec

from firmware_bridges.hj212.frames import encode_frame
from firmware_bridges.hj212.samples import time_of
from firmware_bridges.hj212.segment import Segment, segment
from tocsin.contract.catalogue import Value

ZONE = timezone(timedelta(hours=8))
_ANSWER_WANTED, _PARTED = 1, 2


class Message(msgspec.Struct, frozen=True):
    """Frames of one message, and what it tells, in the catalogue's units."""

    cn: str
    qn: str
    frames: tuple[bytes, ...]
    t_ns: int = 0
    values: dict[str, Value] = msgspec.field(default_factory=dict)


class Station:
    """Every message has a second of its own; a fast station runs ahead of the clock."""

    def __init__(
        self,
        mn: str,
        *,
        password: str = "123456",  # noqa: S107 - what stations have
        edition: str = "2017",
        clock_error_s: float = 0.0,
        modbus_crc: bool = False,
        part_factors: int = 0,
    ) -> None:
        self._mn, self._password, self._modbus = mn, password, modbus_crc
        self._version = 4 if edition == "2017" else 0
        self._clock_error, self._part_factors = timedelta(seconds=clock_error_s), part_factors
        self._second: datetime | None = None
        self._qn = 0
        self.stopped = False

    def now(self, wall_ns: int) -> datetime:
        """What its clock says."""
        return datetime.fromtimestamp(wall_ns / 1e9, ZONE).replace(microsecond=0) + (
            self._clock_error
        )

    def real_time(self, wall_ns: int, qn: str = "") -> Message:
        """2011."""
        at = self._own_second(wall_ns)
        pm25, so2 = self._air(at)
        told = {"a34004": (pm25, "N"), "a21026": (so2, "N"), "a01001": (None, "D")}
        items = [
            f"{code}-Rtd={'' if value is None else value},{code}-Flag={flag}"
            for code, (value, flag) in told.items()
        ]
        values: dict[str, Value] = {"pm25": pm25, "so2": so2}
        return self._data("2011", at, items, values, qn)

    def statistics(self, wall_ns: int, cn: str = "2051") -> Message:
        """2051, 2061 or 2031."""
        at = self._own_second(wall_ns)
        pm25, _ = self._air(at)
        low, high = round(pm25 - 1, 1), round(pm25 + 1, 1)
        items = [f"a34004-Min={low},a34004-Avg={pm25},a34004-Max={high},a34004-Flag=N"]
        values: dict[str, Value] = {
            "pm25_min": low,
            "pm25_avg": pm25,
            "pm25_max": high,
            "period": {"2051": 600, "2061": 3600, "2031": 86_400}[cn],
        }
        return self._data(cn, at, items, values)

    def ask_time(self, wall_ns: int) -> Message:
        """1013: the centre is asked to set the clock."""
        qn = self._number(self.now(wall_ns))
        return Message("1013", qn, (self._frame("91", "1013", qn, _ANSWER_WANTED),))

    def answer(self, told: Segment, wall_ns: int) -> tuple[Message, ...]:
        """What it says to a message of the centre."""
        cn, qn = told.head.get("CN", ""), told.qn
        if cn.startswith("901"):
            return ()
        if cn == "2012":
            self.stopped = True
            return (self._system("9013", qn),)
        if cn not in ("2011", "1011", "1012"):
            return (self._system("9011", qn, "QnRtn=2"),)
        first = self._system("9011", qn, "QnRtn=1")
        if cn == "2011":
            self.stopped = False
            return first, self.real_time(wall_ns, qn)
        if cn == "1012":
            wanted = time_of(told.fields.get("SystemTime", ""))
            if wanted is None:
                return first, self._system("9012", qn, "ExeRtn=2")
            at = datetime.fromtimestamp(wall_ns / 1e9, ZONE)
            self._clock_error, self._second = wanted.replace(tzinfo=ZONE) - at, None
            return first, self._system("9012", qn, "ExeRtn=1")
        time = f"SystemTime={self.now(wall_ns):%Y%m%d%H%M%S}"
        up = Message("1011", qn, (self._frame("22", "1011", qn, 0, time),))
        return first, up, self._system("9012", qn, "ExeRtn=1")

    def _air(self, at: datetime) -> tuple[float, float]:
        phase = at.timestamp() / 600
        return round(35 + 20 * math.sin(phase), 1), round(12 + 5 * math.cos(phase), 1)

    def _own_second(self, wall_ns: int) -> datetime:
        at = self.now(wall_ns)
        if self._second is not None:
            at = max(at, self._second + timedelta(seconds=1))
        self._second = at
        return at

    def _number(self, at: datetime) -> str:
        self._qn = (self._qn + 1) % 1000
        return f"{at:%Y%m%d%H%M%S}{self._qn:03d}"

    def _data(
        self, cn: str, at: datetime, items: list[str], values: dict[str, Value], qn: str = ""
    ) -> Message:
        qn = qn or self._number(at)
        size = self._part_factors or len(items)
        groups = [items[i : i + size] for i in range(0, len(items), size)]
        bodies = [";".join(group) for group in groups]
        bodies[0] = f"DataTime={at:%Y%m%d%H%M%S};{bodies[0]}"
        total = len(bodies)
        frames = tuple(
            self._frame("22", cn, qn, _ANSWER_WANTED, body, (n, total) if total > 1 else None)
            for n, body in enumerate(bodies, 1)
        )
        return Message(cn, qn, frames, int(at.timestamp()) * 1_000_000_000, values)

    def _system(self, cn: str, qn: str, parameters: str = "") -> Message:
        if not self._version:
            parameters = f"QN={qn}" + (f";{parameters}" if parameters else "")
        return Message(cn, qn, (self._frame("91", cn, qn, 0, parameters),))

    def _frame(
        self,
        st: str,
        cn: str,
        qn: str,
        flag: int,
        parameters: str = "",
        part: tuple[int, int] | None = None,
    ) -> bytes:
        head: dict[str, str | int] = {
            "QN": qn,
            "ST": st,
            "CN": cn,
            "PW": self._password,
            "MN": self._mn,
            "Flag": self._version | flag | (_PARTED if part else 0),
        }
        if part is not None:
            head |= {"PNUM": part[1], "PNO": part[0]}
        return encode_frame(segment(head, parameters), modbus=self._modbus)
