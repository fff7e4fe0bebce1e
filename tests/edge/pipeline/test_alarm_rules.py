"""The two-level alarm: each transition, and what never happens."""

from __future__ import annotations

from itertools import count

import pytest

from edge.pipeline import AlarmBoard, AlarmRule
from edge.pipeline.alarms import Site
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import AlarmChange
from tocsin.contract.quality import Quality
from tocsin.errors import AlarmRefusal, AlarmRefusedError

S = 1_000_000_000
HIGH = AlarmRule("gas-01", "h2s", "h2s-high", level1=10.0, level2=15.0, hysteresis=1.0)
LOW = AlarmRule("gas-01", "o2", "o2-low", level1=19.5, level2=18.0, direction="low", hysteresis=0.2)


class Bench:
    """One rule on a board, fed one value a second."""

    def __init__(self, rule: AlarmRule) -> None:
        self.rule, self.at = rule, 0
        ids = count(1)
        self.board = AlarmBoard([(rule, Site("gas", "[ppm]"))], lambda _: f"A{next(ids)}")

    def feed(self, *values: float | None, quality: int = 0) -> list[str]:
        """What happened: change and level."""
        return [f"{d.change.value} {d.level}" for d in self.drafts(*values, quality=quality)]

    def drafts(self, *values: float | None, quality: int = 0) -> list[AlarmDraft]:
        """The transitions."""
        found = []
        for value in values:
            self.at += S
            draft = self.board.observe(self.rule.key, value, quality, t_ns=self.at, mono_ns=self.at)
            if draft is not None:
                found.append(draft)
        return found

    @property
    def alarm(self) -> str:
        """Id of the open alarm."""
        (state,) = self.board.active()
        return state.occurrence

    def ack(self, actor: str = "li") -> AlarmDraft:
        """Acknowledge it."""
        return self.board.acknowledge(self.alarm, actor=actor, note="", t_ns=self.at)

    def reset(self, actor: str = "li") -> AlarmDraft:
        """Reset it."""
        return self.board.reset(self.alarm, actor=actor, note="", t_ns=self.at)

    def refusal(self, act: str) -> AlarmRefusal:
        """Why `ack` or `reset` is refused."""
        with pytest.raises(AlarmRefusedError) as caught:
            getattr(self, act)()
        return caught.value.reason


def test_a_release_raises_escalates_deescalates_and_returns() -> None:
    found = Bench(HIGH).feed(9.99, 10.0, 12.0, 15.0, 14.5, 14.0, 9.5, 9.0)
    assert found == ["raised 1", "escalated 2", "deescalated 1", "returned 1"]


def test_a_leap_over_both_limits_raises_level_two_at_once() -> None:
    assert Bench(HIGH).feed(3.0, 40.0, 3.0) == ["raised 2", "returned 2"]


def test_oxygen_alarms_downwards() -> None:
    found = Bench(LOW).feed(20.9, 19.5, 18.0, 18.1, 18.2, 19.6, 19.7)
    assert found == ["raised 1", "escalated 2", "deescalated 1", "returned 1"]


def test_without_hysteresis_the_limit_itself_is_beyond() -> None:
    rule = AlarmRule("gas-01", "h2s", "x", level1=10.0)
    assert Bench(rule).feed(10.0, 10.0, 9.999) == ["raised 1", "returned 1"]


def test_the_message_tells_value_limit_unit_and_state() -> None:
    (draft,) = Bench(HIGH).drafts(12.5)
    assert draft == AlarmDraft(
        alarm="A1", device="gas-01", measurement="gas", quantity="h2s", rule="h2s-high",
        change=AlarmChange.RAISED, level=1, t=S, value=12.5, unit="[ppm]", limit=10.0,
        latched=True, acknowledged=False, beyond=True, first_ns=S,
    )  # fmt: skip


def test_a_latched_alarm_keeps_its_id_until_it_is_reset() -> None:
    bench = Bench(HIGH)
    ids = [d.alarm for d in bench.drafts(12.0, 5.0, 12.0, 5.0)]
    assert ids == ["A1"] * 4
    bench.ack()
    assert bench.reset().alarm == "A1"
    assert bench.board.active() == []
    assert [d.alarm for d in bench.drafts(12.0)] == ["A2"]


def test_beyond_again_before_the_reset_is_a_repeat_that_must_be_acknowledged_again() -> None:
    bench = Bench(HIGH)
    bench.feed(12.0)
    bench.ack()
    bench.feed(5.0)
    (draft,) = bench.drafts(12.0)
    assert (draft.change, draft.acknowledged, draft.beyond) == (AlarmChange.REPEATED, False, True)
    assert (draft.first_ns, draft.last_ns) == (S, 3 * S)


def test_an_escalation_must_be_acknowledged_again() -> None:
    bench = Bench(HIGH)
    bench.feed(12.0)
    assert bench.ack().acknowledged
    bench.feed(20.0)
    assert not bench.board.active()[0].acknowledged
    assert bench.ack("wang").actor == "wang"


