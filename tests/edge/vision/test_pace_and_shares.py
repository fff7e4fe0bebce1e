"""How often cameras are looked at, and who is next when not all can be: pure rules."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vision.pipeline.pace import Attention, Pace, Rates
from edge.vision.pipeline.retry import Retry
from edge.vision.pipeline.shares import Budget, Shares
from tocsin.errors import DriverReason

S = 1_000_000_000
RATES = Rates(idle_fps=0.5, gated_fps=1.0, open_fps=5.0, hold_s=30.0)


def _looked(pace: Pace, from_s: float, to_s: float, fps: float = 30.0) -> int:
    """How many frames of a camera are taken."""
    count = 0
    for i in range(round((to_s - from_s) * fps)):
        now = round((from_s + i / fps) * S)
        if pace.due(now):
            pace.taken(now)
            count += 1
    return count


def test_a_quiet_camera_is_looked_at_rarely_and_one_with_a_track_often_until_it_is_over() -> None:
    pace = Pace(RATES)
    assert _looked(pace, 0, 60) == 30
    pace.found(Attention.GATED, 60 * S)
    assert 20 <= _looked(pace, 60, 80) <= 21
    pace.found(Attention.OPEN, 80 * S)
    assert 99 <= _looked(pace, 80, 100) <= 101
    pace.found(Attention.IDLE, 100 * S)  # one quiet frame does not end it
    assert pace.attention(100 * S) is Attention.OPEN
    assert pace.attention(111 * S) is Attention.IDLE
    assert 30 <= _looked(pace, 111, 171) <= 31


def test_an_open_track_is_looked_at_soon_though_the_idle_turn_is_far() -> None:
    pace = Pace(Rates(idle_fps=1 / 60))
    pace.taken(0)
    pace.found(Attention.OPEN, 1 * S)
    assert not pace.due(1 * S)
    assert pace.due(round(1.2 * S))


def test_time_that_nobody_looked_is_not_made_up_for() -> None:
    pace = Pace(RATES)
    assert _looked(pace, 1000, 1010) <= 6


def _served(
    shares: Shares, ready: dict[str, tuple[float, Attention]], work_s: float
) -> Counter[str]:
    served: Counter[str] = Counter()
    spent = 0.0
    while spent < work_s:
        camera = shares.next(ready)
        assert camera is not None
        took, attention = ready[camera]
        shares.pay(camera, took, attention)
        served[camera] += 1
        spent += took
    return served


def test_under_overload_an_open_track_gets_its_frames_and_nobody_starves() -> None:
    ready = {f"idle-{i}": (0.01, Attention.IDLE) for i in range(7)}
    served = _served(Shares(), {**ready, "fire": (0.01, Attention.OPEN)}, 17.0)
    assert 950 <= served["fire"] <= 1050
    assert all(95 <= served[camera] <= 105 for camera in ready)


def test_a_camera_with_large_pictures_gets_the_same_time_not_the_same_frames() -> None:
    served = _served(Shares(), {"small": (0.01, Attention.IDLE), "large": (0.04, Attention.IDLE)}, 8.0)  # fmt: skip
    assert 3.5 <= served["small"] / served["large"] <= 4.5


def test_who_was_away_comes_back_without_credit() -> None:
    shares = Shares()
    _served(shares, {"here": (0.01, Attention.IDLE)}, 10.0)
    served = _served(shares, {"here": (0.01, Attention.IDLE), "back": (0.01, Attention.IDLE)}, 1.0)
    assert 45 <= served["here"] <= 55
    assert shares.next([]) is None


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2 * S), st.floats(0.001, 0.2)), min_size=20, max_size=60), st.floats(0.1, 0.9))  # fmt: skip
def test_no_more_than_its_share_of_a_core_is_spent(steps: list[tuple[int, float]], share: float) -> None:  # fmt: skip
    now, spent = 0, 0.0
    budget = Budget(share, now)
    for idle_ns, work_s in steps:
        now += idle_ns + round(budget.wait_s(now + idle_ns) * 1e9)
        assert budget.wait_s(now) <= 0.0011
        now += round(work_s * 1e9)
        spent += work_s
        budget.spend(work_s, now)
    assert spent <= share * now / 1e9 + 0.25 * share + 0.2 + 0.01


def test_a_camera_that_is_away_is_tried_soon_and_one_that_refuses_us_ever_later() -> None:
    retry = Retry()
    assert all(retry.next_delay_s(DriverReason.NO_ANSWER) <= 0.6 for _ in range(50))
    refused = [retry.next_delay_s(DriverReason.PERMISSION) for _ in range(12)]
    assert refused[0] <= 1.25
    assert all(22.5 <= delay <= 37.5 for delay in refused[6:])
    assert retry.next_delay_s(DriverReason.REFUSED) <= 0.6
    assert retry.next_delay_s(DriverReason.PERMISSION) <= 1.25
