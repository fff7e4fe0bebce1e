"""The newest value of every quantity of every device, in memory."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter

import msgspec
import numpy as np

from cloud.stores import Block, Column
from tocsin.contract import catalogue
from tocsin.contract.catalogue import Value

Key = tuple[str, str, str]  # site, device, measurement


class Last(msgspec.Struct, frozen=True, gc=False):
    """One value and its age, as it is told: measured at `time_ns`, stored at `received_ns`. Where there is none, `known_ns` is when there was one last; 0: not known."""

    site: str
    gateway: str
    device: str
    measurement: str
    quantity: str
    unit: str
    value: Value
    q: int
    time_ns: int
    received_ns: int
    known_ns: int = 0


_COLUMNS = {name: attrgetter(name) for name in Last.__struct_fields__}


class LastValues:
    """Written by the ingest thread after each commit, read by anyone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[Key, dict[str, Last]] = {}

    def fold(self, blocks: Iterable[Block], received_ns: int) -> set[Key]:
        """Move the values of these stored blocks; the devices that changed."""
        changed: set[Key] = set()
        with self._lock:
            for block in _worth_folding(blocks):
                key = block.site, block.device, block.measurement
                values = self._devices.setdefault(key, {})
                if _fold(block, values, received_ns):
                    changed.add(key)
        return changed

    def put(self, last: Last) -> None:
        """Set one value (when the store is read at the start)."""
        with self._lock:
            key = last.site, last.device, last.measurement
            values = self._devices.setdefault(key, {})
            values[last.quantity] = _aged(last, values.get(last.quantity))

    def take(self, told: Iterable[Last]) -> set[Key]:
        """Values that another ingester stored; the devices that changed."""
        changed: set[Key] = set()
        with self._lock:
            for last in told:
                key = last.site, last.device, last.measurement
                values = self._devices.setdefault(key, {})
                before = values.get(last.quantity)
                if before is None or before.time_ns <= last.time_ns:
                    values[last.quantity] = _aged(last, before)
                    changed.add(key)
        return changed

    def of(self, key: Key) -> list[Last]:
        """The values of one device."""
        with self._lock:
            return list(self._devices.get(key, {}).values())

    def all(
        self,
        sites: Collection[str] | None = None,
        measurement: str = "",
        quantity: str = "",
    ) -> list[Last]:
        """The values of every device, or of these sites, this measurement, this quantity."""
        with self._lock:
            wanted: Iterable[dict[str, Last]] = self._devices.values()
            if sites is not None or measurement:
                wanted = [
                    values
                    for (site, _, kind), values in self._devices.items()
                    if (sites is None or site in sites) and measurement in ("", kind)
                ]
            if quantity:
                return [last for values in wanted if (last := values.get(quantity)) is not None]
            return [last for values in wanted for last in values.values()]


def columns_of(rows: Sequence[Last], fields: Collection[str] = ()) -> dict[str, list[object]]:
    """The same as a list for each field, or for each of `fields`."""
    return {name: list(map(_COLUMNS[name], rows)) for name in fields or _COLUMNS}


@lru_cache(maxsize=8192)
def unit_of(measurement: str, quantity: str) -> str:
    """The catalogue's unit; "" for a quantity it does not know."""
    known = catalogue.find(measurement, quantity)
    return known.unit if known else ""


def _worth_folding(blocks: Iterable[Block]) -> list[Block]:
    """Of blocks without absent values, only the newest of each device and set of quantities matters."""
    newest: dict[tuple[object, ...], tuple[int, Block]] = {}
    rest: list[tuple[int, Block]] = []
    for block in blocks:
        if not len(block.time_ns):
            continue
        at = int(block.time_ns.max())
        if any(col.valid is not None for col in block.columns.values()):
            rest.append((at, block))
            continue
        key = block.site, block.device, block.measurement, tuple(block.columns)
        if key not in newest or newest[key][0] <= at:
            newest[key] = at, block
    return [block for _, block in sorted([*newest.values(), *rest], key=lambda pair: pair[0])]


def _fold(block: Block, values: dict[str, Last], received_ns: int) -> bool:
    moved = False
    order = np.argsort(block.time_ns, kind="stable")
    for quantity, col in block.columns.items():
        row = _newest_row(col, order)
        if row is None:
            continue
        time_ns = int(block.time_ns[row])
        before = values.get(quantity)
        if before is not None and before.time_ns > time_ns:
            continue
        present = col.valid is None or bool(col.valid[row])
        values[quantity] = Last(
            block.site,
            block.gateway,
            block.device,
            block.measurement,
            quantity,
            unit_of(block.measurement, quantity),
            col.values[row].item()
            if col.type != "s" and present
            else (str(col.values[row]) if present else None),
            0 if col.quality is None else int(col.quality[row]),
            time_ns,
            received_ns,
            0 if present else _known_ns(before),
        )
        moved = True
    return moved


def _aged(last: Last, before: Last | None) -> Last:
    """`last`, which does not forget when there was a value."""
    if last.value is not None or last.known_ns:
        return last
    return msgspec.structs.replace(last, known_ns=_known_ns(before))


def _known_ns(last: Last | None) -> int:
    if last is None:
        return 0
    return last.known_ns if last.value is None else last.time_ns


def _newest_row(col: Column, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> int | None:
    """The newest row that says something: a value, or the reason why there is none."""
    if col.valid is None:
        return int(order[-1])
    says = col.valid if col.quality is None else col.valid | (col.quality > 0)
    told = np.flatnonzero(says[order])
    return int(order[told[-1]]) if len(told) else None
