"""From rows to the columns of a batch. Rows exist only until their chunk is sealed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.contract.catalogue import Value
from tocsin.contract.messages import NS_PER_UNIT, Group, TimeUnit


class Layout(msgspec.Struct, frozen=True):
    """What all rows of one device with the same quantities share. Compare by identity where you can: build it once."""

    device: str
    measurement: str
    quantities: tuple[str, ...]
    types: str
    raw_units: tuple[str, ...] | None = None  # "" where the value was not converted


class Row(msgspec.Struct, frozen=True, gc=False):
    """One judged stamp of one device, in canonical units. `quality` None means all good."""

    layout: Layout
    time_ns: int
    values: tuple[Value, ...]
    quality: tuple[int, ...] | None = None
    source_ns: int | None = None
    raw: tuple[Value, ...] | None = None


def group_rows(rows: Iterable[Row]) -> tuple[int, TimeUnit, list[Group]]:
    """(t0, time unit, groups). Rows of one layout keep their order; groups stand in order of first appearance.

    The time unit is the coarsest in which every stamp is exact.
    """
    by_layout: dict[Layout, list[Row]] = {}
    by_identity: dict[
        int, list[Row]
    ] = {}  # hashing a layout of many quantities for each row is slow
    stamps: list[int] = []
    for row in rows:
        members = by_identity.get(id(row.layout))
        if members is None:
            members = by_layout.setdefault(row.layout, [])
            by_identity[id(row.layout)] = members
        members.append(row)
        stamps.append(row.time_ns)
        if row.source_ns is not None:
            stamps.append(row.source_ns)
    t0 = min((row.time_ns for members in by_layout.values() for row in members), default=0)
    unit: TimeUnit = "ns"
    if all(t % 1_000_000 == 0 for t in stamps):
        unit = "ms"
    elif all(t % 1_000 == 0 for t in stamps):
        unit = "us"
    return (
        t0,
        unit,
        [_group(layout, members, t0, NS_PER_UNIT[unit]) for layout, members in by_layout.items()],
    )


def _group(layout: Layout, rows: list[Row], t0: int, per_unit: int) -> Group:
    quality = [
        (i, j, code)
        for i, row in enumerate(rows)
        if row.quality is not None
        for j, code in enumerate(row.quality)
        if code
    ]
    source: list[int | None] | None = None
    if any(row.source_ns is not None for row in rows):
        source = [None if r.source_ns is None else (r.source_ns - t0) // per_unit for r in rows]
    raw: dict[str, tuple[str, list[Value]]] = {}
    if layout.raw_units is not None:
        raw = {
            layout.quantities[j]: (unit, [None if r.raw is None else r.raw[j] for r in rows])
            for j, unit in enumerate(layout.raw_units)
            if unit
        }
    return Group(
        device=layout.device,
        measurement=layout.measurement,
        quantities=layout.quantities,
        types=layout.types,
        times=[(row.time_ns - t0) // per_unit for row in rows],
        columns=[list(column) for column in zip(*(row.values for row in rows), strict=True)],
        quality=quality,
        source_times=source,
        raw=raw,
    )