def test_without_latch_the_return_ends_it() -> None:
    rule = AlarmRule("gas-01", "h2s", "x", level1=10.0, latch=False)
    bench = Bench(rule)
    (raised, returned) = bench.drafts(12.0, 5.0)
    assert (returned.alarm, returned.latched, returned.beyond) == (raised.alarm, False, False)
    assert bench.board.active() == []
    assert [d.alarm for d in bench.drafts(12.0)] == ["A2"]


def test_the_on_delay_must_pass_without_a_break() -> None:
    rule = AlarmRule("gas-01", "h2s", "x", level1=10.0, level2=15.0, on_delay_ns=3 * S)
    assert Bench(rule).feed(12.0, 12.0, 12.0) == []
    assert Bench(rule).feed(12.0, 12.0, 12.0, 12.0) == ["raised 1"]
    assert Bench(rule).feed(12.0, 12.0, 9.0, 12.0, 12.0, 12.0) == []
    assert Bench(rule).feed(12.0, 12.0, 20.0, 20.0, 20.0, 20.0) == ["raised 1", "escalated 2"]
    assert Bench(rule).feed(20.0, 20.0, 20.0, 20.0) == ["raised 2"]


@pytest.mark.parametrize(
    "quality", [Quality.BAD, Quality.DEVICE_FAULT, Quality.SENSOR_FAULT, Quality.COMMS]
)
def test_a_bad_value_neither_raises_nor_clears(quality: Quality) -> None:
    bench = Bench(HIGH)
    assert bench.feed(50.0, quality=quality) == []
    bench.feed(12.0)
    assert bench.feed(0.0, None, quality=quality) == []
    assert bench.board.active()[0].zone == 1


def test_beyond_the_instruments_span_is_still_gas() -> None:
    bench = Bench(HIGH)
    assert bench.feed(500.0, quality=Quality.RANGE) == ["raised 2"]
    assert bench.feed(-5.0, quality=Quality.RANGE) == []


def test_uncertain_values_count() -> None:
    found = Bench(HIGH).feed(12.0, 3.0, quality=Quality.RATE)
    assert found == ["raised 1", "returned 1"]


def test_a_reset_is_refused_until_value_and_people_allow_it() -> None:
    bench = Bench(HIGH)
    bench.feed(12.0)
    assert bench.refusal("reset") is AlarmRefusal.STILL_BEYOND_LIMIT
    bench.feed(9.5)
    assert bench.refusal("reset") is AlarmRefusal.STILL_BEYOND_LIMIT
    bench.feed(5.0)
    assert bench.refusal("reset") is AlarmRefusal.NOT_ACKNOWLEDGED
    bench.ack()
    assert bench.refusal("ack") is AlarmRefusal.ALREADY_ACKNOWLEDGED
    bench.feed(5.0, quality=Quality.SENSOR_FAULT)
    assert bench.refusal("reset") is AlarmRefusal.VALUE_UNKNOWN
    bench.feed(5.0)
    bench.board.lose("gas-01")
    assert bench.refusal("reset") is AlarmRefusal.VALUE_UNKNOWN
    bench.feed(5.0)
    assert bench.reset().change is AlarmChange.RESET


def test_acting_needs_a_name_and_a_known_alarm() -> None:
    bench = Bench(HIGH)
    bench.feed(12.0)
    with pytest.raises(AlarmRefusedError) as caught:
        bench.board.acknowledge(bench.alarm, actor="  ", note="", t_ns=0)
    assert caught.value.reason is AlarmRefusal.NO_NAME
    with pytest.raises(AlarmRefusedError) as caught:
        bench.board.reset("A9", actor="li", note="", t_ns=0)
    assert caught.value.reason is AlarmRefusal.UNKNOWN_ALARM


def test_an_open_alarm_is_the_same_alarm_after_a_restart() -> None:
    before = Bench(HIGH)
    before.feed(12.0)
    before.ack()
    after = Bench(HIGH)
    after.board.restore(before.board.dump())
    assert after.board.active() == before.board.active()
    assert after.refusal("reset") is AlarmRefusal.STILL_BEYOND_LIMIT
    assert after.feed(12.0, 13.0) == []
    assert [d.alarm for d in after.drafts(16.0, 2.0)] == ["A1", "A1"]


def test_a_returned_alarm_is_not_reset_after_a_restart_before_a_value_came() -> None:
    before = Bench(HIGH)
    before.feed(12.0, 5.0)
    before.ack()
    after = Bench(HIGH)
    after.board.restore(before.board.dump())
    assert after.refusal("reset") is AlarmRefusal.VALUE_UNKNOWN
    after.feed(5.0)
    assert after.reset().alarm == "A1"


def test_an_alarm_whose_rule_is_gone_is_kept_as_an_orphan() -> None:
    before = Bench(HIGH)
    before.feed(12.0)
    after = Bench(LOW)
    after.board.restore(before.board.dump())
    assert [s.occurrence for s in after.board.orphans] == ["A1"]
    assert after.board.dump() == before.board.dump()
