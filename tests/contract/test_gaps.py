"""Gap markers: joined where they touch, bounded, and read by whoever is told."""

from __future__ import annotations

import msgspec

from tocsin.contract.gaps import MAX_DEVICES, SALVAGED, THINNED, Gap, as_data, gaps_of, join
from tocsin.contract.messages import VERSION, Event

STREAM = "0" * 26


def event(kind: str, data: dict[str, object]) -> Event:
    return Event(VERSION, "east", "gw-1", STREAM, 0, kind, 1, data=data)


def test_gaps_that_touch_become_one_and_others_stay_apart() -> None:
    gaps: list[Gap] = []
    join(gaps, Gap("telemetry", STREAM, 0, 10, 100, 200, {"a": 6, "b": 4}))
    join(gaps, Gap("telemetry", STREAM, 10, 15, 150, 300, {"a": 5}))
    join(gaps, Gap("telemetry", STREAM, 20, 21))
    join(gaps, Gap("event", STREAM, 21, 22))
    join(gaps, Gap("telemetry", "", 0, 3))
    join(gaps, Gap("telemetry", "", 0, 2))
    assert gaps == [
        Gap("telemetry", STREAM, 0, 15, 100, 300, {"a": 11, "b": 4}),
        Gap("telemetry", STREAM, 20, 21),
        Gap("event", STREAM, 21, 22),
        Gap("telemetry", "", 0, 5),
    ]


def test_the_names_of_devices_are_bounded_and_no_row_is_uncounted() -> None:
    gaps = [Gap("telemetry", STREAM, 0, 0)]
    for i in range(2 * MAX_DEVICES):
        join(gaps, Gap("telemetry", STREAM, i, i + 1, i, i, {f"d{i}": 1}))
    (gap,) = gaps
    assert (gap.first_ns, gap.last_ns, gap.rows) == (0, 2 * MAX_DEVICES - 1, 2 * MAX_DEVICES)
    assert len(gap.devices) == MAX_DEVICES
    assert sum(gap.devices.values()) + gap.others == gap.rows


def test_what_is_told_is_read_and_anything_else_is_no_gap() -> None:
    gaps = [Gap("telemetry", STREAM, 3, 9, 1, 2, {"gas-01": 6})]
    for kind in (THINNED, SALVAGED):
        sent = msgspec.json.decode(msgspec.json.encode(event(kind, as_data(gaps))), type=Event)
        assert gaps_of(sent) == gaps
        assert sent.data["rows"] == 6
    assert gaps_of(event("agent.started", as_data(gaps))) == []
    others: list[dict[str, object]] = [
        {},
        {"gaps": 5},
        {"ranges": [["telemetry", STREAM, 0, 1]]},
        {"gaps": [{"lo": 1}]},
    ]
    for data in others:
        assert gaps_of(event(THINNED, data)) == []
