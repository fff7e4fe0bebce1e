"""Rows in the forms of other systems. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from firmware_bridges.mqtt import thingsboard
from firmware_bridges.senml.packs import write_cbor, write_json
from firmware_bridges.senml.records import Record, to_pack
from firmware_bridges.senml.units import to_senml
from firmware_bridges.sparkplug.node import Point, Told
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.columns import Layout, Row
from tocsin.contract.quality import Severity, severity

Units = Callable[
    [Layout], Sequence[str] | None
]  # in the order of its quantities; None: no longer known


class Origin(msgspec.Struct, frozen=True):
    """Where the rows come from."""

    site: str
    gateway: str


def line_protocol(rows: Iterable[Row], origin: Origin) -> bytes:
    """InfluxDB's line protocol, as our own store has it: tags site and device, `<quantity>_q` where not good, ns."""
    lines = []
    for row in rows:
        fields = [
            text for name, value, quality in _cells(row) for text in _fields(name, value, quality)
        ]
        if fields:
            layout = row.layout
            tags = f"device={_tag(layout.device)},site={_tag(origin.site)}"
            lines.append(f"{_tag(layout.measurement)},{tags} {','.join(fields)} {row.time_ns}\n")
    return "".join(lines).encode()


def thingsboard_json(rows: Iterable[Row]) -> bytes:
    """Gateway telemetry; `<quantity>_q` where not good. It has milliseconds."""
    return thingsboard.encode(
        (row.layout.device, row.time_ns, values) for row in rows if (values := dict(_named(row)))
    )


def senml(rows: Iterable[Row], origin: Origin, units: Units, *, cbor: bool) -> bytes:
    """A SenML pack, names `site:gateway:device:quantity`. Bad values are left out: it has no quality."""
    known = ((row, of) for row in rows if (of := units(row.layout)) is not None)
    records = [record for row, of in known for record in _records(row, origin, of)]
    pack = to_pack(records)
    return write_cbor(pack) if cbor else write_json(pack)


def points(layout: Layout, units: Sequence[str]) -> tuple[Point, ...]:
    """A device's quantities as Sparkplug metrics."""
    kinds: dict[str, TypeCode] = {"f": "f", "i": "i", "b": "b", "s": "s"}
    return tuple(
        Point(name, unit, kinds[kind])
        for name, unit, kind in zip(layout.quantities, units, layout.types, strict=True)
    )


def told(row: Row) -> Told:
    """A row as Sparkplug tells it."""
    bad = tuple(severity(q) is Severity.BAD for q in row.quality or (0,) * len(row.values))
    return Told(row.layout.device, row.time_ns // 1_000_000, row.values, bad)


def _cells(row: Row) -> Iterator[tuple[str, Value, int]]:
    return zip(
        row.layout.quantities, row.values, row.quality or (0,) * len(row.values), strict=True
    )


def _named(row: Row) -> Iterator[tuple[str, Value]]:
    for name, value, quality in _cells(row):
        if value is not None:
            yield name, value
        if quality:
            yield f"{name}_q", quality


def _fields(name: str, value: Value, quality: int) -> Iterator[str]:
    match value:
        case bool():
            yield f"{name}={'true' if value else 'false'}"
        case int():
            yield f"{name}={value}i"
        case float():
            yield f"{name}={value!r}"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            yield f'{name}="{escaped}"'
    if quality:
        yield f"{name}_q={quality}i"


def _tag(text: str) -> str:
    for mark in ("\\", ",", "=", " "):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")


def _records(row: Row, origin: Origin, units: Sequence[str]) -> Iterator[Record]:
    prefix = f"{origin.site}:{origin.gateway}:{row.layout.device}:"
    time_s = row.time_ns / 1e9
    for (name, value, quality), unit in zip(_cells(row), units, strict=True):
        if value is None or severity(quality) is Severity.BAD:
            continue
        senml_unit, way = to_senml(unit)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not way.is_identity:
            value = way(value)  # type: ignore[arg-type]
        yield Record(prefix + name, value, senml_unit if number else None, time_s)
