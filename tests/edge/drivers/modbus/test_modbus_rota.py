"""Whose turn it is, on a clock of the test's own."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from edge.drivers.modbus.station import Station
from edge.rota import NS, Rota

MS = 1_000_000


def _stations(config: Any, count: int, period_s: float = 0.1) -> list[Station]:
    devices = [
        {"id": f"d{n}", "unit_id": n, "profile": "jxct-co", "period_s": period_s}
        for n in range(1, count + 1)
    ]
    settings = config("127.0.0.1:502", *devices, backoff_max_s=5.0)
    return [Station(settings, device) for device in settings.devices]


def _simulate(
    stations: list[Station],
    dead: set[str],
    seconds: float,
    *,
    slow: str = "",
    patient: bool = False,
) -> dict[str, list[int]]:
    """Start times of each station's turns; a good read takes 2 ms, a slow one 40 ms, a dead one 250 ms or its patience."""
    now_ns, random = 0, Random(1)
    rota = Rota(stations, now_ns)
    turns: dict[str, list[int]] = {station.spec.id: [] for station in stations}
    while now_ns < seconds * NS:
        station, due_ns = rota.next(now_ns)
        now_ns = max(now_ns, due_ns)
        started_ns = now_ns
        turns[station.spec.id].append(started_ns)
        if station.spec.id in dead:
            now_ns += int(station.patience_s * NS) if patient else 250 * MS
            station.failed(now_ns, random)
        else:
            now_ns += (40 if station.spec.id == slow else 2) * MS
            station.succeeded(started_ns, now_ns)
        rota.took(station, started_ns, now_ns)
    return turns


def test_the_schedule_does_not_drift(config: Any) -> None:
    turns = _simulate(_stations(config, 3), set(), 10)
    for number, times in enumerate(turns.values()):
        assert times == [number * 2 * MS + i * 100 * MS for i in range(len(times))]


def test_dead_devices_get_a_tenth_of_the_line_and_live_ones_keep_nine_tenths_of_their_turns(
    config: Any,
) -> None:
    dead = {f"d{n}" for n in range(2, 11)}
    turns = _simulate(_stations(config, 10), dead, 60)
    spent = sum(len(turns[name]) for name in dead) * 0.25
    assert spent <= 60 * 0.1 + 9 * 0.25 + 0.25
    assert len(turns["d1"]) >= 600 * 0.85
    assert all(turns[name] for name in dead)


def test_live_devices_keep_their_sample_times_beside_a_dead_and_a_slow_one(config: Any) -> None:
    def late(dead: set[str], slow: str) -> list[float]:
        turns = _simulate(_stations(config, 6, period_s=0.5), dead, 280, slow=slow, patient=True)
        found = []
        for name in ("d1", "d2", "d3", "d4"):
            times = turns[name][2:]
            assert len(times) >= 556
            found += [abs((b - a) / (0.5 * NS) - 1) for a, b in pairwise(times)]
        return sorted(found)

    assert late(set(), "")[-1] < 0.01
    assert late({"d5"}, "d6")[-1] < 0.1


def test_a_dead_device_that_answers_too_slowly_for_every_gap_is_still_given_its_full_time(
    config: Any,
) -> None:
    stations = _stations(config, 6, period_s=0.1)
    dead, given = stations[4], []
    dead.timeout_s = 3.0
    now_ns, random = 0, Random(1)
    rota = Rota(stations, now_ns)
    while now_ns < 1000 * NS:
        station, due_ns = rota.next(now_ns)
        now_ns = started_ns = max(now_ns, due_ns)
        if station is dead:
            given.append(dead.patience_s)
            now_ns += int(dead.patience_s * NS)
            dead.failed(now_ns, random)
        else:
            now_ns += 2 * MS
            station.succeeded(started_ns, now_ns)
        rota.took(station, started_ns, now_ns)
    assert 3 <= given.count(3.0) <= 5
    assert len(given) > 100


def test_a_saturated_line_still_tries_its_dead_device(config: Any) -> None:
    turns = _simulate(_stations(config, 3, period_s=0.001), {"d3"}, 20)
    assert len(turns["d3"]) >= 3
    assert min(len(turns["d1"]), len(turns["d2"])) > 1000


def test_backoff_doubles_up_to_its_cap_and_ends_with_the_first_answer(config: Any) -> None:
    station = _stations(config, 1)[0]
    pauses = []
    for _ in range(10):
        station.failed(0, Random(2))
        pauses.append(station.due_ns / NS)
    assert pauses[0] < 0.13
    assert 4.0 <= pauses[-1] <= 6.0
    assert pauses[3] > 2 * pauses[0]
    station.succeeded(0, 2 * MS)
    assert station.due_ns == 100 * MS
    assert station.well
