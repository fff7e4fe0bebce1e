"""Rules exchanged while samples come: who stays does not notice."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline import AlarmRule, CheckRule, Pipeline
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.sdk import Channel, DeviceSpec, Sample

S = 1_000_000_000
A = DeviceSpec("a", "gas", (Channel("h2s", "[ppm]"), Channel("co", "[ppm]")))
B = DeviceSpec("b", "gas", (Channel("h2s", "[ppm]"),))
OTHER_B = DeviceSpec("b", "gas", (Channel("co", "[ppm]"),))
CHECKS = (
    CheckRule("a", "h2s", high=50.0, rate_per_s=9.0, flatline_ns=3 * S),
    CheckRule("a", "co", deadband=1.5, deadband_max_ns=20 * S),
)
ALARMS = (
    AlarmRule("a", "h2s", "h2s-high", 5.0, 10.0, hysteresis=1.0, on_delay_ns=2 * S),
    AlarmRule("a", "co", "co-low", 2.0, direction="low", latch=False),
)
VALUES = st.one_of(st.none(), st.floats(0, 60), st.sampled_from([4.0, 5.0, 10.0]))
Turn = tuple[float | None, float | None, str]
TURNS = st.lists(
    st.tuples(VALUES, VALUES, st.sampled_from(["", "same", "without-b", "other-b", "rule-of-b"]))
)


def pipeline() -> Pipeline:
    """Both devices, with ids that count."""
    ids = itertools.count()
    return Pipeline([A, B], CHECKS, ALARMS, new_id=lambda _: f"A{next(ids)}")


def replace(judged: Pipeline, how: str) -> None:
    """Exchange something that is not of `a`."""
    if how == "same":
        judged.replace([A, B], CHECKS, ALARMS)
    elif how == "without-b":
        judged.replace([A], CHECKS, ALARMS)
    elif how == "other-b":
        judged.replace([OTHER_B, A], CHECKS, ALARMS)
    elif how == "rule-of-b":
        judged.replace([A, B], CHECKS, (*ALARMS, AlarmRule("b", "h2s", "x", 1.0)))


def judge(judged: Pipeline, turns: list[Turn], *, replacing: bool) -> list[object]:
    """Everything that came of the samples of `a`."""
    found: list[object] = []
    for n, (h2s, co, how) in enumerate(turns):
        if replacing:
            replace(judged, how)
        at_ns = 1_800_000_000 * S + n * S
        out = judged.process(Sample(A, at_ns, (h2s, co)), at_ns)
        rows: list[Row] = out.rows
        drafts: list[AlarmDraft] = [*out.alarms, *judged.board.tick(at_ns, at_ns)]
        found += [*rows, *(d for d in drafts if d.device == "a"), out.suppressed]
    return found


@given(TURNS)
def test_a_device_does_not_notice_that_others_change(turns: list[Turn]) -> None:
    assert judge(pipeline(), turns, replacing=True) == judge(pipeline(), turns, replacing=False)


def test_an_open_alarm_stays_while_its_limits_move_and_comes_back_with_its_rule() -> None:
    judged = pipeline()
    for n in range(4):
        judged.process(Sample(A, n * S, (12.0, 9.0)), n * S)
    (state,) = judged.board.active()
    assert state.level == 2
    judged.replace([A, B], (), (AlarmRule("a", "h2s", "h2s-high", 11.0),))
    (moved,) = judged.board.active()
    assert moved == state
    judged.replace([A, B])
    assert (judged.board.active(), judged.board.orphans) == ([], [state])
    judged.replace([A, B], CHECKS, ALARMS)
    assert (judged.board.active(), judged.board.orphans) == ([state], [])
    (draft,) = judged.process(Sample(A, 9 * S, (1.0, 9.0)), 9 * S).alarms
    assert (draft.alarm, draft.change.value) == (state.occurrence, "returned")


def test_stamps_of_a_changed_device_go_on_increasing() -> None:
    judged = pipeline()
    (first,) = judged.process(Sample(B, 5 * S, (1.0,)), 0).rows
    judged.replace([A, OTHER_B], CHECKS, ALARMS)
    (second,) = judged.process(Sample(OTHER_B, 5 * S, (1.0,)), 0).rows
    assert second.time_ns == first.time_ns + 1
