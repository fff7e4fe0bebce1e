"""One frame as plain values: the door of `tocsin decode jt808`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_bridges.jt808 import more
from firmware_bridges.jt808.frames import Frame, decode_frame
from firmware_bridges.jt808.location import (
    Batch,
    Extra,
    Location,
    decode_batch,
    decode_location,
)
from firmware_bridges.jt808.messages import (
    Id,
    Parameter,
    decode_ack,
    decode_auth,
    decode_parameters,
    decode_register,
    decode_register_ack,
    decode_resend,
    decode_text,
    versioned,
)
from tocsin.errors import CodecError
from tocsin.sdk.codec import FrameInput

Facts = dict[str, Any]
_RSA = 1


def describe(given: FrameInput) -> Facts:
    """Header, and the body as far as it is known. A good frame's body that cannot be read stays as `body_hex`.

    Raises:
        CodecError: the frame is refused.
    """
    return describe_frame(decode_frame(given.data))


def describe_frame(frame: Frame) -> Facts:
    """The same of a decoded frame."""
    header = frame.header
    facts: Facts = {
        "checksum": f"0x{frame.check:02X}",
        "checksum_ok": True,
        "msg_id": f"0x{header.msg_id:04X}",
        "body_length": len(frame.body),
        "body_length_ok": True,
        "encryption": header.encryption,
        "subpackaged": header.parted,
        "version_flag": versioned(header),
        "terminal_phone": header.phone,
        "serial": header.serial,
    }
    if header.version is not None:
        facts["protocol_version"] = header.version
    if header.parted:
        facts |= {"package_total": header.total, "package_index": header.index}
    known: Facts = {}
    first = not header.parted or header.index <= 1  # a first part is read as far as it goes
    if frame.body and first and not header.encryption & _RSA:
        try:
            known = _body(header.msg_id, frame.body, versioned(header))
        except CodecError as error:
            known = {"body_error": error.message}
    if frame.body and (header.parted or not known.keys() & {"location", "batch"}):
        facts["body_hex"] = frame.body.hex()
    return facts | known


def _body(msg_id: int, body: bytes, is_2019: bool) -> Facts:
    reader = _READERS.get(msg_id)
    return reader(body, is_2019) if reader else {}


def _answered_location(body: bytes, _: bool) -> Facts:
    place = decode_location(body[2:])
    return {
        "answer_serial": int.from_bytes(body[:2], "big"),
        "location": location(place),
        "body_hex": body.hex(),
    }


def _parameters(body: bytes, _: bool) -> Facts:
    return {"parameters": [_parameter(p) for p in decode_parameters(body)]}


def _answered_parameters(body: bytes, is_2019: bool) -> Facts:
    return {"answer_serial": int.from_bytes(body[:2], "big")} | _parameters(body[2:], is_2019)


def _parameter(parameter: Parameter) -> Facts:
    return {"id": f"0x{parameter.id:04X}", "hex": parameter.data.hex()}


def _plain(value: Any) -> Facts:
    fields = value.__struct_fields__
    return {name: v for name in fields if (v := getattr(value, name)) is not None}


def _ack(body: bytes, _: bool) -> Facts:
    ack = decode_ack(body)
    return {"ack": {"serial": ack.serial, "msg_id": f"0x{ack.msg_id:04X}", "result": ack.result}}


def _resend(body: bytes, is_2019: bool) -> Facts:
    asked = decode_resend(body, is_2019)
    return {"resend": {"serial": asked.serial, "parts": list(asked.parts)}}


_READERS: dict[int, Callable[[bytes, bool], Facts]] = {
    Id.TERMINAL_ACK: _ack,
    Id.PLATFORM_ACK: _ack,
    Id.RESEND_PARTS_UP: _resend,
    Id.RESEND_PARTS: _resend,
    Id.REGISTER: lambda b, v: {"register": _plain(decode_register(b, v))},
    Id.REGISTER_ACK: lambda b, _: {"register_ack": _plain(decode_register_ack(b))},
    Id.AUTH: lambda b, v: {"auth": _plain(decode_auth(b, v))},
    Id.PARAMETERS: _answered_parameters,
    Id.SET_PARAMETERS: _parameters,
    Id.ASK_SOME_PARAMETERS: lambda b, _: {"parameter_ids": more.counted_list(b, 4)},
    Id.ATTRIBUTES: lambda b, v: {"attributes": more.attributes(b, v)},
    Id.LOCATION: lambda b, _: {"location": location(decode_location(b))},
    Id.LOCATION_ANSWER: _answered_location,
    Id.VEHICLE_CONTROL_ANSWER: _answered_location,
    Id.DRIVER: lambda b, _: {"driver": more.driver(b)},
    Id.BATCH: lambda b, _: {"batch": batch(decode_batch(b))},
    Id.MEDIA_EVENT: lambda b, _: {"media_event": more.media_event(b)},
    Id.MEDIA: lambda b, _: {"media": more.media(b)},
    Id.TRANSPARENT_UP: lambda b, _: {"transparent": more.transparent(b)},
    Id.TRANSPARENT_DOWN: lambda b, _: {"transparent": more.transparent(b)},
    Id.TRACK: lambda b, _: {"track": more.track(b)},
    Id.TEXT: lambda b, v: {"text": _plain(decode_text(b, v))},
}


def location(place: Location) -> Facts:
    """A position; degrees with sign, local time with its zone."""
    at = place.time()
    facts: Facts = {
        "alarm_flags": place.alarm,
        "status_flags": place.status,
        "acc_on": place.acc_on,
        "fix_valid": place.fix_valid,
        "lat": place.lat / 1e6,
        "lon": place.lon / 1e6,
        "altitude_m": place.altitude_m,
        "speed_kmh": place.speed_dkmh / 10,
        "course_deg": place.course_deg,
        "time": at.isoformat() if at else None,
        "extras": [_extra(item) for item in place.extras],
    }
    if at is None:
        facts["time_hex"] = place.time_bcd.hex()
    if place.tail:
        facts["trailing_hex"] = place.tail.hex()
    return facts


def batch(positions: Batch) -> Facts:
    """Message 0x0704."""
    facts: Facts = {
        "count": positions.count,
        "type": positions.kind,
        "items": [location(item) for item in positions.items],
        "trailing_bytes": len(positions.tail),
    }
    return facts | ({"broken_items": positions.broken} if positions.broken else {})


def _extra(item: Extra) -> Facts:
    return {"id": f"0x{item.id:02X}", "hex": item.data.hex()} | _known_extra(item)


def _known_extra(item: Extra) -> Facts:
    """The items whose meaning the standard gives; a length it does not give leaves them unread (table 27)."""
    number = item.number
    match item.id, len(item.data):
        case 0x01, 4:
            return {"odometer_km": number / 10}
        case 0x02, 2:
            return {"fuel_l": number / 10}
        case 0x03, 2:
            return {"recorder_speed_kmh": number / 10}
        case 0x04, 2:
            return {"alarm_event_id": number}
        case 0x25, 4:
            return {"ext_status": number}
        case 0x2A, 2:
            return {"io_status": number}
        case 0x2B, 4:
            return {"analog": [number & 0xFFFF, number >> 16]}
        case 0x30, 1:
            return {"rssi": number}
        case 0x31, 1:
            return {"satellites": number}
        case _:
            return {}
