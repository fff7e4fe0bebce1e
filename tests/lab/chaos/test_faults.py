from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tocsin.lab.chaos.faults import KINDS, QUIET_S, available, name_of, needed, schedule

NAMES = available(disks=True)
SEEDS = st.integers(0, 2**32)
LENGTHS = st.floats(5.0, 900.0)
CHOICES = st.sets(st.sampled_from(NAMES))


@given(SEEDS, LENGTHS, CHOICES)
def test_the_same_seed_makes_the_same_faults(seed: int, seconds: float, names: set[str]) -> None:
    assert schedule(seed, seconds, names) == schedule(seed, seconds, set(names))


@given(SEEDS, LENGTHS, CHOICES)
def test_faults_are_in_order_of_the_chosen_kinds_and_over_at_the_end(
    seed: int, seconds: float, names: set[str]
) -> None:
    planned = schedule(seed, seconds, names)
    assert [f.at_s for f in planned] == sorted(f.at_s for f in planned)
    assert {f.name for f in planned} <= names
    limits = {name_of(k): (k.shortest_s, k.longest_s) for k in KINDS}
    for fault in planned:
        shortest, longest = limits[fault.name]
        assert shortest <= fault.for_s <= longest
        assert fault.at_s + fault.for_s <= seconds + 0.01


@given(SEEDS, LENGTHS, CHOICES)
def test_no_target_has_two_faults_at_once_nor_one_right_after_the_other(
    seed: int, seconds: float, names: set[str]
) -> None:
    planned = schedule(seed, seconds, names)
    for target in {f.target for f in planned}:
        own = [f for f in planned if f.target == target]
        for one, two in pairwise(own):
            assert two.at_s >= one.at_s + one.for_s + QUIET_S - 0.01


@given(SEEDS, st.floats(540.0, 900.0))
def test_ten_minutes_have_every_kind_and_far_more_faults_than_must_land(
    seed: int, seconds: float
) -> None:
    planned = schedule(seed, seconds, NAMES)
    assert {f.name for f in planned} == set(NAMES)
    assert len(planned) > 2 * needed(seconds)


@given(SEEDS, LENGTHS)
def test_only_a_clock_has_an_amount_to_jump_by(seed: int, seconds: float) -> None:
    assert all((f.kind == "jump") == (f.amount != 0.0) for f in schedule(seed, seconds, NAMES))


def test_twenty_must_land_in_ten_minutes_and_one_in_any_run() -> None:
    assert [needed(s) for s in (600.0, 60.0, 5.0)] == [20, 2, 1]
    assert available(disks=False) == [n for n in NAMES if not n.startswith(("disk-full", "read-o"))]
