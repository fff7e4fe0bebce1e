"""Registers to numbers and back, in the four orders in which devices lay out more than 16 bits."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import StrEnum


class Order(StrEnum):
    """Order of the bytes A (most significant) to D; wider values go on alike."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class RegisterType(StrEnum):
    """How one value is laid out."""

    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    BIT = "bit"


FORMATS: dict[RegisterType, str] = {
    RegisterType.U16: "H",
    RegisterType.I16: "h",
    RegisterType.U32: "I",
    RegisterType.I32: "i",
    RegisterType.U64: "Q",
    RegisterType.I64: "q",
    RegisterType.F32: "f",
    RegisterType.F64: "d",
    RegisterType.BIT: "H",
}


def order_of(*, word_order: str, byte_order: str) -> Order:
    """The order for "big" or "little" word order and byte order within a word."""
    if byte_order == "big":
        return Order.ABCD if word_order == "big" else Order.CDAB
    return Order.BADC if word_order == "big" else Order.DCBA


def width(kind: RegisterType) -> int:
    """Registers that one value takes."""
    return struct.calcsize(">" + FORMATS[kind]) // 2


def reorder(data: bytes, order: Order) -> bytes:
    """Bytes as on the wire to most significant first, or the other way round."""
    if order is Order.ABCD:
        return data
    if order is Order.DCBA:
        return data[::-1]
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order is Order.CDAB:
        return b"".join(reversed(words))
    return b"".join(word[::-1] for word in words)


def decode_bytes(data: bytes, kind: RegisterType, order: Order = Order.ABCD) -> int | float:
    """The number in the wire bytes of its registers; a bit's whole register for `bit`."""
    value: int | float = struct.unpack(">" + FORMATS[kind], reorder(data, order))[0]
    return value


def encode_bytes(value: float, kind: RegisterType, order: Order = Order.ABCD) -> bytes:
    """The wire bytes of a number's registers.

    Raises:
        struct.error: out of the type's range.
        OverflowError: too large for `f32`.
    """
    number = value if kind in (RegisterType.F32, RegisterType.F64) else int(value)
    return reorder(struct.pack(">" + FORMATS[kind], number), order)


def decode(registers: Sequence[int], kind: RegisterType, order: Order = Order.ABCD) -> int | float:
    """The number in its registers."""
    return decode_bytes(struct.pack(f">{len(registers)}H", *registers), kind, order)


def encode(value: float, kind: RegisterType, order: Order = Order.ABCD) -> tuple[int, ...]:
    """The registers of a number."""
    data = encode_bytes(value, kind, order)
    return struct.unpack(f">{len(data) // 2}H", data)


def limits(kind: RegisterType) -> tuple[int, int] | None:
    """Smallest and largest integer of an integer type."""
    if kind in (RegisterType.F32, RegisterType.F64):
        return None
    bits = 16 * width(kind)
    if FORMATS[kind].isupper():
        return 0, (1 << bits) - 1
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
