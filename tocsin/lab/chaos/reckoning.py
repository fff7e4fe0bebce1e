"""The devices' own ledgers against what a query finds, row by row. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

MOST_EXAMPLES = 20


class Taken(msgspec.Struct, frozen=True):
    """One line of a device's ledger: a message that was confirmed to it, or an answer it gave. `key` tells it from all others."""

    device: str
    key: int
    t_ns: int
    values: tuple[float, ...]


class Found(msgspec.Struct, frozen=True):
    """One stored row."""

    device: str
    key: int
    values: tuple[float | None, ...]


class DeviceCount(msgspec.Struct):
    """Readings (single values) of one device. acquired = stored + lost.

    `not_acquired`: answered by a polled device while its gateway died or stood still; such an answer never came to the outbox.
    """

    device: str
    kind: str
    acquired: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    not_acquired: int = 0
    longest_gap_s: float = 0.0


class Reckoning(msgspec.Struct, frozen=True):
    """Every device, and the first few of what is wrong."""

    devices: list[DeviceCount]
    examples: list[str]


def reckon(
    kind: str,
    ledger: Iterable[Taken],
    rows: Iterable[Found],
    blind: Sequence[tuple[int, int]] = (),
) -> Reckoning:
    """Judge the devices of one kind. `blind`: unix nanoseconds between which a missing answer was never acquired."""
    examples: list[str] = []
    by_device: dict[str, list[Taken]] = {}
    for one in ledger:
        by_device.setdefault(one.device, []).append(one)
    found: dict[str, dict[int, list[Found]]] = {}
    for row in rows:
        found.setdefault(row.device, {}).setdefault(row.key, []).append(row)
    counts = []
    for device in sorted(by_device.keys() | found.keys()):
        taken = sorted(by_device.get(device, []), key=lambda one: one.t_ns)
        count = DeviceCount(device, kind)
        counts.append(count)
        _judge(count, taken, found.get(device, {}), blind, examples)
    return Reckoning(counts, examples)


def _judge(
    count: DeviceCount,
    taken: list[Taken],
    found: dict[int, list[Found]],
    blind: Sequence[tuple[int, int]],
    examples: list[str],
) -> None:
    def tell(what: str, one: Taken | Found) -> None:
        if len(examples) < MOST_EXAMPLES:
            at = f" at {one.t_ns}" if isinstance(one, Taken) else ""
            examples.append(f"{what}: {one.device} {one.key}{at}")

    stored: list[int] = []
    for one in taken:
        rows = found.get(one.key, [])
        if not rows:
            if any(lo <= one.t_ns <= hi for lo, hi in blind):
                count.not_acquired += len(one.values)
                continue
            count.lost += len(one.values)
            tell("lost", one)
        else:
            stored.append(one.t_ns)
            count.stored += len(one.values)
            if rows[0].values != one.values:
                wrong = sum(a != b for a, b in zip(one.values, rows[0].values, strict=True))
                count.wrong += wrong
                tell("wrong", one)
            if len(rows) > 1:
                count.duplicated += (len(rows) - 1) * len(one.values)
                tell("duplicated", one)
        count.acquired += len(one.values)
    known = {one.key for one in taken}
    for key, rows in found.items():
        if key not in known:  # stored, and no such device said so
            count.wrong += sum(len(row.values) for row in rows)
            tell("wrong", rows[0])
    gaps = [(b - a) / 1e9 for a, b in pairwise(stored)]
    count.longest_gap_s = round(max(gaps, default=0.0), 2)


def repeated(ledger: Iterable[Taken]) -> int:
    """Keys that stand twice in the ledger: none, or the comparison means nothing."""
    seen = Counter((one.device, one.key) for one in ledger)
    return sum(n - 1 for n in seen.values())
