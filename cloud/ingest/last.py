"""The newest value of every quantity of every device, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cloud.stores import Block, Column
from tocsin.contract import catalogue
from tocsin.contract.catalogue import Value

Key = tuple[str, str, str]  # site, device, measurement


@dataclass(frozen=True, slots=True)
class Last:
    """One value and its age: measured at `time_ns`, stored at `received_ns`."""

    value: Value
    quality: int
    time_ns: int
    received_ns: int
    gateway: str


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

    def put(self, key: Key, quantity: str, last: Last) -> None:
        """Set one value (when the store is read at the start)."""
        with self._lock:
            self._devices.setdefault(key, {})[quantity] = last

    def rows(self, keys: Iterable[Key] | None = None) -> list[dict[str, object]]:
        """As the `last` operation tells it; all devices, or these."""
        with self._lock:
            wanted = self._devices if keys is None else [k for k in keys if k in self._devices]
            return [
                {
                    "site": key[0],
                    "gateway": last.gateway,
                    "device": key[1],
                    "measurement": key[2],
                    "quantity": quantity,
                    "unit": _unit(key[2], quantity),
                    "value": last.value,
                    "q": last.quality,
                    "time_ns": last.time_ns,
                    "received_ns": last.received_ns,
                }
                for key in wanted
                for quantity, last in self._devices[key].items()
            ]


def _unit(measurement: str, quantity: str) -> str:
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
            col.values[row].item()
            if col.type != "s" and present
            else (str(col.values[row]) if present else None),
            0 if col.quality is None else int(col.quality[row]),
            time_ns,
            received_ns,
            block.gateway,
        )
        moved = True
    return moved


def _newest_row(col: Column, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> int | None:
    """The newest row that says something: a value, or the reason why there is none."""
    if col.valid is None:
        return int(order[-1])
    says = col.valid if col.quality is None else col.valid | (col.quality > 0)
    told = np.flatnonzero(says[order])
    return int(order[told[-1]]) if len(told) else None
