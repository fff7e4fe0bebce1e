"""The two-step rule, step by step and against everything that can happen in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.orders.two_step import (
    MAX_ARMED,
    Arm,
    Armed,
    Ask,
    Carry,
    Confirm,
    Effect,
    Expire,
    Guard,
    Refuse,
    Tick,
    step,
)

VALVES = (Guard("valve-*", "open", 100, "another"), Guard("valve-*", "*", 50))


def ask(code: str, device: str = "valve-1", name: str = "open", actor: str = "li") -> Ask:
    return Ask(f"id-{code}", device, name, {"level": 30}, actor, code)


def test_what_no_guard_matches_is_carried_out_at_once() -> None:
    state, effects = step({}, ask("a", device="horn-1"), VALVES, 0)
    assert (state, effects) == ({}, [Carry(ask("a", device="horn-1"))])


def test_the_first_guard_that_fits_says_who_must_confirm_and_how_soon() -> None:
    state, effects = step({}, ask("a"), VALVES, 1000)
    assert effects == [Arm(Armed(ask("a"), VALVES[0], 1100))]
    _, effects = step(state, ask("b", name="close"), VALVES, 1000)
    assert effects == [Arm(Armed(ask("b", name="close"), VALVES[1], 1050))]


def test_the_one_who_asked_cannot_confirm_where_another_must_however_the_name_is_written() -> None:
    state, _ = step({}, ask("a", actor="Li Wei"), VALVES, 0)
    for actor in ("Li Wei", " li  WEI "):
        state, effects = step(state, Confirm("c", "a", actor), VALVES, 1)
        assert isinstance(effects[0], Refuse)
    state, effects = step(state, confirm := Confirm("c", "a", "wang"), VALVES, 2)
    assert (state, effects) == ({}, [Carry(ask("a", actor="Li Wei"), confirm)])


def test_a_code_confirms_once_and_not_after_its_time() -> None:
    state, _ = step({}, ask("a"), VALVES, 0)
    after, effects = step(state, Confirm("c", "a", "wang"), VALVES, 100)
    assert after == {}
    assert [type(e) for e in effects] == [Expire, Refuse]
    once, _ = step(state, Confirm("c", "a", "wang"), VALVES, 99)
    _, effects = step(once, Confirm("d", "a", "wang"), VALVES, 99)
    assert isinstance(effects[0], Refuse)


def test_no_more_than_a_bounded_number_waits() -> None:
    state: dict[str, Armed] = {}
    for n in range(MAX_ARMED):
        state, _ = step(state, ask(str(n)), VALVES, 0)
    after, effects = step(state, ask("more"), VALVES, 0)
    assert (after, [type(e) for e in effects]) == (state, [Refuse])


class TwoStep(RuleBasedStateMachine):
    """Whatever comes in whatever order, a guarded command is carried out at most once, in time, by who may."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.asked = 0
        self.state: dict[str, Armed] = {}
        self.asks: dict[str, tuple[Ask, int, Guard | None]] = {}
        self.ended: dict[str, str] = {}

    def _step(self, event: Ask | Confirm | Tick) -> list[Effect]:
        self.state, effects = step(self.state, event, VALVES, self.now)
        for effect in effects:
            match effect:
                case Carry(carried, confirm):
                    self._carried(carried, confirm)
                case Expire(armed):
                    assert armed.until_ns <= self.now
                    self._end(armed.ask.code, "expired")
                case Arm(armed):
                    assert armed.until_ns == self.now + armed.guard.within_ns
                case Refuse():
                    pass
        own = [e for e in effects if not isinstance(e, Expire)]
        assert len(own) == (0 if isinstance(event, Tick) else 1)
        return effects

    def _end(self, code: str, how: str) -> None:
        assert code not in self.ended
        self.ended[code] = how

    def _carried(self, carried: Ask, confirm: Confirm | None) -> None:
        self._end(carried.code, "carried")
        asked, asked_at, guard = self.asks[carried.code]
        assert asked == carried
        assert (guard is None) == (confirm is None)
        if guard is not None and confirm is not None:
            assert confirm.code == carried.code
            assert self.now < asked_at + guard.within_ns
            assert guard.by == "anyone" or confirm.actor != carried.actor

    @rule(
        device=st.sampled_from(["valve-1", "valve-2", "horn-1"]),
        name=st.sampled_from(["open", "close"]),
        actor=st.sampled_from(["li", "wang"]),
    )
    def asks_for(self, device: str, name: str, actor: str) -> None:
        self.asked += 1
        event = ask(f"code-{self.asked}", device, name, actor)
        fits = device.startswith("valve-")
        guard = VALVES[0 if name == "open" else 1] if fits else None
        self.asks[event.code] = (event, self.now, guard)
        self._step(event)

    @rule(data=st.data(), actor=st.sampled_from(["li", "wang", "zhao"]))
    def confirms(self, data: st.DataObject, actor: str) -> None:
        code = data.draw(st.sampled_from([*self.asks, "wrong"]))
        before = dict(self.state)
        effects = self._step(Confirm("c", code, actor))
        if code not in before:
            assert isinstance(effects[-1], Refuse)

    @rule(passed=st.integers(0, 60), tell=st.booleans())
    def time_passes(self, passed: int, tell: bool) -> None:
        self.now += passed
        if tell:
            self._step(Tick())
            assert all(armed.until_ns > self.now for armed in self.state.values())

    @invariant()
    def every_command_waits_or_has_ended(self) -> None:
        for code in self.asks:
            assert (code in self.state) != (code in self.ended)


TestTwoStep = TwoStep.TestCase
