"""One group of a batch to one or two blocks: checked, cut to what is new, its time judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

from cloud.ingest.columns import column, finite, float_matrix
from cloud.ingest.decoded import Decoded, Letter
from cloud.stores import NO_TIME, Block, Column
from tocsin.contract import catalogue, topics
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.messages import Group
from tocsin.contract.quality import Quality, tolerant
from tocsin.errors import WireReason

_TOLERANT = np.array([tolerant(code) for code in range(256)], np.uint8)
_TYPES = frozenset("fibs")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group stands: whose it is, which sequence numbers its rows have, and when it came."""

    site: str
    gateway: str
    stream: str
    first_seq: int
    t0: int
    per_unit: int
    received_ns: int
    max_future_ns: int


@lru_cache(maxsize=8192)
def layout(
    device: str, measurement: str, quantities: tuple[str, ...], types: str
) -> tuple[str, dict[int, str]]:
    """(what is wrong with the group or "", column -> what is wrong with it)."""
    if not topics.is_name(device):
        return f"device {device!r:.80} is no name", {}
    if not catalogue.is_measurement(measurement):
        return f"measurement {measurement!r:.80} is no name", {}
    if len(quantities) != len(types):
        return f"{len(quantities)} quantities but {len(types)} types", {}
    if len(set(quantities)) != len(quantities):
        return "a quantity stands twice", {}
    wrong: dict[int, str] = {}
    for i, (quantity, code) in enumerate(zip(quantities, types, strict=True)):
        known = catalogue.find(measurement, quantity)
        if not catalogue.is_identifier(quantity):
            wrong[i] = f"quantity {quantity!r:.80} is no name"
        elif code not in _TYPES:
            wrong[i] = f"type {code!r} is none of f i b s"
        elif known is not None and known.type != code and (known.type, code) != ("f", "i"):
            wrong[i] = f"type {code!r}, the catalogue says {known.type!r}"
    return "", wrong


def convert(group: Group, place: Place, keep: npt.NDArray[np.intp] | None, out: Decoded) -> None:
    """Add the group's blocks and letters to `out`; `keep` picks the rows that are new (None: all)."""
    n = len(group.times)
    problem, wrong = layout(group.device, group.measurement, group.quantities, group.types)
    if not problem and len(group.columns) != len(group.quantities):
        problem = f"{len(group.columns)} columns for {len(group.quantities)} quantities"
    times, lowest, highest = _times(group.times, place) if not problem else (None, 0, 0)
    if times is None:
        _reject_all(group, place, problem or "times beyond 64 bits or before 1970", n, out)
        return
    columns = _columns(group, place, wrong, n, out)
    _apply_quality(group, columns, n, out)
    source = _source_times(group, place, n, out)
    block = Block(
        measurement=group.measurement,
        site=place.site,
        device=group.device,
        gateway=place.gateway,
        stream=place.stream,
        seq=np.arange(place.first_seq, place.first_seq + n, dtype=np.int64),
        time_ns=times,
        columns={group.quantities[i]: col for i, col in columns.items()},
        source_ns=source,
        raw=_raw(group, n, out) if group.raw else {},
    )
    if keep is not None:
        block = take(block, keep)
    out.count("readings", len(block.columns) * len(block.seq))
    limit_ns = place.received_ns + place.max_future_ns
    if highest <= limit_ns:
        out.span(lowest, highest)
        out.blocks.append(block)
        return
    out.span(min(lowest, place.received_ns), place.received_ns)
    ahead = block.time_ns > limit_ns
    if not ahead.any():
        out.blocks.append(block)
        return
    out.count("future_time", int(ahead.sum()))
    if not ahead.all():
        out.blocks.append(take(block, np.flatnonzero(~ahead)))
    out.late.append(_restamped(take(block, np.flatnonzero(ahead)), place.received_ns))


def take(block: Block, rows: npt.NDArray[np.intp]) -> Block:
    """The block with only these rows."""
    return replace(
        block,
        seq=block.seq[rows],
        time_ns=block.time_ns[rows],
        columns={name: _take(col, rows) for name, col in block.columns.items()},
        source_ns=None if block.source_ns is None else block.source_ns[rows],
        raw={name: _take(col, rows) for name, col in block.raw.items()},
    )


def _take(col: Column, rows: npt.NDArray[np.intp]) -> Column:
    return Column(
        col.type,
        col.values[rows],
        None if col.valid is None else col.valid[rows],
        None if col.quality is None else col.quality[rows],
    )


def _reject_all(group: Group, place: Place, problem: str, n: int, out: Decoded) -> None:
    out.letters.append(
        Letter(
            WireReason.BAD_SHAPE,
            problem,
            place.stream,
            place.first_seq,
            place.first_seq + n,
            group.device[:64],
        )
    )


