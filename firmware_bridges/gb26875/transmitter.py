"""The virtual transmitter's mind: what it tells of its site, in which frames, and how it answers the centre. No I/O."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from firmware_bridges.gb26875.app_data import decode_app, encode_app, time_bytes
from firmware_bridges.gb26875.frames import Command, Frame
from firmware_bridges.gb26875.samples import values_of
from tocsin.contract.catalogue import Value
from tocsin.errors import CodecError

ZONE = timezone(timedelta(hours=8))
PANEL = {"system_type": 1, "system_addr": 3}
DETECTOR = {**PANEL, "component_type": 42, "component_addr": 393433}
HYDRANT = {"system_type": 11, "system_addr": 1, "component_type": 99, "component_addr": 7}
_PLACE = "三层东侧走廊烟感"
_NORMAL, _FIRE, _FAULT = 1, 2, 4


class Message(msgspec.Struct, frozen=True):
    """One data message, with its own time in whole seconds and what it tells for the ledger."""

    kind: int
    app: bytes
    t_ns: int
    values: dict[str, Value]


class Transmitter:
    """Makes messages and answers commands."""

    def __init__(self, address: bytes, *, clock_error_s: float = 0.0, serial: int = 0) -> None:
        self._address, self._serial = address, serial
        self._clock_error_ns, self._last_ns = int(clock_error_s * 1e9), 0
        self._wall_ns = 0
        self.fire = self.fault = False
        self.told: list[Message] = []  # what a command made it tell

    def frame(self, command: Command, app: bytes, serial: int | None = None) -> Frame:
        """A frame to the centre; a new serial unless one is answered."""
        if serial is None:
            serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        return Frame(serial, (1, 1), time_bytes(self._now()), self._address, bytes(6), command, app)

    def status(self, wall_ns: int) -> Message:
        """Its own state (21): this keeps the link alive."""
        word = _NORMAL | (_FIRE if self.fire else 0) | (_FAULT if self.fault else 0)
        return self._message(21, {"uitd_status": word}, wall_ns)

    def panel(self, wall_ns: int) -> Message:
        """The word of the fire panel (1)."""
        word = _NORMAL | (_FIRE if self.fire else 0) | (_FAULT if self.fault else 0)
        return self._message(1, {**PANEL, "status": word}, wall_ns)

    def detector(self, wall_ns: int) -> Message:
        """The state of a smoke detector (2)."""
        word = _NORMAL | (_FIRE if self.fire else 0)
        return self._message(2, {**DETECTOR, "status": word, "description": _PLACE}, wall_ns)

    def pressure(self, wall_ns: int, elapsed_s: float) -> Message:
        """The water pressure of a hydrant (3), in 0.1 kPa."""
        raw = round(4000 + 150 * math.sin(elapsed_s / 7))
        return self._message(3, {**HYDRANT, "analog_type": 5, "analog_raw": raw}, wall_ns)

    def reset(self, wall_ns: int) -> Message:
        """Someone reset the panel (4)."""
        self.fire = False
        return self._message(4, {**PANEL, "operation": 1, "operator": 5}, wall_ns)

    def answer(self, frame: Frame, wall_ns: int) -> Frame | None:
        """The answer to the centre's frame; None for its confirmations and denials."""
        self._wall_ns = wall_ns
        if frame.command not in (Command.CONTROL, Command.REQUEST):
            return None
        try:
            asked = decode_app(frame.app)
            app = self._obeyed(asked["type"], asked.get("objects") or [{}], wall_ns)
        except (CodecError, LookupError):
            return self.frame(Command.DENY, b"", frame.serial)
        command = Command.CONFIRM if frame.command == Command.CONTROL else Command.RESPOND
        return self.frame(command, app, frame.serial)

    def _obeyed(self, kind: int, objects: list[dict[str, Any]], wall_ns: int) -> bytes:
        one = objects[0]
        match kind:
            case 90:
                told = datetime.fromisoformat(one["time"]).replace(tzinfo=ZONE)
                self._clock_error_ns = int(told.timestamp() * 1e9) - wall_ns
                self._last_ns = 0
                return b""
            case 91:
                word = {"operation": 0x20, "operator": 5}
                self.told.append(self._message(24, word, wall_ns))
                return b""
            case 61:
                return self.panel(wall_ns).app
            case 62:
                return self.detector(wall_ns).app
            case 63:
                return self.pressure(wall_ns, 0.0).app
            case 81:
                return self.status(wall_ns).app
            case 85:
                return encode_app(25, [{"version": "2.7"}])
            case 86:
                return encode_app(26, [{"config": "虚拟用户信息传输装置"}])
            case 88:
                return encode_app(28, [{"time": self._now().replace(tzinfo=None).isoformat()}])
        raise LookupError(kind)

    def _message(self, kind: int, one: dict[str, Any], wall_ns: int) -> Message:
        """Times are whole seconds and never repeat, so that a quick one runs ahead of its clock."""
        self._wall_ns = wall_ns
        now_ns = (wall_ns + self._clock_error_ns) // 1_000_000_000 * 1_000_000_000
        self._last_ns = max(now_ns, self._last_ns + 1_000_000_000)
        local = datetime.fromtimestamp(self._last_ns // 1_000_000_000, ZONE).replace(tzinfo=None)
        app = encode_app(kind, [one | {"time": local.isoformat()}])
        (told,) = decode_app(app)["objects"]
        return Message(kind, app, self._last_ns, values_of(kind, told))

    def _now(self) -> datetime:
        return datetime.fromtimestamp((self._wall_ns + self._clock_error_ns) // 10**9, ZONE)
