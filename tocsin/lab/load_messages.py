"""The messages of a load: telemetry of many gateways whose every value follows from its number."""

from __future__ import annotations

import struct
import time

import msgspec

from tocsin.contract import topics
from tocsin.contract.codec import Codec, encode
from tocsin.contract.messages import VERSION, Batch, Group

MEASUREMENT = "bench"


class Shape(msgspec.Struct, frozen=True):
    """What one message holds: `rows` stamps of `quantities` values, spread over `devices`."""

    rows: int
    quantities: int
    devices: int

    @property
    def readings(self) -> int:
        """Values in one message."""
        return self.rows * self.quantities


def values_fit(quantities: int) -> str:
    """SQL: whether a row's values are those that its number was sent with."""
    return " AND ".join(f"v{q:02d} = ((seq + {q}) % 1000)::DOUBLE / 10" for q in range(quantities))


def batch(gateway: str, site: str, stream: str, number: int, shape: Shape, t0: int) -> Batch:
    """Message `number` of a stream. A message of fewer rows than devices takes turns."""
    names = tuple(f"v{q:02d}" for q in range(shape.quantities))
    seq, groups = number * shape.rows, []
    members = min(shape.devices, shape.rows)
    for i in range(members):
        n = shape.rows // members + (i < shape.rows % members)
        device = (number * members + i) % shape.devices
        groups.append(
            Group(
                device=f"{gateway}-{device:03d}",
                measurement=MEASUREMENT,
                quantities=names,
                types="f" * shape.quantities,
                times=list(range(n)),
                columns=[
                    [(s + q) % 1000 / 10 for s in range(seq, seq + n)]
                    for q in range(shape.quantities)
                ],
            )
        )
        seq += n
    return Batch(VERSION, site, gateway, stream, number * shape.rows, t0, groups, "ms")


def packets(
    gateway: str, site: str, stream: str, shape: Shape, n: int, codec: Codec
) -> tuple[list[bytes], int]:
    """`n` PUBLISH packets of one gateway and the bytes of their payloads; stamps end now."""
    topic = topics.up(site, gateway, topics.TELEMETRY).encode()
    head = struct.pack("!H", len(topic)) + topic
    t0 = time.time_ns() // 1_000_000 * 1_000_000 - n * shape.rows * 1_000_000
    made, size = [], 0
    for k in range(n):
        payload = encode(
            batch(gateway, site, stream, k, shape, t0 + k * shape.rows * 1_000_000), codec
        )
        size += len(payload)
        body = head + struct.pack("!H", k % 65_535 + 1) + payload
        made.append(b"\x32" + remaining_length(len(body)) + body)
    return made, size


def remaining_length(n: int) -> bytes:
    """As MQTT writes the size of a packet's rest."""
    out = bytearray()
    while True:
        n, low = divmod(n, 128)
        out.append(low | (128 if n else 0))
        if not n:
            return bytes(out)