def _times(offsets: list[int], place: Place) -> tuple[npt.NDArray[np.int64] | None, int, int]:
    """The rows' times, the lowest and the highest of them; None when they do not fit."""
    lowest = place.t0 + min(offsets, default=0) * place.per_unit
    highest = place.t0 + max(offsets, default=0) * place.per_unit
    if place.t0 < 0 or lowest < 0 or highest >= 2**63:
        return None, 0, 0
    return np.array(offsets, np.int64) * place.per_unit + place.t0, lowest, highest


def _columns(
    group: Group, place: Place, wrong: dict[int, str], n: int, out: Decoded
) -> dict[int, Column]:
    if not wrong and group.types == "f" * len(group.types) and group.columns:
        matrix = float_matrix(group.columns)
        if matrix is not None and matrix.shape == (len(group.columns), n):
            if np.isfinite(matrix).all():
                return {i: Column("f", values) for i, values in enumerate(matrix)}
            return {i: finite(Column("f", values)) for i, values in enumerate(matrix)}
    columns: dict[int, Column] = {}
    for i, (quantity, cells) in enumerate(zip(group.quantities, group.columns, strict=True)):
        what = wrong.get(i, "")
        if not what and len(cells) != n:
            what = f"{len(cells)} values for {n} rows"
        if what:
            seqs = (place.first_seq, place.first_seq + n)
            out.letters.append(
                Letter(
                    WireReason.BAD_READING, what, place.stream, *seqs, group.device, quantity[:64]
                )
            )
            continue
        col, bad = column(cast(TypeCode, group.types[i]), cells)
        columns[i] = col
        for row, why in bad:
            seq = place.first_seq + row
            out.letters.append(
                Letter(
                    WireReason.BAD_READING,
                    f"row {row}: {why}",
                    place.stream,
                    seq,
                    seq + 1,
                    group.device,
                    quantity,
                )
            )
    return columns


def _apply_quality(group: Group, columns: dict[int, Column], n: int, out: Decoded) -> None:
    if not group.quality:
        return
    per_column: dict[int, list[tuple[int, int]]] = {}
    for row, col, code in group.quality:
        if 0 <= row < n and 0 <= col < len(group.quantities):
            per_column.setdefault(col, []).append((row, code))
        else:
            out.count("quality_out_of_place")
    for index, marks in per_column.items():
        column_ = columns.get(index)
        if column_ is None:
            continue
        told = np.array([code if 0 <= code < 256 else 255 for _, code in marks], np.uint8)
        known = _TOLERANT[told]
        out.count("unknown_quality", int((known != told).sum()))
        rows = np.array([row for row, _ in marks])
        quality = np.zeros(n, np.uint8)
        quality[rows] = known
        if column_.quality is not None:  # our own finding is the more serious one
            quality = np.where(column_.quality > 0, column_.quality, quality)
        columns[index] = replace(column_, quality=quality)


def _source_times(group: Group, place: Place, n: int, out: Decoded) -> npt.NDArray[np.int64] | None:
    told = group.source_times
    if told is None:
        return None
    if len(told) != n:
        out.count("source_times_out_of_shape")
        return None
    exact = [NO_TIME if t is None else place.t0 + t * place.per_unit for t in told]
    return np.array([t if NO_TIME <= t < 2**63 else NO_TIME for t in exact], np.int64)


def _raw(group: Group, n: int, out: Decoded) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for quantity, (_unit, cells) in group.raw.items():
        if quantity not in group.quantities or len(cells) != n:
            out.count("raw_out_of_shape")
            continue
        code = _raw_type(cells)
        if code is None:
            out.count("raw_out_of_shape")
            continue
        columns[quantity] = column(code, cells)[0]
    return columns


def _raw_type(cells: list[Value]) -> TypeCode | None:
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {float, int}:
        return "f"
    return None


def _restamped(block: Block, received_ns: int) -> Block:
    """Rows from the future: stored at their arrival, the claimed time kept as source time, every quantity flagged."""
    n = len(block.seq)
    flagged = {
        name: replace(col, quality=_flag(col.quality, n)) for name, col in block.columns.items()
    }
    return replace(
        block,
        time_ns=np.arange(received_ns, received_ns + n, dtype=np.int64),
        source_ns=block.time_ns,
        columns=flagged,
    )


def _flag(quality: npt.NDArray[np.uint8] | None, n: int) -> npt.NDArray[np.uint8]:
    mark = np.full(n, Quality.SOURCE_TIME, np.uint8)
    if quality is None:
        return mark
    return np.where(quality >= Quality.BAD, quality, mark).astype(np.uint8)
