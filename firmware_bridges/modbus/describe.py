"""One Modbus frame as plain values: the door of `tocsin decode modbus` (Application Protocol V1.1b3, 6)."""

from __future__ import annotations

import struct
from typing import Any

from firmware_bridges.modbus.crc import crc16
from firmware_bridges.modbus.frames import MAX_PDU, MAX_RTU, MBAP_SIZE
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput

Facts = dict[str, Any]
_BITS, _REGISTERS = (1, 2), (3, 4)
_MOST_BITS = 2000


def describe(given: FrameInput) -> Facts:
    """Header and body. Without a `kind` it is TCP if it can only be that, else RTU.

    Raises:
        CodecError: the frame is refused.
    """
    data = given.data
    kind = given.kind or ("tcp" if _looks_like_tcp(data) else "rtu")
    if kind == "rtu":
        return _rtu(data)
    if kind == "tcp":
        return _tcp(data)
    raise CodecError(CodecReason.BAD_INPUT, f"kind is rtu or tcp, not {kind}")


def _looks_like_tcp(data: bytes) -> bool:
    if len(data) < MBAP_SIZE + 1 or data[2:4] != b"\x00\x00":
        return False
    return int.from_bytes(data[4:6], "big") == len(data) - 6 and crc16(data) != 0


def _rtu(data: bytes) -> Facts:
    if len(data) < 4:
        text = f"an RTU frame has at least 4 bytes, not {len(data)}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if len(data) > MAX_RTU:
        raise CodecError(CodecReason.OVERSIZED, f"an RTU frame has at most {MAX_RTU} bytes")
    told, counted = int.from_bytes(data[-2:], "little"), crc16(data[:-2])
    if told != counted:
        text = f"CRC is {told:04X}, counted {counted:04X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=len(data) - 2)
    facts = {"unit": data[0], **_pdu(data[1:-2], 1)}
    return facts | {"crc_ok": True}


def _tcp(data: bytes) -> Facts:
    if len(data) < MBAP_SIZE + 1:
        text = f"a TCP frame has at least {MBAP_SIZE + 1} bytes, not {len(data)}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    transaction, protocol, length, unit = struct.unpack_from(">HHHB", data)
    if protocol != 0:
        raise CodecError(CodecReason.FRAMING, f"protocol is {protocol}, not 0", offset=2)
    if length != len(data) - 6:
        reason = CodecReason.TRUNCATED if length > len(data) - 6 else CodecReason.LENGTH
        text = f"length is {length}, {len(data) - 6} bytes follow"
        raise CodecError(reason, text, offset=4)
    if length > MAX_PDU + 1:
        raise CodecError(CodecReason.OVERSIZED, f"length is {length}, at most 254", offset=4)
    head = {
        "transaction": transaction,
        "protocol": protocol,
        "length": length,
        "length_ok": True,
        "unit": unit,
    }
    return head | _pdu(data[MBAP_SIZE:], MBAP_SIZE)


def _pdu(pdu: bytes, offset: int) -> Facts:
    function, body = pdu[0] & 0x7F, pdu[1:]
    facts: Facts = {"function": function, "exception": bool(pdu[0] & 0x80)}
    if facts["exception"]:
        if len(body) != 1:
            text = f"an exception has one code, not {len(body)}"
            raise CodecError(CodecReason.LENGTH, text, offset=offset + 1)
        return facts | {"exception_code": body[0]}
    if function in (*_BITS, *_REGISTERS):
        return facts | _read(function, body, offset)
    if function in (5, 6) and len(body) == 4:
        address, value = struct.unpack(">HH", body)
        told = {"kind": "write single (request and echo)", "address": address, "value": value}
        return facts | told
    if function in (15, 16):
        return facts | _write_many(function, body, offset)
    if function == 22 and len(body) == 6:
        address, and_mask, or_mask = struct.unpack(">HHH", body)
        told = {"address": address, "and_mask": and_mask, "or_mask": or_mask}
        return facts | {"kind": "mask write (request and echo)"} | told
    return facts | {"kind": "other", "data": body.hex()}


def _read(function: int, body: bytes, offset: int) -> Facts:
    if len(body) == 4 and (function in _REGISTERS or not _is_bits(body)):
        address, count = struct.unpack(">HH", body)
        return {"kind": "read request", "address": address, "count": count}
    if not body or body[0] != len(body) - 1:
        text = f"{len(body)} bytes are neither a request nor an answer"
        raise CodecError(CodecReason.LENGTH, text, offset=offset + 1)
    facts: Facts = {"kind": "response", "byte_count": body[0]}
    if function in _BITS:
        return facts | {"bits": [(byte >> i) & 1 for byte in body[1:] for i in range(8)]}
    return facts | {"registers": _registers(body[1:], offset + 2)}


def _is_bits(body: bytes) -> bool:
    """Whether four bytes of function 1 or 2 are an answer: a request for 1 to 2000 bits is taken as one."""
    return body[0] == 3 and not 1 <= int.from_bytes(body[2:], "big") <= _MOST_BITS


def _write_many(function: int, body: bytes, offset: int) -> Facts:
    if len(body) == 4:
        address, count = struct.unpack(">HH", body)
        return {"kind": "write multiple response", "address": address, "count": count}
    if len(body) < 6 or body[4] != len(body) - 5:
        text = f"{len(body)} bytes are neither a request nor an answer"
        raise CodecError(CodecReason.LENGTH, text, offset=offset + 1)
    address, count, size = struct.unpack_from(">HHB", body)
    facts: Facts = {"kind": "write multiple request", "address": address, "count": count}
    facts["byte_count"] = size
    if function == 16:
        return facts | {"registers": _registers(body[5:], offset + 6)}
    return facts | {"bits": [(byte >> i) & 1 for byte in body[5:] for i in range(8)][:count]}


def _registers(data: bytes, offset: int) -> list[int]:
    if len(data) % 2:
        raise CodecError(CodecReason.LENGTH, "half a register at the end", offset=offset)
    return list(struct.unpack(f">{len(data) // 2}H", data))
