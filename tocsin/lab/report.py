"""What `tocsin demo --json` prints, and the arithmetic behind its latency figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin.lab.ledger import Mark


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the device's register crossing its limit to the alarm on the console's event stream."""

    p50: float | None
    p99: float | None
    n: int


class DeviceReport(msgspec.Struct, frozen=True):
    """One device of the demo."""

    id: str
    kind: str
    readings: int
    state: str


class Report(msgspec.Struct, frozen=True):
    """Counts are readings (single values). acquired = stored + suppressed_by_deadband + uncommitted + lost.

    `unread`: answered by a device while the gateway was being stopped, and not taken. `audit`: the verdict of `tocsin audit`
    at the end. `examples` names the first faults.
    """

    seconds: float
    readings_acquired: int
    readings_stored: int
    lost: int
    duplicates: int
    wrong: int
    suppressed_by_deadband: int
    uncommitted: int
    unread: int
    alarms: int
    alarm_latency_ms: Latency
    poll_period_s: float
    devices: list[DeviceReport]
    console_url: str
    broker: str
    data_dir: str
    audit: str = ""
    examples: list[str] = []

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or altered."""
        return self.lost == self.duplicates == self.wrong == 0


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 100) * len(ordered) // 100) - 1))]


def latency(marks: Sequence[Mark], seen: Sequence[tuple[int, dict[str, Any]]]) -> Latency:
    """For each limit a device saw itself cross, the first alarm of that device and quantity on the console after it."""
    found: list[float] = []
    for mark in marks:
        if mark.mark != "limit-crossed":
            continue
        arrived = [
            at
            for at, alarm in seen
            if at >= mark.t_ns
            and (alarm["device"], alarm["quantity"]) == (mark.device, mark.quantity)
        ]
        if arrived:
            found.append((min(arrived) - mark.t_ns) / 1e6)
    rounded = [
        None if p is None else round(p, 1)
        for p in (percentile(found, 0.5), percentile(found, 0.99))
    ]
    return Latency(rounded[0], rounded[1], len(found))
