"""One frame as plain values: the door of `tocsin decode hj212`."""

from __future__ import annotations

from typing import Any

from firmware_bridges.hj212.frames import crc, decode_frame
from firmware_bridges.hj212.segment import parse
from firmware_bridges.modbus.crc import crc16 as crc16_modbus
from tocsin.sdk.codec import FrameInput


def describe(given: FrameInput) -> dict[str, Any]:
    """Frame, header and parameters. Accepted variants: any CRC; `variant` then says which it is.

    Raises:
        CodecError: the frame is refused.
    """
    frame = decode_frame(given.data.lstrip(), any_crc=given.accept_variants)
    segment = parse(frame.segment)
    modbus = f"{crc16_modbus(frame.segment):04X}"
    facts: dict[str, Any] = {
        "declared_length": len(frame.segment),
        "length_ok": True,
        "crc": frame.crc,
        "crc_computed": f"{crc(frame.segment):04X}",
        "crc_ok": frame.crc_ok,
        "modbus_crc_also": modbus,
        "head": segment.head,
    }
    if not frame.crc_ok:
        facts["variant"] = "crc-modbus" if frame.crc.upper() == modbus else "crc-unknown"
    if (flag := segment.flag) is not None:
        facts["flag_bits"] = {
            "needs_ack": bool(flag & 1),
            "subpackets": bool(flag & 2),
            "version_bits": flag >> 2,
        }
    return facts | {"cp_fields": segment.fields, "factors": segment.factors}
