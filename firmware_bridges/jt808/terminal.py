"""The virtual terminal's mind: its positions, what it stores while there is no link, and its answers. No I/O."""

from __future__ import annotations

from collections import deque

import msgspec

from firmware_bridges.jt808.frames import Frame, Header, encode_parts
from firmware_bridges.jt808.location import (
    Extra,
    Location,
    encode_batch,
    encode_location,
    time_bcd,
)
from firmware_bridges.jt808.messages import (
    Ack,
    Auth,
    Id,
    Parameter,
    Register,
    Result,
    decode_parameters,
    decode_resend,
    decode_text,
    encode_ack,
    encode_auth,
    encode_parameters,
    encode_register,
)
from firmware_bridges.nmea.route import Loop
from tocsin.errors import CodecError

_REPORT_INTERVAL = 0x0029  # seconds between positions by default
_ACC, _FIX = 1, 2


class Identity(msgspec.Struct, frozen=True):
    """Who the terminal is."""

    phone: str
    edition: str = "2013"
    terminal_id: str = "TC00001"
    plate: str = "粤B12345"

    @property
    def version(self) -> int | None:
        """The version byte of its headers."""
        return 1 if self.edition == "2019" else None


class Reported(msgspec.Struct, frozen=True):
    """One position, with its time in whole seconds and its values in the catalogue's units for the ledger."""

    location: Location
    time_ns: int
    values: dict[str, float | int | bool | None]


class Outgoing(msgspec.Struct, frozen=True):
    """Frames of one message; `serials` are those an answer may name."""

    frames: tuple[bytes, ...]
    serials: tuple[int, ...]
    msg_id: int


class Terminal:
    """Makes messages and reads the platform's."""

    def __init__(
        self,
        who: Identity,
        *,
        clock_error_s: float = 0.0,
        part_bytes: int = 1023,
        keep: int = 10_000,
    ) -> None:
        self.who = who
        self.report_s: float | None = None
        self.texts: list[str] = []
        self.stored: deque[Reported] = deque(maxlen=keep)
        self._clock_error_ns, self._part_bytes = int(clock_error_s * 1e9), part_bytes
        self._loop, self._serial, self._last_ns = Loop(), 0, 0
        self._newest: Location | None = None
        self._parts: dict[int, bytes] = {}

    def position(self, elapsed_s: float, wall_ns: int, *, fix: bool = True) -> Reported:
        """Where it is now. Times are whole seconds and never repeat, so a fast one runs ahead of the clock."""
        told_ns = (wall_ns + self._clock_error_ns) // 1_000_000_000 * 1_000_000_000
        self._last_ns = told_ns = max(told_ns, self._last_ns + 1_000_000_000)
        here = self._loop.at(elapsed_s)
        odometer, fuel, speed = int(elapsed_s / 10), 600, round(here.speed * 36)
        location = Location(
            alarm=0,
            status=_ACC | (_FIX if fix else 0),
            lat=round(here.lat * 1e6),
            lon=round(here.lon * 1e6),
            altitude_m=round(here.alt),
            speed_dkmh=speed,
            course_deg=int(here.course) % 360,
            time_bcd=time_bcd(told_ns),
            extras=(
                Extra(0x01, odometer.to_bytes(4, "big")),
                Extra(0x02, fuel.to_bytes(2, "big")),
                Extra(0x30, b"\x1c"),
                Extra(0x31, b"\x0b"),
            ),
        )
        self._newest = location
        where: dict[str, float | int | bool | None] = {
            "lat": location.lat / 1e6,
            "lon": location.lon / 1e6,
            "alt": float(location.altitude_m),
            "speed": speed / 10 / 3.6,
            "course": float(location.course_deg),
        }
        if not fix:
            where = dict.fromkeys(where)
        values = where | {
            "fix": 2 if fix else 0,
            "satellites": 11,
            "odometer": odometer / 10,
            "fuel": fuel / 10,
            "ignition": True,
            "emergency": False,
        }
        return Reported(location, told_ns, values)

    def register(self) -> Outgoing:
        """0x0100."""
        made = Register(
            44, 303, "TOCSN", "VT-1", self.who.terminal_id, 1, self.who.plate, self.who.edition
        )
        return self._message(Id.REGISTER, encode_register(made))

    def auth(self, code: str) -> Outgoing:
        """0x0102."""
        wide = self.who.version is not None
        return self._message(Id.AUTH, encode_auth(Auth(code, "860000000000001", "1.0"), wide))

    def heartbeat(self) -> Outgoing:
        """0x0002."""
        return self._message(Id.HEARTBEAT)

    def report(self, one: Reported) -> Outgoing:
        """0x0200."""
        return self._message(Id.LOCATION, encode_location(one.location))

    def batch(self, many: tuple[Reported, ...]) -> Outgoing:
        """0x0704 of kind 1: what was kept while there was no link."""
        return self._message(Id.BATCH, encode_batch(1, tuple(one.location for one in many)))

    def answer(self, frame: Frame) -> tuple[Outgoing, ...]:
        """What the terminal says to a message of the platform; nothing to its answers."""
        head = frame.header
        try:
            match head.msg_id:
                case Id.PLATFORM_ACK | Id.REGISTER_ACK:
                    return ()
                case Id.RESEND_PARTS:
                    return self._again(frame)
                case Id.ASK_LOCATION if self._newest is not None:
                    body = head.serial.to_bytes(2, "big") + encode_location(self._newest)
                    return (self._message(Id.LOCATION_ANSWER, body),)
                case Id.ASK_PARAMETERS | Id.ASK_SOME_PARAMETERS:
                    now = int(self.report_s or 0).to_bytes(4, "big")
                    body = encode_parameters((Parameter(_REPORT_INTERVAL, now),))
                    return (self._message(Id.PARAMETERS, head.serial.to_bytes(2, "big") + body),)
                case Id.SET_PARAMETERS:
                    for parameter in decode_parameters(frame.body):
                        if parameter.id == _REPORT_INTERVAL and parameter.number:
                            self.report_s = float(parameter.number)
                case Id.TEXT:
                    self.texts.append(decode_text(frame.body, head.version is not None).text)
                case Id.TRACK:
                    self.report_s = float(int.from_bytes(frame.body[:2], "big")) or None
                case _:
                    return (self._ack(head, Result.UNSUPPORTED),)
        except CodecError:
            return (self._ack(head, Result.WRONG),)
        return (self._ack(head, Result.OK),)

    def _ack(self, head: Header, result: Result) -> Outgoing:
        return self._message(Id.TERMINAL_ACK, encode_ack(Ack(head.serial, head.msg_id, result)))

    def _again(self, frame: Frame) -> tuple[Outgoing, ...]:
        asked = decode_resend(frame.body, frame.header.version is not None)
        serials = [(asked.serial + index - 1) & 0xFFFF for index in asked.parts]
        frames = tuple(self._parts[s] for s in serials if s in self._parts)
        return (Outgoing(frames, (), Id.BATCH),)

    def _message(self, msg_id: int, body: bytes = b"") -> Outgoing:
        header = Header(msg_id, self.who.phone, self._serial, self.who.version)
        made = list(encode_parts(header, body, self._part_bytes))
        self._serial = (self._serial + len(made)) & 0xFFFF
        serials = tuple(head.serial for head, _ in made)
        if len(made) > 1:
            self._parts = {head.serial: data for head, data in made}
        return Outgoing(tuple(data for _, data in made), serials, msg_id)
