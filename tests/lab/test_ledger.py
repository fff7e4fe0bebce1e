"""The demo's judge: exact counts for what was dropped, doubled and altered."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tocsin.lab.ledger import Scan, Tally, compare, read_ledgers

PERIOD_NS = 500_000_000
LATER = 10**18


def scans(values: list[float]) -> list[Scan]:
    return [Scan("gas-01", i * PERIOD_NS, {"h2s": v}) for i, v in enumerate(values)]


def judge(
    answered: list[Scan],
    stored: list[Scan],
    *,
    suppressed: int = 0,
    pending_rows: int = 0,
    stop_ns: int = LATER,
    deadband: float = 0.0,
) -> Tally:
    return compare(
        answered,
        stored,
        deadbands={"gas-01": {"h2s": deadband}},
        stop_ns=stop_ns,
        suppressed=suppressed,
        pending_rows=pending_rows,
    )


def counts(tally: Tally) -> tuple[int, int, int]:
    return tally.lost, tally.duplicates, tally.wrong


def test_a_faithful_store_has_nothing_lost_doubled_or_wrong() -> None:
    answered = scans([1.0, 2.0, 3.0])
    assert counts(judge(answered, answered)) == (0, 0, 0)


@given(
    st.lists(st.integers(0, 10_000).map(float), min_size=6, max_size=60, unique=True),
    st.permutations(range(6)),
    st.floats(20_000, 30_000),
    st.lists(st.integers(0, 900_000_000), min_size=60, max_size=60),
)
def test_one_dropped_one_doubled_one_altered_is_exactly_one_each(
    values: list[float], order: list[int], delta: float, late_ns: list[int]
) -> None:
    answered = scans(values)
    drop, double, alter = order[:3]
    # However late the gateway stamps, even after the next answer, the order of its stamps is that of the answers.
    stamps = [
        max(a.t_ns + late for a, late in zip(answered[: i + 1], late_ns, strict=False))
        for i in range(len(answered))
    ]
    stored = [
        Scan(s.device, at + i, dict(s.values))
        for i, (s, at) in enumerate(zip(answered, stamps, strict=True))
    ]
    stored[alter].values["h2s"] = values[alter] + delta
    copy = Scan("gas-01", stored[double].t_ns, dict(stored[double].values))
    del stored[drop]
    # Where the dropped one lies beside the altered one, which of the two scans was altered cannot be told; the counts can.
    assert counts(judge(answered, [*stored, copy])) == (1, 1, 1)


@given(st.integers(2, 30), st.data())
def test_counts_hold_where_every_value_is_the_same(n: int, data: st.DataObject) -> None:
    answered = scans([1.0] * n)
    drop = data.draw(st.integers(0, n - 1))
    stored = [s for i, s in enumerate(answered) if i != drop]
    assert counts(judge(answered, stored)) == (1, 0, 0)
    assert counts(
        judge(answered, [*answered, Scan("gas-01", answered[drop].t_ns, {"h2s": 1.0})])
    ) == (0, 1, 0)


def test_a_value_held_back_by_the_deadband_is_not_lost_when_the_gateway_counted_it() -> None:
    answered = scans([1.0, 1.05, 3.0])
    tally = judge(answered, [answered[0], answered[2]], suppressed=1, deadband=0.1)
    assert (tally.acquired, tally.stored, tally.lost) == (3, 2, 0)


def test_a_gateway_cannot_hide_a_loss_behind_its_deadband_count() -> None:
    answered = scans([1.0, 9.0, 3.0])
    assert judge(answered, [answered[0], answered[2]], suppressed=1, deadband=0.1).lost == 1


def test_a_loss_within_the_deadband_is_seen_because_the_gateway_did_not_count_it() -> None:
    answered = scans([1.0, 1.05, 3.0])
    assert judge(answered, [answered[0], answered[2]], suppressed=0, deadband=0.1).lost == 1


def test_readings_still_on_the_gateway_are_uncommitted_not_lost() -> None:
    answered = scans([1.0, 2.0])
    tally = judge(answered, answered[:1], pending_rows=1)
    assert (tally.lost, tally.uncommitted, tally.examples) == (0, 1, [])


def test_an_answer_given_while_the_gateway_stops_is_unread() -> None:
    answered = scans([1.0, 2.0])
    tally = judge(answered, answered[:1], stop_ns=PERIOD_NS)
    assert (tally.acquired, tally.unread, tally.lost) == (1, 1, 0)


def test_a_missing_quantity_of_a_stored_row_is_wrong() -> None:
    answered = [Scan("gas-01", 0, {"h2s": 1.0, "o2": 20.9})]
    assert judge(answered, [Scan("gas-01", 5, {"h2s": 1.0})]).wrong == 1


def test_rows_of_a_device_that_never_answered_are_wrong() -> None:
    assert judge([], [Scan("ghost", 0, {"h2s": 1.0})]).wrong == 1


def test_a_ledger_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "l.ndjson"
    path.write_text(
        '{"device":"a","t_ns":1,"values":{"x":1.5}}\n{"mark":"limit-crossed","device":"a","t_ns":2}\n{"device":"a","t'
    )
    ledger = read_ledgers([path])
    assert [s.values for s in ledger.scans] == [{"x": 1.5}]
    assert [m.mark for m in ledger.marks] == ["limit-crossed"]
