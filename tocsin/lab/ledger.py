"""Ground truth against the store, value by value.

Each virtual device writes one line for every scan its port answered, before the answer leaves. Nothing here trusts the
gateway's or the cloud's own counts but one: how many readings the dead-band held back; and those must each be explained by
the rule itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

WINDOW_NS = 10_000_000_000  # longest way from a device's answer to the gateway's stamp, on a machine that is very busy
MAX_MISSING = 10_000
CLOCK_NS = 1_000_000  # a receiver's own time is told in whole milliseconds

Values = Mapping[str, float | int | bool | str | None]


class Scan(msgspec.Struct, frozen=True):
    """One answered scan (ledger) or one stored row (store), in canonical units."""

    device: str
    t_ns: int
    values: dict[str, float | int | bool | str | None]


class Mark(msgspec.Struct, frozen=True):
    """A moment the device itself knows, such as its register crossing a limit."""

    mark: str
    device: str
    t_ns: int
    quantity: str = ""
    limit: float = 0.0
    value: float = 0.0


class Ledger(msgspec.Struct):
    """Everything one or more ledger files hold."""

    scans: list[Scan]
    marks: list[Mark]


class Tally(msgspec.Struct):
    """Counts in readings (values). `unread`: answered but never taken, because the gateway was stopping."""

    acquired: int = 0
    stored: int = 0
    unread: int = 0
    lost: int = 0
    duplicates: int = 0
    wrong: int = 0
    unmatched: int = 0
    unexplained: int = 0
    uncommitted: int = 0
    examples: list[str] = []
    missing: list[
        Scan
    ] = []  # answered, neither stored nor explained by the dead-band; the oldest MAX_MISSING


def read_ledgers(paths: Sequence[Path]) -> Ledger:
    """Parse ledger files; a last line cut short by a kill is not an answer and is left out."""
    scans: list[Scan] = []
    marks: list[Mark] = []
    unsent: set[tuple[str, int]] = set()
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = msgspec.json.decode(line)
            if "mark" in record:
                mark = msgspec.convert(record, Mark)
                marks.append(mark)
                if mark.mark == "not-sent":
                    unsent.add((mark.device, mark.t_ns))
            else:
                scans.append(msgspec.convert(record, Scan))
    return Ledger([s for s in scans if (s.device, s.t_ns) not in unsent], marks)


def compare(
    ledger: Sequence[Scan],
    stored: Sequence[Scan],
    *,
    deadbands: Mapping[str, Mapping[str, float]],
    stop_ns: int,
    suppressed: int,
    pending_rows: int = 0,
) -> Tally:
    """Match every stored row to the answered scan it stores and compare each value.

    A scan is answered before its row is stamped, on the same machine's clock, and at most `WINDOW_NS` before. Scans answered
    at or after `stop_ns` that are not stored count as unread. `suppressed` are readings the gateway says
    it held back, `pending_rows` the rows it says its outbox still holds.
    """
    tally = Tally()
    by_device: dict[str, list[Scan]] = {}
    for scan in ledger:
        by_device.setdefault(scan.device, []).append(scan)
    rows: dict[str, list[Scan]] = {}
    for row in stored:
        rows.setdefault(row.device, []).append(row)
    for device in rows.keys() - by_device.keys():
        _note(
            tally,
            "wrong",
            sum(map(_readings, rows[device])),
            f"{device}: stored, but no such device answered",
        )
    missing: list[Scan] = []
    for device, scans in by_device.items():
        missing += _compare_device(
            tally,
            sorted(scans, key=lambda s: s.t_ns),
            sorted(rows.get(device, ()), key=lambda s: s.t_ns),
            WINDOW_NS,
            deadbands.get(device, {}),
            stop_ns,
        )
    tally.acquired -= tally.unread
    missing.sort(key=lambda scan: scan.t_ns)
    tally.missing = missing[:MAX_MISSING]
    waiting = missing[len(missing) - min(pending_rows, len(missing)) :]
    tally.uncommitted = sum(map(_readings, waiting))
    tally.lost = max(
        tally.unmatched - suppressed - tally.uncommitted, tally.unexplained - tally.uncommitted, 0
    )
    if not tally.lost:
        tally.examples = [e for e in tally.examples if not e.startswith("unexplained")]
    return tally


def _compare_device(
    tally: Tally,
    scans: list[Scan],
    rows: list[Scan],
    window_ns: int,
    deadband: Mapping[str, float],
    stop_ns: int,
) -> list[Scan]:
    """Adds to the tally; what was answered and is neither stored nor explained by the dead-band."""
    missing: list[Scan] = []
    taken = _match(tally, scans, rows, window_ns)
    held: dict[str, float | int | bool | str | None] = {}
    for index, scan in enumerate(scans):
        n = _readings(scan)
        tally.acquired += n
        if index in taken:
            tally.stored += n
            held = dict(scan.values)
        elif scan.t_ns >= stop_ns:
            tally.unread += n
        else:
            tally.unmatched += n
            if not _within(scan.values, held, deadband):
                what = f"{scan.device} at {scan.t_ns}: answered {scan.values}, not stored"
                _note(tally, "unexplained", n, what)
                missing.append(scan)
    return missing


def _match(tally: Tally, scans: list[Scan], rows: list[Scan], window_ns: int) -> set[int]:
    """Indices of the answered scans that a row stores. Both lists are in time order, and so is the match.

    First every row takes the next scan with its very values. A row that found none is a duplicate when it repeats the
    row before it, or when no unmatched scan lies between its neighbours'; else it is that scan, altered.
    """
    taken: dict[int, int] = {}  # row -> scan
    at = 0
    for r, row in enumerate(rows):
        for i in range(at, len(scans)):
            if scans[i].t_ns > row.t_ns + CLOCK_NS:
                break
            if row.t_ns - scans[i].t_ns <= window_ns and _equal(scans[i], row):
                taken[r], at = i, i + 1
                break
    matched = set(taken.values())
    for r, row in enumerate(rows):
        if r in taken or not row.values:
            continue
        before = max((taken[k] for k in range(r) if k in taken), default=-1)
        after = min((taken[k] for k in range(r + 1, len(rows)) if k in taken), default=len(scans))
        free = [
            i
            for i in range(before + 1, after)
            if i not in matched and scans[i].t_ns <= row.t_ns + CLOCK_NS
        ]
        if not free or (before >= 0 and _equal(scans[before], row)):
            _note(tally, "duplicates", _readings(row), f"{row.device} at {row.t_ns}: {row.values}")
            continue
        scan = scans[free[-1]]
        taken[r] = free[-1]
        matched.add(free[-1])
        wrong = [
            q
            for q in scan.values.keys() | row.values.keys()
            if not _same(scan.values.get(q), row.values.get(q))
        ]
        detail = {q: (scan.values.get(q), row.values.get(q)) for q in wrong}
        _note(
            tally, "wrong", len(wrong), f"{scan.device} at {scan.t_ns}: answered, stored: {detail}"
        )
    return matched


def _equal(a: Scan, b: Scan) -> bool:
    return all(_same(a.values.get(q), b.values.get(q)) for q in a.values.keys() | b.values.keys())


def _readings(scan: Scan) -> int:
    return sum(v is not None for v in scan.values.values())


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def _within(values: Values, held: Values, deadband: Mapping[str, float]) -> bool:
    for quantity, value in values.items():
        last = held.get(quantity)
        if value == last:
            continue
        if not isinstance(value, int | float) or not isinstance(last, int | float):
            return False
        if abs(value - last) > deadband.get(quantity, 0.0) + 1e-12:
            return False
    return True


def _note(tally: Tally, field: str, n: int, example: str) -> None:
    setattr(tally, field, getattr(tally, field) + n)
    if len(tally.examples) < 20:
        tally.examples.append(f"{field}: {example}")
