"""What we say as an edge node (Sparkplug B 3.0, 5.4 to 5.7): births, data, death, each in its order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from firmware_bridges.sparkplug.host import BD_SEQ, REBIRTH
from firmware_bridges.sparkplug.payload import DataType, Metric, Payload, Raw, decode, encode
from firmware_bridges.sparkplug.topics import Topic, parse
from tocsin.contract.catalogue import TypeCode

_TYPES: dict[TypeCode, DataType] = {
    "f": DataType.DOUBLE,
    "i": DataType.INT64,
    "b": DataType.BOOLEAN,
    "s": DataType.STRING,
}
Message = tuple[str, bytes]  # topic, payload


class Point(msgspec.Struct, frozen=True):
    """One quantity of a device."""

    name: str
    unit: str
    type: TypeCode


class Told(msgspec.Struct, frozen=True):
    """One row of a device: a value (or None) for each of its points; `bad` marks values that must not be believed."""

    device: str
    time_ms: int
    values: tuple[Raw, ...]
    bad: tuple[bool, ...] = ()


class EdgeNode:
    """One session after another of one node. Aliases and order of the points never change.

    `bd_seq` numbers the session before the first: two runs should not begin with the same, so that a late last will of
    the one is not taken for the other's.
    """

    def __init__(
        self, group: str, node: str, devices: Mapping[str, Sequence[Point]], bd_seq: int = -1
    ) -> None:
        self._group, self._node = group, node
        self._devices = {name: tuple(points) for name, points in devices.items()}
        numbers = iter(range(1, 1 << 31))
        self._aliases = {name: [next(numbers) for _ in points] for name, points in devices.items()}
        self._bd_seq = bd_seq
        self._seq = 0

    def knows(self, device: str, quantities: Sequence[str]) -> bool:
        """Whether these are the points of a device of this node."""
        points = self._devices.get(device)
        return points is not None and [p.name for p in points] == list(quantities)

    @property
    def commands(self) -> str:
        """The topic on which hosts command this node."""
        return str(Topic(self._group, "NCMD", self._node))

    def begin(self, now_ms: int) -> Message:
        """A new session: its last will (NDEATH)."""
        self._bd_seq = (self._bd_seq + 1) % 256
        will = Payload((self._bd_metric(now_ms),), now_ms)
        return str(Topic(self._group, "NDEATH", self._node)), encode(will)

    def births(self, now_ms: int, last: Iterable[Told]) -> list[Message]:
        """NBIRTH, then a DBIRTH for each device with what it told last; to be sent first, and when a host asks."""
        known = {row.device: row for row in last}
        control = Metric(REBIRTH, timestamp_ms=now_ms, datatype=DataType.BOOLEAN, raw=False)
        self._seq = 0
        payload = Payload((self._bd_metric(now_ms), control), now_ms, 0)
        born = [(str(Topic(self._group, "NBIRTH", self._node)), encode(payload))]
        for device, points in self._devices.items():
            row = known.get(device) or Told(device, now_ms, (None,) * len(points))
            born.append(self._message("DBIRTH", row, now_ms, named=True))
        return born

    def data(self, row: Told, now_ms: int, *, historical: bool = False) -> Message:
        """A row as DDATA."""
        return self._message("DDATA", row, now_ms, historical=historical)

    def asks_rebirth(self, topic: str, data: bytes) -> bool:
        """Whether this message asks us for our births.

        Raises:
            CodecError: it is none.
        """
        if topic != self.commands or parse(topic) is None:
            return False
        return any(m.name == REBIRTH and m.value() is True for m in decode(data).metrics)

    def _bd_metric(self, now_ms: int) -> Metric:
        return Metric(BD_SEQ, timestamp_ms=now_ms, datatype=DataType.INT64, raw=self._bd_seq)

    def _message(
        self, kind: str, row: Told, now_ms: int, *, named: bool = False, historical: bool = False
    ) -> Message:
        bad = row.bad or (False,) * len(row.values)
        parts = zip(
            self._devices[row.device], self._aliases[row.device], row.values, bad, strict=True
        )
        metrics = tuple(
            Metric(
                point.name if named else None,
                alias,
                row.time_ms,
                _TYPES[point.type],
                historical,
                value is None,
                float(value) if point.type == "f" and isinstance(value, int) else value,
                point.unit if named else None,
                is_bad,
            )
            for point, alias, value, is_bad in parts
            if named or value is not None or is_bad
        )
        self._seq = (self._seq + 1) % 256
        topic = Topic(
            self._group, "DBIRTH" if kind == "DBIRTH" else "DDATA", self._node, row.device
        )
        return str(topic), encode(Payload(metrics, now_ms, self._seq))
