"""RangeSet against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tocsin.contract.ranges import RangeSet

numbers = st.integers(0, 60)


class AgainstASet(RuleBasedStateMachine):
    """Adds and removes the same ranges on both and asks both the same questions."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = RangeSet()
        self.model: set[int] = set()

    @rule(lo=numbers, size=st.integers(-2, 12))
    def add(self, lo: int, size: int) -> None:
        self.ranges.add(lo, lo + size)
        self.model |= set(range(lo, lo + size))

    @rule(lo=numbers, size=st.integers(1, 12))
    def take_what_is_new(self, lo: int, size: int) -> None:
        new = not self.model & set(range(lo, lo + size))
        assert self.ranges.take(lo, lo + size) == new
        if new:
            self.model |= set(range(lo, lo + size))

    @rule(lo=numbers, size=st.integers(-2, 12))
    def remove(self, lo: int, size: int) -> None:
        self.ranges.remove(lo, lo + size)
        self.model -= set(range(lo, lo + size))

    @rule(lo=numbers, size=st.integers(-2, 30))
    def ask_for_the_missing(self, lo: int, size: int) -> None:
        found = self.ranges.missing(lo, lo + size)
        assert {n for a, b in found for n in range(a, b)} == set(range(lo, lo + size)) - self.model
        assert all(a < b for a, b in found)

    @rule(start=numbers)
    def ask_how_far_it_reaches(self, start: int) -> None:
        expected = start
        while expected in self.model:
            expected += 1
        assert self.ranges.contiguous_from(start) == expected

    @invariant()
    def holds_the_same_numbers(self) -> None:
        assert {n for lo, hi in self.ranges for n in range(lo, hi)} == self.model
        assert self.ranges.count == len(self.model)
        assert bool(self.ranges) == bool(self.model)
        assert all((n in self.ranges) == (n in self.model) for n in range(-2, 75))

    @invariant()
    def is_in_its_simplest_form(self) -> None:
        parts = list(self.ranges)
        assert all(lo < hi for lo, hi in parts)
        assert all(left[1] < right[0] for left, right in pairwise(parts))


TestAgainstASet = AgainstASet.TestCase


@given(st.lists(st.tuples(numbers, numbers)))
def test_the_order_of_adding_does_not_matter(ranges: list[tuple[int, int]]) -> None:
    assert RangeSet(ranges) == RangeSet(reversed(ranges))
    assert RangeSet(RangeSet(ranges)) == RangeSet(ranges)


def test_a_set_of_ranges_is_no_key() -> None:
    with pytest.raises(TypeError):
        hash(RangeSet())


def test_sequence_numbers_of_64_bits_fit() -> None:
    ranges = RangeSet([(0, 2**62), (2**62, 2**63 - 1)])
    assert list(ranges) == [(0, 2**63 - 1)]
    assert ranges.count == 2**63 - 1
