"""The alarm machine against a table small enough to check by eye."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.pipeline import AlarmBoard, AlarmRule
from edge.pipeline.alarms import Site
from tocsin.contract.quality import Quality
from tocsin.errors import AlarmRefusedError

RULE = AlarmRule("d", "h2s", "r", level1=10.0, level2=20.0, hysteresis=2.0)
SITE = Site("gas", "[ppm]")

# (zone before, value) -> zone after; limits 10 and 20, hysteresis 2
ZONES = {
    (0, 0): 0, (0, 8): 0, (0, 9): 0, (0, 10): 1, (0, 18): 1, (0, 19): 1, (0, 20): 2, (0, 30): 2,
    (1, 0): 0, (1, 8): 0, (1, 9): 1, (1, 10): 1, (1, 18): 1, (1, 19): 1, (1, 20): 2, (1, 30): 2,
    (2, 0): 0, (2, 8): 0, (2, 9): 1, (2, 10): 1, (2, 18): 1, (2, 19): 2, (2, 20): 2, (2, 30): 2,
}  # fmt: skip
VALUES = sorted({value for _, value in ZONES})
GOODS = [0, int(Quality.RATE), int(Quality.STALE)]
BADS = [int(Quality.DEVICE_FAULT), int(Quality.SENSOR_FAULT), int(Quality.COMMS)]


class AlarmMachine(RuleBasedStateMachine):
    """Model: zone, open, acknowledged, known."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = count(1)
        self.board = self.fresh()
        self.zone, self.open, self.acknowledged, self.known = 0, "", False, False
        self.at = 0

    def fresh(self) -> AlarmBoard:
        """A board as after a start."""
        return AlarmBoard([(RULE, SITE)], lambda _: f"A{next(self.ids)}")

    def observe(self, value: float | None, quality: int) -> str:
        """Feed one value; the change it made."""
        self.at += 1_000_000_000
        draft = self.board.observe(RULE.key, value, quality, t_ns=self.at, mono_ns=self.at)
        return draft.change.value if draft else ""

    @rule(value=st.sampled_from(VALUES), quality=st.sampled_from(GOODS))
    def good(self, value: int, quality: int) -> None:
        before, after = self.zone, ZONES[self.zone, value]
        expected = ""
        if not self.open and after:
            expected = "raised"
        elif after != before:
            expected = {
                (0, 1): "repeated", (0, 2): "repeated", (1, 2): "escalated",
                (2, 1): "deescalated", (1, 0): "returned", (2, 0): "returned",
            }[before, after]  # fmt: skip
        assert self.observe(float(value), quality) == expected
        if after > before:
            self.acknowledged = False
        self.zone, self.known = after, True
        if expected == "raised":
            self.open = self.board.active()[0].occurrence

    @rule(value=st.sampled_from([None, *VALUES]), quality=st.sampled_from(BADS))
    def bad(self, value: int | None, quality: int) -> None:
        assert self.observe(None if value is None else float(value), quality) == ""
        self.known = False

    @rule()
    def absent_for_no_fault(self) -> None:
        assert self.observe(None, 0) == ""

    @rule()
    def device_lost(self) -> None:
        self.board.lose("d")
        self.known = False

    @rule()
    def restart(self) -> None:
        saved, self.board = self.board.dump(), self.fresh()
        self.board.restore(saved)
        self.known = False
        if not self.open:
            self.zone = 0

    @rule()
    def acknowledge(self) -> None:
        allowed = bool(self.open) and not self.acknowledged
        assert (
            self.allowed(lambda: self.board.acknowledge(self.open, actor="li", note="", t_ns=0))
            is allowed
        )
        self.acknowledged = self.acknowledged or allowed

    @rule()
    def reset(self) -> None:
        allowed = bool(self.open) and not self.zone and self.known and self.acknowledged
        assert (
            self.allowed(lambda: self.board.reset(self.open, actor="li", note="", t_ns=0))
            is allowed
        )
        if allowed:
            self.open, self.acknowledged = "", False

    @staticmethod
    def allowed(act: object) -> bool:
        """Whether an action was not refused."""
        assert callable(act)
        try:
            act()
        except AlarmRefusedError:
            return False
        return True

    @invariant()
    def board_agrees(self) -> None:
        states = self.board.active()
        assert [s.occurrence for s in states] == ([self.open] if self.open else [])
        if states:
            assert (states[0].zone, states[0].acknowledged) == (self.zone, self.acknowledged)


AlarmMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAlarmMachine = AlarmMachine.TestCase
