"""Bodies of the messages other than positions: decode and encode (2019 edition, clause 8)."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from firmware_bridges.jt808.frames import Header
from tocsin.errors import CodecError, CodecReason

ENCODING = "gbk"


class Id(IntEnum):
    """Message ids used here."""

    TERMINAL_ACK = 0x0001
    HEARTBEAT = 0x0002
    LOGOUT = 0x0003
    RESEND_PARTS_UP = 0x0005
    REGISTER = 0x0100
    AUTH = 0x0102
    PARAMETERS = 0x0104
    ATTRIBUTES = 0x0107
    UPGRADED = 0x0108
    LOCATION = 0x0200
    LOCATION_ANSWER = 0x0201
    EVENT = 0x0301
    VEHICLE_CONTROL_ANSWER = 0x0500
    WAYBILL = 0x0701
    DRIVER = 0x0702
    BATCH = 0x0704
    MEDIA_EVENT = 0x0800
    MEDIA = 0x0801
    TRANSPARENT_UP = 0x0900
    PLATFORM_ACK = 0x8001
    RESEND_PARTS = 0x8003
    REGISTER_ACK = 0x8100
    SET_PARAMETERS = 0x8103
    ASK_PARAMETERS = 0x8104
    CONTROL = 0x8105
    ASK_SOME_PARAMETERS = 0x8106
    ASK_ATTRIBUTES = 0x8107
    ASK_LOCATION = 0x8201
    TRACK = 0x8202
    TEXT = 0x8300
    MEDIA_ACK = 0x8800
    TRANSPARENT_DOWN = 0x8900


class Result(IntEnum):
    """Result of a general answer (0x0001, 0x8001)."""

    OK = 0
    FAILED = 1
    WRONG = 2
    UNSUPPORTED = 3


class RegisterResult(IntEnum):
    """Result of a registration (0x8100)."""

    OK = 0
    VEHICLE_TAKEN = 1
    NO_VEHICLE = 2
    TERMINAL_TAKEN = 3
    NO_TERMINAL = 4


class Ack(msgspec.Struct, frozen=True):
    """General answer of either side: 0x0001, 0x8001."""

    serial: int
    msg_id: int
    result: int


class Register(msgspec.Struct, frozen=True):
    """Registration 0x0100; `layout` is the edition its field widths belong to."""

    province: int
    city: int
    manufacturer: str
    model: str
    terminal_id: str
    plate_colour: int
    plate: str
    layout: str


class RegisterAck(msgspec.Struct, frozen=True):
    """Answer to a registration 0x8100; `auth_code` only where `result` is 0."""

    serial: int
    result: int
    auth_code: str = ""


class Auth(msgspec.Struct, frozen=True):
    """Authentication 0x0102; the 2019 edition adds IMEI and software version."""

    auth_code: str
    imei: str | None = None
    software: str | None = None


class Parameter(msgspec.Struct, frozen=True):
    """One terminal parameter (0x0104, 0x8103)."""

    id: int
    data: bytes

    @property
    def number(self) -> int:
        """`data` as one unsigned number."""
        return int.from_bytes(self.data, "big")


class Text(msgspec.Struct, frozen=True):
    """Text to a terminal 0x8300; `kind` (1 notice, 2 service) only in the 2019 edition."""

    flags: int
    text: str
    kind: int | None = None


class ResendRequest(msgspec.Struct, frozen=True):
    """Parts that are missing (0x0005, 0x8003); `serial` is that of the first part."""

    serial: int
    parts: tuple[int, ...]


def text(data: bytes) -> str:
    """GBK with replacement, without the zeroes that fill it up."""
    return data.strip(b"\0").decode(ENCODING, "replace")


def _need(data: bytes, size: int, what: str) -> None:
    if len(data) < size:
        raise CodecError(
            CodecReason.TRUNCATED, f"{what} has at least {size} bytes, {len(data)} are there"
        )


def _fill(value: str, size: int) -> bytes:
    return value.encode(ENCODING, "replace")[:size].ljust(size, b"\0")


def decode_ack(data: bytes) -> Ack:
    """0x0001 and 0x8001."""
    _need(data, 5, "a general answer")
    return Ack(*struct.unpack_from(">HHB", data))


def encode_ack(ack: Ack) -> bytes:
    """0x0001 and 0x8001."""
    return struct.pack(">HHB", ack.serial, ack.msg_id, ack.result)


# Manufacturer, model, terminal id (2011 edition; supplement of 2013; 2019 edition, clause 8.8).
_LAYOUTS = {"2011": (5, 8, 7), "2013": (5, 20, 7), "2019": (11, 30, 30)}


def _register_bytes(layout: str) -> int:
    return 4 + sum(_LAYOUTS[layout]) + 1


def decode_register(data: bytes, versioned: bool) -> Register:
    """0x0100. The 2019 layout goes with its header; between the older two the length decides."""
    layout = "2019" if versioned and len(data) >= _register_bytes("2019") else "2013"
    if layout == "2013" and len(data) < _register_bytes("2013"):
        layout = "2011"
    _need(data, _register_bytes(layout), "a registration")
    province, city = struct.unpack_from(">HH", data)
    fields, at = [], 4
    for size in _LAYOUTS[layout]:
        fields.append(text(data[at : at + size]))
        at += size
    manufacturer, model, terminal_id = fields
    plate = text(data[at + 1 :])
    return Register(province, city, manufacturer, model, terminal_id, data[at], plate, layout)


def encode_register(register: Register) -> bytes:
    """0x0100 in the widths of `layout`."""
    values = (register.manufacturer, register.model, register.terminal_id)
    fields = zip(values, _LAYOUTS[register.layout], strict=True)
    return (
        struct.pack(">HH", register.province, register.city)
        + b"".join(_fill(value, size) for value, size in fields)
        + bytes((register.plate_colour,))
        + register.plate.encode(ENCODING, "replace")
    )


def decode_register_ack(data: bytes) -> RegisterAck:
    """0x8100."""
    _need(data, 3, "an answer to a registration")
    serial, result = struct.unpack_from(">HB", data)
    return RegisterAck(serial, result, text(data[3:]))


def encode_register_ack(answer: RegisterAck) -> bytes:
    """0x8100."""
    code = answer.auth_code.encode(ENCODING, "replace") if answer.result == 0 else b""
    return struct.pack(">HB", answer.serial, answer.result) + code


def decode_auth(data: bytes, versioned: bool) -> Auth:
    """0x0102: in the 2019 edition a length, the code, IMEI and software version; before, the code alone."""
    if versioned and data and 1 + data[0] <= len(data):
        at = 1 + data[0]
        return Auth(text(data[1:at]), text(data[at : at + 15]), text(data[at + 15 : at + 35]))
    return Auth(text(data))


def encode_auth(auth: Auth, versioned: bool) -> bytes:
    """0x0102."""
    code = auth.auth_code.encode(ENCODING, "replace")
    if not versioned:
        return code
    return bytes((len(code),)) + code + _fill(auth.imei or "", 15) + _fill(auth.software or "", 20)


def decode_parameters(data: bytes) -> tuple[Parameter, ...]:
    """The list in 0x0104 (after its serial) and 0x8103: a count, then id u32, length u8, value.

    Terminals exist that count more than they send: the list ends with the body.
    """
    _need(data, 1, "a list of parameters")
    found: list[Parameter] = []
    at = 1
    for _ in range(data[0]):
        if at == len(data):
            break
        if at + 5 > len(data) or at + 5 + data[at + 4] > len(data):
            raise CodecError(CodecReason.TRUNCATED, "the list of parameters is cut off", offset=at)
        end = at + 5 + data[at + 4]
        found.append(Parameter(int.from_bytes(data[at : at + 4], "big"), data[at + 5 : end]))
        at = end
    return tuple(found)


def encode_parameters(parameters: tuple[Parameter, ...]) -> bytes:
    """The list in 0x0104 and 0x8103."""
    return bytes((len(parameters),)) + b"".join(
        struct.pack(">IB", p.id, len(p.data)) + p.data for p in parameters
    )


def decode_text(data: bytes, versioned: bool) -> Text:
    """0x8300."""
    _need(data, 2 if versioned else 1, "a text")
    if versioned:
        return Text(data[0], text(data[2:]), data[1])
    return Text(data[0], text(data[1:]))


def encode_text(message: Text, versioned: bool) -> bytes:
    """0x8300."""
    kind = bytes((message.kind or 1,)) if versioned else b""
    return bytes((message.flags,)) + kind + message.text.encode(ENCODING, "replace")


def decode_resend(data: bytes, versioned: bool) -> ResendRequest:
    """0x0005 and 0x8003: the count has two bytes in the 2019 edition, one before."""
    width = 2 if versioned else 1
    _need(data, 2 + width, "a request for parts")
    parts = data[2 + width :]
    count = min(int.from_bytes(data[2 : 2 + width], "big"), len(parts) // 2)
    return ResendRequest(int.from_bytes(data[:2], "big"), struct.unpack_from(f">{count}H", parts))


def encode_resend(request: ResendRequest, versioned: bool) -> bytes:
    """0x0005 and 0x8003."""
    count = len(request.parts)
    return struct.pack(
        f">H{'H' if versioned else 'B'}{count}H", request.serial, count, *request.parts
    )


def versioned(header: Header) -> bool:
    """Whether bodies of this link follow the 2019 edition."""
    return header.version is not None
