"""The lock under any order of events: what must never happen, whatever is done to it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware_bridges.lock.bench import LINK, Bench
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Actuate,
    BatteryAt,
    BoltMoved,
    Connected,
    Disconnected,
    DoorMoved,
    Effect,
    EgressUsed,
    Happening,
    Tampered,
    Written,
)
from firmware_bridges.lock.state import LOG_EVENTS, USED_GRANTS
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.errors import GrantRefusedError
from tocsin.grants.lock_log import LockEventKind, decode_event, verify_chain

PROFILES = st.sampled_from(list(Profile))
GRANTS = st.integers(0, 5)


class WatchedLock(VirtualLock):
    """Tells what it drove the bolt to, and what its log said at that moment."""

    driven: list[tuple[bool, LockEventKind]]

    def _carried_out(self, effects: tuple[Effect, ...]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Actuate):
                last = decode_event(self.state.log[-1].event)[0]
                self.driven.append((effect.to_unlocked, LockEventKind(last.kind)))
        return super()._carried_out(effects)


class AnyOrder(RuleBasedStateMachine):
    """A lock, a client with and without rights, a door, power that comes and goes."""

    @initialize(profile=PROFILES)
    def begin(self, profile: Profile) -> None:
        WatchedLock.driven = []
        self.bench = Bench(profile, lock_type=WatchedLock)
        self.opened: Counter[bytes] = Counter()
        self.last_seq = 0
        self.floor = 0

    def attempt(self, act: object, *args: object) -> bool:
        """Whether the lock did it."""
        assert callable(act)
        try:
            act(*args)
        except (GrantRefusedError, AssertionError):  # refused, or a bolt that sticks: no answer yet
            return False
        return True

    @rule()
    def tell_time(self) -> None:
        self.attempt(self.bench.tell_time)

    @rule(number=GRANTS, uses=st.integers(1, 2), late=st.integers(0, 2000))
    def unlock(self, number: int, uses: int, late: int) -> None:
        cti = b"grant-%02d" % number
        grant = self.bench.claims(cti, ctr=10 + number, uses=uses)
        self.bench.seconds += late
        self.attempt(self.bench.hello)
        before = self.accepted(cti)
        self.attempt(self.bench.unlock, grant)
        if self.accepted(cti) > before:
            self.opened[cti] += 1
            assert late < 1740
            assert self.opened[cti] <= 2
            assert 10 + number >= self.floor

    def accepted(self, cti: bytes) -> int:
        return sum(
            event.kind == LockEventKind.UNLOCK and event.cti == cti for event in self.bench.log()
        )

    @rule()
    def guess(self) -> None:
        before = self.bench.kinds().count(LockEventKind.UNLOCK)
        assert not self.attempt(self.bench.guess)
        assert self.bench.kinds().count(LockEventKind.UNLOCK) == before

    @rule(headcount=st.sampled_from([0, 0, 1, 0xFFFF]), number=GRANTS)
    def relock(self, headcount: int, number: int) -> None:
        state = self.bench.lock.state
        cti = state.durable.opener.cti if number else b"grant-00"
        done = self.attempt(self.bench.relock, cti, headcount)
        assert not done or (headcount == 0 and not state.is_open)

    @rule(floor=st.integers(0, 20), number=GRANTS)
    def revoke(self, floor: int, number: int) -> None:
        if self.attempt(self.bench.revoke, floor, 1, (b"grant-%02d" % number, 10 + number)):
            self.floor = max(self.floor, floor)
            self.opened[b"grant-%02d" % number] = 2

    @rule()
    def rescue(self) -> None:
        self.attempt(self.bench.rescue)

    @rule(
        happening=st.one_of(
            st.builds(DoorMoved, st.booleans()),
            st.builds(BoltMoved, st.booleans()),
            st.builds(Tampered, st.booleans()),
            st.builds(BatteryAt, st.integers(-5, 150)),
            st.builds(Connected, st.integers(1, 2), st.integers(20, 244)),
            st.builds(Disconnected, st.integers(1, 2)),
            st.builds(Written, st.integers(1, 2), st.binary(max_size=250)),
        )
    )
    def happen(self, happening: Happening) -> None:
        with suppress(GrantRefusedError):
            self.bench.happens(happening)
        if isinstance(happening, Connected):  # the bench's client speaks on its own link
            self.bench.happens(Disconnected(2))
            self.bench.connect(LINK)

    @rule()
    def inside_handle(self) -> None:
        self.bench.happens(EgressUsed())
        assert self.bench.lock.state.is_unlocked
        assert self.bench.kinds()[-1] is LockEventKind.EGRESS

    @rule(is_stuck=st.booleans())
    def bolt(self, is_stuck: bool) -> None:
        self.bench.lock.is_stuck = is_stuck

    @rule(seconds=st.sampled_from([0, 1, 3, 16, 61, 900]))
    def pass_time(self, seconds: int) -> None:
        self.bench.pass_time(seconds)
        assert self.bench.lock.state.awaited is None or seconds < 3

    @rule()
    def power_cut(self) -> None:
        before = self.bench.lock.state
        self.bench.lock.restart()
        after = self.bench.lock.state
        assert (after.durable.used, after.durable.min_ctr) == (
            before.durable.used,
            before.durable.min_ctr,
        )
        assert after.log[: len(before.log)] == before.log
        assert after.seq == before.seq + 1

    @invariant()
    def the_bolt_is_only_driven_in_when_that_is_logged(self) -> None:
        allowed = {LockEventKind.UNLOCK, LockEventKind.RESCUE}
        assert all(kind in allowed for to_unlocked, kind in WatchedLock.driven if to_unlocked)

    @invariant()
    def the_log_is_whole_and_only_grows(self) -> None:
        state = self.bench.lock.state
        assert len(state.log) <= LOG_EVENTS
        events = [record.event for record in state.log]
        report = verify_chain(events, head=state.base, seq=0, wanted_head=state.head)
        assert report.fault is None
        assert self.last_seq <= state.seq == report.last_seq
        self.last_seq = state.seq

    @invariant()
    def what_is_remembered_is_bounded_and_only_grows(self) -> None:
        durable = self.bench.lock.state.durable
        assert len(durable.used) <= USED_GRANTS
        assert all(one.ctr >= durable.min_ctr for one in durable.used)
        assert durable.min_ctr >= self.floor


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
