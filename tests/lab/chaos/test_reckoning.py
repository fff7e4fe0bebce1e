from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.lab.chaos.reckoning import Found, Taken, reckon, repeated

S = 1_000_000_000


def taken(n: int) -> Taken:
    return Taken("d", n, n * S, (float(n), float(n) / 2))


def found(n: int, *values: float | None) -> Found:
    return Found("d", n, values or (float(n), float(n) / 2))


@given(st.integers(1, 60), st.data())
def test_each_fault_is_counted_as_what_it_is(n: int, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, n - 1)))
    twice = data.draw(st.sets(st.integers(0, n - 1))) - gone
    altered = data.draw(st.sets(st.integers(0, n - 1))) - gone
    rows = [
        found(i, float(i), -1.0) if i in altered else found(i) for i in range(n) if i not in gone
    ]
    rows += [row for row in rows if row.key in twice]
    (count,) = reckon("push", map(taken, range(n)), rows).devices
    assert (count.acquired, count.stored) == (2 * n, 2 * (n - len(gone)))
    assert (count.lost, count.duplicated, count.wrong) == (
        2 * len(gone), 2 * len(twice), len(altered),
    )  # fmt: skip


def test_an_answer_of_a_blind_time_was_not_acquired_and_one_beside_it_is_lost() -> None:
    told = reckon("poll", map(taken, range(10)), [found(0), found(9)], [(3 * S, 5 * S)])
    (count,) = told.devices
    assert (count.not_acquired, count.lost, count.acquired) == (6, 10, 14)
    assert count.longest_gap_s == 9.0
    assert told.examples[0] == f"lost: d 1 at {S}"


def test_what_is_stored_in_a_blind_time_counts_as_acquired() -> None:
    (count,) = reckon("poll", [taken(4)], [found(4)], [(3 * S, 5 * S)]).devices
    assert (count.acquired, count.stored, count.not_acquired) == (2, 2, 0)


def test_a_row_that_no_device_sent_is_wrong() -> None:
    (count,) = reckon("push", [], [found(1)]).devices
    assert (count.wrong, count.acquired) == (2, 0)


def test_a_ledger_that_repeats_itself_is_noticed() -> None:
    assert repeated([taken(1), taken(2)]) == 0
    assert repeated([taken(1), taken(1)]) == 1
