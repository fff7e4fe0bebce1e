"""CRC-16/MODBUS (Modbus over serial line V1.02, 6.2.2): reflected polynomial A001, start FFFF, low byte first."""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    out = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        out.append(crc)
    return tuple(out)


TABLE = _table()


def crc16(data: bytes) -> int:
    """The checksum of `data`."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc


def with_crc(data: bytes) -> bytes:
    """`data` followed by its checksum, low byte first."""
    return data + crc16(data).to_bytes(2, "little")
