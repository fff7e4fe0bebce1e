"""Rows against the truth, wherever the rows come from: straight from a driver, or read back from the store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.traces.truth import SECOND, Reading, Stated

JUMP = 13
_TIES_NS = 1_000  # rows of one source time lie this close together at most
_ROLLOVER_NS = 1024 * 7 * 86_400 * SECOND  # GPS weeks count to 1024


class Got(NamedTuple):
    """One row as it was delivered or stored."""

    time_ns: int
    source_ns: int | None
    values: dict[str, Any]
    quality: dict[str, int]


def readings(expected: Sequence[Reading], got: Sequence[Got]) -> list[str]:
    """Every difference in number, order, time, value and mark; empty when there is none."""
    timed = sorted(
        (r for r in expected if r.source_ns is not None), key=lambda r: r.source_ns or 0
    ) + [r for r in expected if r.source_ns is None]
    rows = sorted((g for g in got if g.source_ns is not None), key=lambda g: g.time_ns) + sorted(
        (g for g in got if g.source_ns is None), key=lambda g: g.time_ns
    )
    wrong = [] if len(timed) == len(rows) else [f"{len(timed)} rows expected, {len(rows)} found"]
    last = -(2**63)
    for want, row in zip(timed, rows, strict=False):
        if row.source_ns != want.source_ns:
            wrong.append(f"{want.source_ns}: source time {row.source_ns}")
        if want.source_ns is not None:
            if not 0 <= row.time_ns - want.source_ns < _TIES_NS or row.time_ns <= last:
                wrong.append(f"{want.source_ns}: stamped {row.time_ns}, after {last}")
            last = row.time_ns
        wrong += _values(want, row)
    return wrong


def _values(want: Reading, row: Got) -> list[str]:
    wrong = []
    for quantity, value in want.values.items():
        found, code = row.values.get(quantity), row.quality.get(quantity, 0)
        same = found is None if value is None else _close(value, found)
        if not same:
            wrong.append(f"{want.source_ns}: {quantity} {value} became {found}")
        allowed = {want.marks.get(quantity, 0)} | (
            {JUMP} if quantity in ("lat", "lon", "speed") else set()
        )
        if code not in allowed:
            wrong.append(f"{want.source_ns}: {quantity} marked {code}, not {allowed}")
    return wrong


def _close(value: float, found: object) -> bool:
    return isinstance(found, int | float) and math.isclose(
        value, found, rel_tol=1e-12, abs_tol=1e-12
    )


def positions(stated: Sequence[Stated], got: Sequence[Got]) -> list[str]:
    """Each delivered position must be one its own sentences state; no stated moment may be absent."""
    with_position = [s for s in stated if s.positions]
    found = [g for g in got if g.values["lat"] is not None]
    wrong = []
    if len(with_position) != len(found):
        wrong.append(f"{len(with_position)} moments with a position, {len(found)} delivered")
    for want, row in zip(with_position, found, strict=False):
        here = (row.values["lat"], row.values["lon"])
        if not any(math.dist(here, p) < 1e-9 for p in want.positions):
            wrong.append(f"{want.clock}: {here} is none of {want.positions}")
        if row.source_ns is not None:
            day_ns = row.source_ns % (86_400 * SECOND)
            seconds, rest = divmod(day_ns, SECOND)
            clock = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
            if abs(float(clock) + rest / SECOND - float(want.clock)) > 1e-3:
                wrong.append(f"{want.clock}: stamped {clock}")
    return wrong


def gpsd(reports: Sequence[dict[str, Any]], got: Sequence[Got]) -> list[str]:
    """Against the last report gpsd made for each moment: time, mode, position within 1e-6 degrees.

    gpsd moves dates that lie 1024 weeks back; it makes no report for a last cycle that the log cuts short.
    """
    last: dict[int, dict[str, Any]] = {}
    for report in reports:
        if "time" in report:
            moment = datetime.fromisoformat(report["time"])
            last[int(moment.timestamp()) * SECOND + moment.microsecond * 1000] = report
    ours: dict[int, Got] = {}
    for row in got:
        if row.source_ns is not None:
            moved = row.source_ns + _ROLLOVER_NS
            ours[moved if moved in last else row.source_ns] = row
    wrong = [f"{report['time']}: not delivered" for ns, report in last.items() if ns not in ours]
    if [ns for ns in ours if ns in last] != list(last) and not wrong:
        wrong.append("not in gpsd's order")
    extra = [ns for ns in ours if ns not in last]
    if len(extra) > 1 or (extra and extra[0] != list(ours)[-1]):
        wrong.append(f"{len(extra)} moments that gpsd does not report: {extra[:3]}")
    for ns, report in last.items():
        if ns in ours:
            wrong += _fix(report, ours[ns])
    untimed = [r for r in reports if "time" not in r and "lat" in r]
    everywhere = [(g.values["lat"], g.values["lon"]) for g in got if g.values["lat"] is not None]
    wrong += [
        f"untimed position {report['lat']}, {report['lon']} not delivered"
        for report in untimed
        if not any(
            abs(report["lat"] - lat) <= 1e-6 and abs(report["lon"] - lon) <= 1e-6
            for lat, lon in everywhere
        )
    ]
    return wrong


def _fix(report: dict[str, Any], row: Got) -> list[str]:
    mode = report["mode"] if report["mode"] > 1 else 0
    wrong = []
    if row.values["fix"] != mode:
        wrong.append(f"{report['time']}: mode {row.values['fix']}, gpsd {mode}")
    if mode == 0:
        if any(row.values[name] is not None for name in ("lat", "lon", "speed")):
            wrong.append(f"{report['time']}: a position without a fix")
        return wrong
    for ours, theirs, tolerance in (
        ("lat", "lat", 1e-6),
        ("lon", "lon", 1e-6),
        ("alt", "altMSL", 0.01),
        ("speed", "speed", 0.002),
    ):
        if theirs in report and (
            row.values[ours] is None or abs(row.values[ours] - report[theirs]) > tolerance
        ):
            wrong.append(f"{report['time']}: {ours} {row.values[ours]}, gpsd {report[theirs]}")
    return wrong
