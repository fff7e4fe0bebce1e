"""Marks: which numbers were when."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cloud.audit.marks import MARK_NS, Mark, OpenMarks, around, joined, part, rows_within

S = 10**9


def test_numbers_that_follow_are_one_mark_until_it_spans_five_minutes() -> None:
    marks = OpenMarks()
    for i in range(1000):
        marks.note(i * 10, i * 10 + 10, i * S, i * S + S // 2, now_ns=i * S)
    written = sorted(marks.changed.values(), key=lambda m: m.lo)
    assert [(a.hi, b.lo) for a, b in pairwise(written)] == [(m.lo, m.lo) for m in written[1:]]
    assert (written[0].lo, written[-1].hi) == (0, 10_000)
    assert len(written) == 1000 * S // MARK_NS + 1
    assert all(m.last_ns - m.first_ns <= MARK_NS + 2 * S for m in written)


def test_a_backlog_of_hours_within_seconds_is_one_mark_and_live_rows_beside_it_another() -> None:
    marks = OpenMarks()
    for i in range(40):
        marks.note(i * 10, i * 10 + 10, i * 600 * S, i * 600 * S + S, now_ns=i * S // 10)
        marks.note(900 + i, 901 + i, 90_000 * S + i, 90_000 * S + i, now_ns=i * S // 10)
    found = sorted((m.lo, m.hi) for m in marks.changed.values())
    assert found == [(0, 400), (900, 940)]


def test_what_could_not_be_written_is_still_to_be_written() -> None:
    marks = OpenMarks()
    marks.note(0, 10, 1, 2, 0)
    taken = marks.take_changed()
    marks.note(10, 20, 3, 4, 0)
    marks.give_back(taken)
    assert [(m.lo, m.hi) for m in marks.changed.values()] == [(0, 20)]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), max_size=30))
def test_joined_marks_cover_the_same_numbers_and_span_no_more_than_allowed(
    steps: list[tuple[int, int]],
) -> None:
    at, marks = 0, []
    for rows, hole in steps:
        marks.append(Mark(at, at + rows, at * S, (at + rows) * S))
        at += rows + hole
    fewer = joined(marks, 100 * S)
    numbers = [n for m in marks for n in range(m.lo, m.hi)]
    assert [n for m in fewer for n in range(m.lo, m.hi)] == numbers
    assert all(m.last_ns - m.first_ns <= 100 * S for m in fewer)
    assert rows_within(fewer, 0, 2**63) == len(numbers)


def test_a_gap_lies_between_the_rows_around_it() -> None:
    marks = [Mark(0, 100, 0, 99 * S), Mark(150, 200, 200 * S, 249 * S)]
    assert around(100, 150, marks) == (99 * S, 200 * S)
    assert around(200, 250, marks) == (249 * S, None)
    assert around(0, 5, marks[1:]) == (None, 200 * S)
    assert around(40, 50, marks) == (39 * S, 50 * S)
    assert around(0, 5, []) == (None, None)


def test_a_clock_that_went_back_gives_no_time_that_ends_before_it_begins() -> None:
    marks = [Mark(0, 100, 500 * S, 600 * S), Mark(150, 200, 0, 50 * S)]
    assert around(100, 150, marks) == (0, 600 * S)


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.lists(st.integers(0, 1100), min_size=2),
)
def test_shares_of_neighbouring_times_are_never_more_than_the_whole(
    rows: int, first: int, length: int, cuts: list[int]
) -> None:
    edges = sorted({0, *cuts, 3000})
    shares = [part(rows, first, first + length, a, b) for a, b in pairwise(edges)]
    assert rows - len(edges) <= sum(shares) <= rows
