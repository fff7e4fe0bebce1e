"""Protocol data units (Modbus application protocol V1.1b3, section 6): functions 1-6, 15, 16 and exceptions."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from tocsin.errors import DriverReason, FrameError

MAX_REGISTERS = 125
MAX_BITS = 2000
MAX_WRITE_REGISTERS = 123
MAX_WRITE_BITS = 1968

READ_BIT_FUNCTIONS = (1, 2)
READ_REGISTER_FUNCTIONS = (3, 4)


class ExceptionCode(IntEnum):
    """Why a device said no (V1.1b3, section 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    BUSY = 6
    MEMORY_PARITY = 8
    GATEWAY_PATH = 10
    GATEWAY_TARGET = 11


class ReadRequest(msgspec.Struct, frozen=True):
    """Functions 1-4: read `count` bits or registers from `address`."""

    function: int
    address: int
    count: int


class WriteRequest(msgspec.Struct, frozen=True):
    """Functions 5, 6, 15, 16; bits are 0 or 1."""

    function: int
    address: int
    values: tuple[int, ...]


class Bits(msgspec.Struct, frozen=True):
    """Answer to functions 1 and 2; padded to whole bytes as on the wire."""

    function: int
    bits: tuple[bool, ...]


class Registers(msgspec.Struct, frozen=True):
    """Answer to functions 3 and 4."""

    function: int
    registers: tuple[int, ...]


class Written(msgspec.Struct, frozen=True):
    """Answer to a write: the value for 5 and 6, the count for 15 and 16."""

    function: int
    address: int
    value: int


class Refused(msgspec.Struct, frozen=True):
    """An exception answer; `function` is the one asked for."""

    function: int
    code: int


Request = ReadRequest | WriteRequest
Answer = Bits | Registers | Written | Refused


def _bad(text: str, data: bytes) -> FrameError:
    return FrameError(DriverReason.GARBAGE, f"not a Modbus PDU: {text} ({data[:16].hex(' ')})")


def _pack_bits(bits: tuple[int, ...] | tuple[bool, ...]) -> bytes:
    number = sum(1 << i for i, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")


def _unpack_bits(data: bytes) -> tuple[bool, ...]:
    return tuple(bool(byte >> i & 1) for byte in data for i in range(8))


def encode_request(request: Request) -> bytes:
    """Bytes of a request, function code first."""
    if isinstance(request, ReadRequest):
        return struct.pack(">BHH", request.function, request.address, request.count)
    function, address, values = request.function, request.address, request.values
    if function == 5:
        return struct.pack(">BHH", 5, address, 0xFF00 if values[0] else 0)
    if function == 6:
        return struct.pack(">BHH", 6, address, values[0])
    body = _pack_bits(values) if function == 15 else struct.pack(f">{len(values)}H", *values)
    return struct.pack(">BHHB", function, address, len(values), len(body)) + body


def decode_request(data: bytes) -> Request:
    """The request in `data`.

    Raises:
        FrameError: not a well-formed request of a known function.
    """
    if len(data) < 5:
        raise _bad("request is too short", data)
    function, address, number = struct.unpack_from(">BHH", data)
    if function in (1, 2, 3, 4):
        limit = MAX_BITS if function in READ_BIT_FUNCTIONS else MAX_REGISTERS
        if len(data) != 5 or not 1 <= number <= limit:
            raise _bad("read request", data)
        return ReadRequest(function, address, number)
    if function == 5 and len(data) == 5 and number in (0, 0xFF00):
        return WriteRequest(5, address, (int(number == 0xFF00),))
    if function == 6 and len(data) == 5:
        return WriteRequest(6, address, (number,))
    if function in (15, 16) and len(data) > 6 and data[5] == len(data) - 6:
        body = data[6:]
        if function == 15 and 1 <= number <= MAX_WRITE_BITS and len(body) == (number + 7) // 8:
            return WriteRequest(15, address, tuple(int(b) for b in _unpack_bits(body)[:number]))
        if function == 16 and 1 <= number <= MAX_WRITE_REGISTERS and len(body) == number * 2:
            return WriteRequest(16, address, struct.unpack(f">{number}H", body))
    raise _bad(f"function {function}", data)


def encode_answer(answer: Answer) -> bytes:
    """Bytes of an answer, function code first."""
    if isinstance(answer, Registers):
        n = len(answer.registers)
        return struct.pack(f">BB{n}H", answer.function, 2 * n, *answer.registers)
    if isinstance(answer, Bits):
        body = _pack_bits(answer.bits)
        return bytes((answer.function, len(body))) + body
    if isinstance(answer, Refused):
        return bytes((answer.function | 0x80, answer.code))
    return struct.pack(">BHH", answer.function, answer.address, answer.value)


def decode_answer(data: bytes) -> Answer:
    """The answer in `data`.

    Raises:
        FrameError: not a well-formed answer of a known function.
    """
    if len(data) < 2:
        raise _bad("answer is too short", data)
    function, size = data[0], data[1]
    if function & 0x80:
        if len(data) != 2:
            raise _bad("exception answer", data)
        return Refused(function & 0x7F, size)
    if function in (1, 2, 3, 4):
        body = data[2:]
        if not size or size != len(body):
            raise _bad("byte count", data)
        if function in READ_BIT_FUNCTIONS:
            return Bits(function, _unpack_bits(body))
        if size % 2 or size > 2 * MAX_REGISTERS:
            raise _bad("byte count", data)
        return Registers(function, struct.unpack(f">{size // 2}H", body))
    if function in (5, 6, 15, 16) and len(data) == 5:
        _, address, value = struct.unpack(">BHH", data)
        return Written(function, address, value)
    raise _bad(f"function {function}", data)


def request_size(data: bytes) -> int | None:
    """Bytes of the request PDU at the start of `data`: None while undecided, 0 for an unknown function."""
    if not data:
        return None
    if data[0] in (1, 2, 3, 4, 5, 6):
        return 5
    if data[0] in (15, 16):
        return 6 + data[5] if len(data) > 5 else None
    if data[0] == 0x2B:  # with MEI type 14: read device identification
        return None if len(data) < 2 else 4 if data[1] == 0x0E else 0
    return 0


def answer_size(data: bytes) -> int | None:
    """Bytes of the answer PDU at the start of `data`: None while undecided, 0 for an unknown function."""
    if not data:
        return None
    if data[0] & 0x80:
        return 2
    if data[0] in (1, 2, 3, 4):
        return 2 + data[1] if len(data) > 1 else None
    return 5 if data[0] in (5, 6, 15, 16) else 0
