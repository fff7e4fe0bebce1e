"""Power lost at any moment, in the middle of any write: the lock comes back in a known state that its log tells of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import KID, Bench
from firmware_bridges.lock.flash import recovered, state_slot
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Area,
    DoorMoved,
    EgressUsed,
    Store,
    Tampered,
)
from firmware_bridges.lock.state import Durable, Opener, Remembered
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import LockEventKind, verify_chain

BOTH = pytest.mark.parametrize("profile", list(Profile))
IDS = st.binary(min_size=8, max_size=8)
UINT32 = st.integers(0, 2**32 - 1)
DURABLES = st.builds(
    Durable,
    generation=UINT32,
    boot_counter=UINT32,
    min_ctr=UINT32,
    gateway_epoch=UINT32,
    time_floor_s=UINT32,
    acked_seq=UINT32,
    failures=st.integers(0, 5),
    lockout_s=st.integers(0, 900),
    is_locked_out=st.booleans(),
    opener=st.builds(Opener, IDS, st.booleans()),
    issuers=st.none() | st.just(IssuerKeys({KID: bytes(32), b"\x00\x02": bytes(32)})),
    used=st.lists(
        st.builds(Remembered, IDS, UINT32, st.integers(0, 255), st.booleans()), max_size=64
    ).map(tuple),
)


class PowerCutError(Exception):
    """Power is gone in the middle of what the lock did."""


class Cut(Bench):
    """A bench whose power goes in the `nth` write to flash, after `part` of its bytes; the rest is old or erased."""

    def __init__(self, profile: Profile, nth: int, part: float, *, is_erased: bool) -> None:
        super().__init__(profile)
        self.tell_time()
        self.writes, self.is_whole = 0, True
        self.nth, self.part, self.is_erased = nth, part, is_erased
        self.lock.write_flash = self.write_flash  # type: ignore[method-assign]

    def write_flash(self, store: Store) -> None:
        self.writes += 1
        where = store.area, store.slot
        if self.writes != self.nth:
            self.lock.flash[where] = store.data
            return
        cut = round(self.part * len(store.data))
        old = self.lock.flash.get(where, b"\xff" * len(store.data))
        rest = b"\xff" * len(old) if self.is_erased else old
        self.lock.flash[where] = store.data[:cut] + rest[cut:]
        blank = b"\xff" * len(old)  # erased and nothing written: the slot before counts
        self.is_whole = self.lock.flash[where] in (old, store.data, blank)
        raise PowerCutError

    def restart(self) -> None:
        """Power comes back."""
        self.nth = 0
        self.lock.restart()
        self.connect()


@given(DURABLES)
def test_what_is_kept_reads_back(durable: Durable) -> None:
    slot, data = state_slot(durable)
    identity = Bench(Profile.SIGNATURES).lock.identity
    assert recovered(identity, {(Area.STATE, slot): data}).durable == durable


PARTS = [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0]


@BOTH
@pytest.mark.parametrize("is_erased", [True, False])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_cut_in_any_write_of_an_opening_leaves_it_shut_and_the_grant_good_at_most_once(
    profile: Profile, nth: int, part: float, *, is_erased: bool
) -> None:
    bench = Cut(profile, nth, part, is_erased=is_erased)
    with pytest.raises(PowerCutError):
        bench.unlock(bench.claims())
    bench.restart()
    assert not bench.lock.state.is_unlocked
    kinds = bench.kinds()
    is_logged = LockEventKind.UNLOCK in kinds
    assert is_logged == (nth == 2 and part == 1.0)
    assert (LockEventKind.TORN_WRITE in kinds) == (not bench.is_whole)
    bench.tell_time()
    if nth == 2 or part == 1.0:  # the state was kept: the grant is used up
        with pytest.raises(GrantRefusedError) as refused:
            bench.unlock(bench.claims())
        assert refused.value.reason is LockRefusal.ALREADY_USED
    else:
        assert bench.unlock(bench.claims()).code == 0
    assert whole_chain(bench)


def whole_chain(bench: Bench) -> bool:
    """Whether the log is linked from its first event to the head the lock vouches for."""
    state = bench.lock.state
    events = [record.event for record in state.log]
    first = state.seq - len(events)
    report = verify_chain(events, head=state.base, seq=first, wanted_head=state.head)
    return report.fault is None and report.last_seq == state.seq


@BOTH
def test_a_torn_log_write_is_told_under_the_number_it_would_have_had(profile: Profile) -> None:
    bench = Cut(profile, 1, 0.5, is_erased=True)
    seq = bench.lock.state.seq
    with pytest.raises(PowerCutError):
        bench.happens(DoorMoved(True))
    bench.restart()
    torn, reboot = bench.log()[-2:]
    assert (torn.kind, torn.seq, torn.data) == (LockEventKind.TORN_WRITE, seq + 1, b"\x01")
    assert (reboot.kind, reboot.data) == (LockEventKind.REBOOT, b"\0\0\0\x02\x8a")
    assert whole_chain(bench)


def work(bench: Bench, number: Iterator[int]) -> None:
    """Door and bolt in use until the power goes."""
    for each in number:
        bench.happens(DoorMoved(each % 2 == 0))
        bench.tell_time()
        bench.unlock(bench.claims(b"%08d" % each, ctr=each))


CUTS = st.tuples(st.integers(1, 12), st.floats(0, 1), st.booleans(), st.integers(0, 3))


@given(st.lists(CUTS, max_size=6))
def test_cuts_again_and_again_also_while_starting_never_break_the_chain(
    cuts: list[tuple[int, float, bool, int]],
) -> None:
    bench = Cut(Profile.MAC_ONLY, 0, 0, is_erased=False)
    number = count(1)
    for nth, bench.part, bench.is_erased, in_start in cuts:
        bench.nth = bench.writes + nth
        with pytest.raises(PowerCutError):
            work(bench, number)
        bench.nth = bench.writes + in_start
        with suppress(PowerCutError):
            bench.lock.restart()
        bench.restart()
        assert whole_chain(bench)
    assert bench.log()[0].seq == 1


def test_a_log_that_went_round_comes_back_with_its_newest_events() -> None:
    bench = Bench(Profile.MAC_ONLY)
    for number in range(1200):
        bench.happens(Tampered(number % 2 == 0))
        state = bench.lock.state
        if state.seq - state.durable.acked_seq > 300:
            acknowledge(bench)
    before = bench.lock.state
    bench.lock.restart()
    after = bench.lock.state
    assert (len(before.log), after.seq) == (512, before.seq + 1)
    assert after.log[:-1] == before.log[1:][-len(after.log) + 1 :]
    assert whole_chain(bench)


def acknowledge(bench: Bench) -> None:
    _, message = client.ack_log(bench.hello(), bench.lock.state.seq, bench.lock.state.head)
    bench.send(message)


def test_safety_events_are_never_overwritten_and_denials_never_crowd_them_out() -> None:
    bench = Bench(Profile.MAC_ONLY)
    bench.tell_time()
    bench.connect()
    for _ in range(500):
        with pytest.raises(GrantRefusedError):
            bench.write(b"\x01")
    assert bench.lock.state.seq == 384
    assert bench.unlock(bench.claims()).code == 0
    for number in range(200):
        bench.happens(Tampered(number % 2 == 0))
    assert bench.lock.state.seq == 512
    with pytest.raises(GrantRefusedError) as refused:
        bench.unlock(bench.claims(b"grant-02", ctr=18))
    assert refused.value.reason is LockRefusal.BUSY
    lost = bench.lock.state.unlogged
    acknowledge(bench)
    told = bench.log()[-1]
    assert (told.kind, int.from_bytes(told.data, "big")) == (LockEventKind.SUPPRESSED, lost)
    assert bench.unlock(bench.claims(b"grant-02", ctr=18)).code == 0


@BOTH
def test_a_lock_with_both_states_spoilt_opens_for_nobody_but_its_handle(profile: Profile) -> None:
    bench = Bench(profile)
    for slot in (0, 1):
        data = bytearray(bench.lock.flash.get((Area.STATE, slot), bytes(1024)))
        data[5] ^= 1
        bench.lock.flash[Area.STATE, slot] = bytes(data)
    bench.lock.restart()
    bench.connect()
    bench.seconds += 1
    assert bench.lock.state.durable.min_ctr == 2**32 - 1
    if profile is Profile.MAC_ONLY:  # the other has no issuer's key left either
        bench.tell_time()
    with pytest.raises(GrantRefusedError):
        bench.unlock(bench.claims())
    bench.happens(EgressUsed())
    assert bench.lock.state.is_unlocked
    kinds = bench.kinds()
    assert LockEventKind.TORN_WRITE in kinds
    assert LockEventKind.EGRESS in kinds


@BOTH
def test_a_lock_whose_states_were_erased_is_not_taken_for_a_new_one(profile: Profile) -> None:
    bench = Bench(profile)
    for number in range(3):
        bench.happens(Tampered(number % 2 == 0))
    for slot in (0, 1):
        bench.lock.flash.pop((Area.STATE, slot), None)
    for seq in range(1, bench.lock.state.seq):  # one event is left, linked to nothing
        bench.lock.flash.pop((Area.LOG, seq - 1), None)
    bench.lock.restart()
    assert bench.lock.state.durable.min_ctr == 2**32 - 1


@BOTH
def test_what_counts_against_guessing_outlives_a_power_cut(profile: Profile) -> None:
    bench = Bench(profile)
    bench.tell_time()
    for _ in range(5):
        with pytest.raises(GrantRefusedError):
            bench.guess()
    bench.lock.restart()
    bench.tell_time()
    with pytest.raises(GrantRefusedError) as refused:
        bench.unlock(bench.claims())
    assert refused.value.reason is LockRefusal.LOCKED_OUT
    bench.pass_time(60)
    assert bench.unlock(bench.claims()).code == 0
