"""The pure rules: any order of the same events, with repeats, ends in the same alarm."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.alarms.model import (
    Occurrence,
    check_acknowledge,
    check_reset,
    is_local,
    mirrored,
    place,
    raised_by_cloud,
    returned_by_cloud,
)
from tocsin.contract.messages import VERSION, Alarm, AlarmChange
from tocsin.errors import AlarmRefusal, AlarmRefusedError

STREAM = "01JD0000000000000000000000"
CHANGES = list(AlarmChange)


def event(seq: int, change: AlarmChange, **more: object) -> Alarm:
    base = Alarm(
        VERSION, "plant", "gw-1", STREAM, seq, "A1", "gas-01", "gas", "h2s", "h2s-high",
        change, 1, 1000 + seq, value=21.0, unit="[ppm]", limit=20.0, latched=True,
    )  # fmt: skip
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return Alarm(**{**fields, **more})


RAISED = event(1, AlarmChange.RAISED)
ESCALATED = event(2, AlarmChange.ESCALATED, level=2)
ACKED = event(3, AlarmChange.ACKNOWLEDGED, acknowledged=True, actor="Li", level=2)
RETURNED = event(4, AlarmChange.RETURNED, acknowledged=True, beyond=False, level=2)
RESET = event(5, AlarmChange.RESET, acknowledged=True, beyond=False, actor="Wang", level=2)


def fold(events: list[Alarm]) -> Occurrence:
    """As the book does: each place once."""
    state: Occurrence | None = None
    seen: set[str] = set()
    for e in events:
        if place(e) not in seen:
            seen.add(place(e))
            state = mirrored(state, e)
    assert state is not None
    return state


def test_the_whole_life_of_a_latched_alarm() -> None:
    state = fold([RAISED])
    assert state.active
    assert not state.acknowledged
    state = fold([RAISED, ESCALATED])
    assert (state.level, state.max_level) == (2, 2)
    state = fold([RAISED, ESCALATED, ACKED])
    assert (state.acknowledged, state.actor, state.acknowledged_ns) == (True, "Li", ACKED.t)
    state = fold([RAISED, ESCALATED, ACKED, RETURNED])
    assert state.active
    assert not state.beyond
    state = fold([RAISED, ESCALATED, ACKED, RETURNED, RESET])
    assert not state.active
    assert (state.reset_by, state.ended_ns) == ("Wang", RESET.t)


_histories = st.lists(
    st.tuples(
        st.sampled_from(CHANGES),
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(1, 5),
        st.sampled_from(["", "Li", "Wang"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(_histories, st.data())
def test_any_order_with_any_repeats_ends_in_the_same_state(
    history: list[tuple[AlarmChange, int, bool, bool, bool, int, str]], data: st.DataObject
) -> None:
    events = [
        event(i, c, level=lv, beyond=b, acknowledged=a, latched=la, n=n, actor=who)
        for i, (c, lv, b, a, la, n, who) in enumerate(history)
    ]
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))
    expected, found = fold(events), fold(list(shuffled))
    assert found == expected
    last = events[-1]
    assert (found.level, found.beyond, found.acknowledged) == (
        last.level,
        last.beyond,
        last.acknowledged,
    )
    assert found.max_level == max(e.level for e in events) or found.max_level == 1
    assert (found.reset_ns is not None) == any(e.change is AlarmChange.RESET for e in events)


def refusal(check: object, state: Occurrence, actor: str = "Li") -> AlarmRefusal:
    with pytest.raises(AlarmRefusedError) as refused:
        check(state, actor)  # type: ignore[operator]
    return refused.value.reason


def test_operators_are_refused_for_stated_reasons() -> None:
    beyond = fold([RAISED])
    assert refusal(check_reset, beyond) is AlarmRefusal.STILL_BEYOND_LIMIT
    assert refusal(check_acknowledge, beyond, "  ") is AlarmRefusal.NO_NAME
    returned = fold([RAISED, event(2, AlarmChange.RETURNED, beyond=False)])
    assert refusal(check_reset, returned) is AlarmRefusal.NOT_ACKNOWLEDGED
    assert refusal(check_acknowledge, fold([RAISED, ACKED])) is AlarmRefusal.ALREADY_ACKNOWLEDGED
    ended = fold([RAISED, ACKED, RETURNED, RESET])
    assert refusal(check_reset, ended) is AlarmRefusal.NOT_ACTIVE
    assert refusal(check_acknowledge, ended) is AlarmRefusal.NOT_ACTIVE
    check_reset(fold([RAISED, ACKED, RETURNED]), "Li")


def test_an_alarm_without_latch_stays_until_acknowledged_and_needs_its_gateway_no_more() -> None:
    returned = fold([event(1, AlarmChange.RAISED, latched=False), event(2, AlarmChange.RETURNED, latched=False, beyond=False)])  # fmt: skip
    assert returned.active
    assert is_local(returned)
    assert not replace(returned, acknowledged=True).active


def test_a_condition_of_the_cloud_that_comes_back_is_the_same_alarm_until_acknowledged() -> None:
    first = raised_by_cloud(None, alarm="C1", site="plant", gateway="gw-1", device="", measurement="gateway", rule="gateway-silent", t_ns=5)  # fmt: skip
    back = returned_by_cloud(first, 6)
    assert back.active
    again = raised_by_cloud(back, alarm="C2", site="plant", gateway="gw-1", device="", measurement="gateway", rule="gateway-silent", t_ns=7)  # fmt: skip
    assert (again.alarm, again.beyond, again.raised_ns, again.repeats) == ("C1", True, 5, 1)
