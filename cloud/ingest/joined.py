"""Plain telemetry of many messages, rows of the same device and quantities put together before they become columns.

Small messages are cheap only together: an array, a block, a place in the ledger cost the same for one row as for
hundreds. What is not plain in any way (`plain` says None) goes through `decode`, one message after another, with the
same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import cast

import msgspec
import numpy as np

from cloud.ingest.columns import column, float_matrix, suits
from cloud.ingest.groups import layout
from cloud.ingest.stamps import Stored
from cloud.link import Received
from cloud.stores import Block, Column, LedgerEntry
from tocsin.contract import topics
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.codec import Header, decode_body, decode_header
from tocsin.contract.messages import NS_PER_UNIT, Batch, Group
from tocsin.errors import WireError

MAX_NS = 2**63 - 1
RUN_NS = 10 * 10**9  # numbers of several messages are noted together while their rows span no more

ROW_BYTES, CELL_BYTES = 72, 32  # of a decoded row beside its cells, and of a cell, about

_parse_up = lru_cache(maxsize=8192)(topics.parse_up)
_FLOAT = frozenset({float})
_Key = tuple[str, str, str, str, tuple[str, ...], str]


class Plain(msgspec.Struct, frozen=True, gc=False):
    """One message of nothing but good values and times. `times[i]` are those of `batch.groups[i]`, in nanoseconds."""

    header: Header
    batch: Batch
    times: list[list[int]]
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class _Part:
    """Rows of one device and set of quantities, from one stream."""

    seq: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    columns: list[list[Value]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """Numbers [lo, hi) of one stream that follow one another."""

    gateway: str
    stream: str
    lo: int
    hi: int
    first_ns: int
    last_ns: int


def plain(message: Received, sites: Mapping[str, str], max_future_ns: int) -> Plain | None:
    """A message's batch, if all of it can be stored as it is; None sends the caller to `decode`, which says why."""
    topic = _parse_up(message.topic)
    if topic is None or topic.kind != topics.TELEMETRY or sites.get(topic.gateway) != topic.site:
        return None
    try:
        header = decode_header(message.payload)
        batch = decode_body(header, message.payload, Batch)
    except WireError:
        return None
    if batch.gateway != topic.gateway or batch.site != topic.site:
        return None
    t0, per_unit = batch.t0, NS_PER_UNIT[batch.tu]
    times: list[list[int]] = []
    for group in batch.groups:
        if not _is_plain(group):
            return None
        times.append([t0 + offset * per_unit for offset in group.times])
    first_ns, last_ns = min(map(min, times)), max(map(max, times))
    if t0 < 0 or first_ns < 0 or last_ns > min(message.received_ns + max_future_ns, MAX_NS):
        return None
    return Plain(header, batch, times, first_ns, last_ns)


def _is_plain(group: Group) -> bool:
    n, columns, types = len(group.times), group.columns, group.types
    if not n or group.quality or group.raw or group.source_times is not None:
        return False
    if len(columns) != len(group.quantities) or not columns or {*map(len, columns)} != {n}:
        return False
    problem, wrong = layout(group.device, group.measurement, group.quantities, types)
    if problem or wrong:
        return False
    if types == "f" * len(types) and {*map(type, chain.from_iterable(columns))} == _FLOAT:
        return True
    return all(
        suits(cast(TypeCode, code), cells) for code, cells in zip(types, columns, strict=True)
    )


def weight(types: str, columns: Sequence[Iterable[object]], rows: int) -> int:
    """Bytes that decoded rows take, about."""
    size = rows * (ROW_BYTES + len(types) * CELL_BYTES)
    if "s" in types:
        for code, cells in zip(types, columns, strict=True):
            if code == "s":
                size += sum(len(cell) for cell in cells if isinstance(cell, str))
    return size


class Joined:
    """Of one commit. `add` what is plain and new; then `blocks`, `stored` and `entries` tell it all."""

    def __init__(self) -> None:
        self._parts: dict[_Key, _Part] = {}
        self._sites: dict[str, str] = {}
        self._runs: list[_Run] = []
        self._open: dict[tuple[str, str], _Run] = {}
        self.weight = 0

    def add(self, message: Received, got: Plain) -> int:
        """The rows of one message; how many readings they are."""
        batch, seq, readings = got.batch, got.header.first_seq, 0
        gateway, stream = batch.gateway, batch.stream
        self._sites[gateway] = batch.site
        self._note(gateway, stream, got)
        for group, times in zip(batch.groups, got.times, strict=True):
            key = gateway, stream, group.device, group.measurement, group.quantities, group.types
            part = self._parts.get(key)
            if part is None:
                part = self._parts[key] = _Part(columns=[[] for _ in group.columns])
            part.starts.append(len(part.seq))
            part.messages.append(message)
            part.seq.extend(range(seq, seq + len(times)))
            part.times += times
            self.weight += weight(group.types, group.columns, len(times))
            for cells, more in zip(part.columns, group.columns, strict=True):
                cells += more
            seq += len(times)
            readings += len(times) * len(group.columns)
        return readings

    def _note(self, gateway: str, stream: str, got: Plain) -> None:
        lo = got.header.first_seq
        hi = lo + got.header.rows
        run = self._open.get((gateway, stream))
        if run is not None and run.hi == lo:
            first_ns, last_ns = min(run.first_ns, got.first_ns), max(run.last_ns, got.last_ns)
            if last_ns - first_ns <= RUN_NS:
                run.hi, run.first_ns, run.last_ns = hi, first_ns, last_ns
                return
        run = self._open[gateway, stream] = _Run(gateway, stream, lo, hi, got.first_ns, got.last_ns)
        self._runs.append(run)

    def blocks(self) -> Iterator[tuple[Block, Sequence[int], Sequence[Received]]]:
        """Each block, and which messages its rows came in: the first row of each, and they."""
        for (gateway, stream, device, measurement, quantities, types), part in self._parts.items():
            block = Block(
                measurement=measurement,
                site=self._sites[gateway],
                device=device,
                gateway=gateway,
                stream=stream,
                seq=np.array(part.seq, np.int64),
                time_ns=np.array(part.times, np.int64),
                columns=dict(zip(quantities, _columns(types, part.columns), strict=True)),
            )
            yield block, part.starts, part.messages

    def stored(self) -> list[Stored]:
        """When the numbers were."""
        return [
            Stored(run.gateway, run.stream, run.lo, run.hi, run.first_ns, run.last_ns)
            for run in self._runs
        ]

    def entries(self) -> list[LedgerEntry]:
        """Which numbers they are."""
        return [LedgerEntry(run.gateway, run.stream, run.lo, run.hi) for run in self._runs]


def _columns(types: str, columns: list[list[Value]]) -> list[Column]:
    if types == "f" * len(types):
        matrix = float_matrix(columns)
        if matrix is not None and np.isfinite(matrix).all():
            return [Column("f", values) for values in matrix]
    return [
        column(cast(TypeCode, code), cells)[0] for code, cells in zip(types, columns, strict=True)
    ]
