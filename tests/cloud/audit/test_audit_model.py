"""Every number of a stream is stored or in exactly one gap, and a gap says the surest thing that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cloud.audit.model import Finding, Gap, Given, Reason, StreamFacts, gaps_of
from tocsin.contract.ranges import RangeSet

END = 60
number = st.integers(0, END)
ranges = st.lists(st.tuples(number, number).map(lambda p: (min(p), max(p))), max_size=6)


@st.composite
def facts(draw: Callable[..., object]) -> StreamFacts:
    def pick(strategy: st.SearchStrategy[object]) -> object:
        return draw(strategy)

    stored, rejected, evicted, damaged, logged = (RangeSet(draw(ranges)) for _ in range(5))  # type: ignore[arg-type]
    stored = RangeSet(part for have in stored for part in rejected.missing(*have))
    given_up = [Given(lo, hi, Reason.EVICTED, 100, 200) for lo, hi in evicted]
    given_up += [Given(lo, hi, Reason.DAMAGED) for lo, hi in damaged]
    held = pick(st.none() | st.tuples(number, number))
    return StreamFacts(
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "telemetry",
        END,
        stored,
        rejected,
        logged,
        tuple(given_up),
        held,  # type: ignore[arg-type]
        pick(st.none() | number),  # type: ignore[arg-type]
        salvaged=bool(pick(st.booleans())),
        power_cut=bool(pick(st.booleans())),
        out_of_reach=bool(pick(st.booleans())),
        volatile=bool(pick(st.booleans())),
    )


def spread(gaps: list[Gap]) -> Counter[int]:
    return Counter(seq for gap in gaps for seq in range(gap.lo, gap.hi))


@given(facts())
def test_every_number_is_stored_or_in_exactly_one_gap(told: StreamFacts) -> None:
    found = spread(gaps_of(told))
    assert set(found.values()) <= {1}
    stored = {seq for lo, hi in told.stored for seq in range(lo, hi)}
    assert set(found) | {s for s in stored if s < END} == set(range(END))
    assert not set(found) & stored


@given(facts())
def test_a_gap_says_the_surest_thing_that_is_known_of_it(told: StreamFacts) -> None:
    for gap in gaps_of(told):
        assert gap.lo < gap.hi
        for seq in range(gap.lo, gap.hi):
            assert gap.reason is expected(told, seq)


def expected(told: StreamFacts, seq: int) -> Reason:
    said = {g.reason for g in told.given_up if g.lo <= seq < g.hi}
    held = told.held is not None and told.held[0] <= seq < told.held[1]
    if seq in told.rejected:
        return Reason.DEAD_LETTERED
    if held and told.fresh is not None and seq >= told.fresh:
        return Reason.IN_FLIGHT
    if seq in told.logged:
        return Reason.LOGGED
    if said:
        return Reason.EVICTED if Reason.EVICTED in said else Reason.DAMAGED
    if held:
        return Reason.WAITING
    if told.salvaged:
        return Reason.DAMAGED
    if told.power_cut:
        return Reason.POWER_CUT
    if told.held is not None:
        return Reason.UNKNOWN
    if told.out_of_reach:
        return Reason.OUT_OF_REACH
    return Reason.VOLATILE if told.volatile else Reason.UNKNOWN


def test_a_dead_lettered_gap_names_its_letters_and_their_reasons() -> None:
    told = StreamFacts("s", "telemetry", 30, RangeSet([(0, 10)]), RangeSet([(10, 30)]))
    letters = [
        Finding(7, 20, 30, "bad-body"),
        Finding(5, 10, 20, "bad-crc"),
        Finding(9, 40, 50, "x"),
    ]
    (gap,) = gaps_of(told, letters)
    assert (gap.letters, gap.detail) == ((5, 7), "bad-body, bad-crc")
    (gap,) = gaps_of(told)
    assert (gap.letters, gap.detail) == ((), "the letter is no longer kept")


def test_a_part_of_what_was_given_up_has_its_share_of_the_time() -> None:
    evicted = Given(0, 101, Reason.EVICTED, 1_000, 2_000)
    told = StreamFacts("s", "telemetry", 101, RangeSet([(50, 101)]), given_up=(evicted,))
    (gap,) = gaps_of(told)
    assert (gap.lo, gap.hi, gap.first_ns, gap.last_ns) == (0, 50, 1_000, 1_490)
