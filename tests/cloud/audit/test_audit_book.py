"""The audit's account on a real state database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select

from cloud.audit.book import AuditBook, Settled
from cloud.audit.model import Deleted, Finding
from cloud.audit.report import HOUR_NS, GatewayReport
from cloud.audit.show import gateway_text
from cloud.audit.tables import audit_given_up, audit_marks
from cloud.db import open_engine, upgrade
from cloud.ingest.stamps import Stored
from cloud.ingest.told import Logged
from tocsin.contract.gaps import SALVAGED, THINNED, Gap, as_data
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Event, StreamState
from tocsin.contract.ranges import RangeSet
from tocsin.errors import NotFoundError, StoreUnavailableError

S = 10**9
START = 1_800_000_000 * S // HOUR_NS * HOUR_NS
STREAM = ulid(START - S)
EVENTS = ulid(START - S)[:-1] + "0"


class SetClock:
    """Shows what a test sets."""

    def __init__(self) -> None:
        self.at = START

    def now_ns(self) -> int:
        return self.at

    def mono_ns(self) -> int:
        return self.at - START

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Site:
    """A book with a ledger that a test writes."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.clock = engine, SetClock()
        self.stored: dict[str, RangeSet] = {}
        self.rejected: dict[str, RangeSet] = {}
        self.letters: dict[str, list[Finding]] = {}
        self.start()

    def start(self) -> None:
        """Anew, as after a restart."""
        self.book = AuditBook(
            self.engine, self.clock, sites={"gw-1": "plant"}, ledger=self._ledger,
            letters=lambda _gateway: self.letters,
        )  # fmt: skip

    def _ledger(self, gateway: str) -> Settled:
        if gateway != "gw-1":
            return {}
        return {s: (r, self.rejected.get(s, RangeSet())) for s, r in self.stored.items()}

    def store(self, lo: int, hi: int, first_ns: int, last_ns: int, stream: str = STREAM) -> None:
        self.stored.setdefault(stream, RangeSet()).add(lo, hi)
        self.book.on_stored([Stored("gw-1", stream, lo, hi, first_ns, last_ns)])

    def tell(self, first_kept: int, next_seq: int, committed: int, stream: str = STREAM) -> None:
        state = StreamState("telemetry", stream, first_kept, next_seq, committed)
        self.book.on_streams("gw-1", [state], self.clock.at)

    def say(self, kind: str, seq: int, *gaps: Gap, stream: str = EVENTS) -> None:
        told = Event(
            VERSION, "plant", "gw-1", stream, seq, kind, self.clock.at, data=as_data(list(gaps))
        )
        self.book.on_event(told, self.clock.at)

    def gaps(
        self, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[tuple[int, int, str]]:
        found = self.book.report("gw-1", from_ns, to_ns)
        return [(g.lo, g.hi, g.reason) for s in found.streams for g in s.gaps]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    yield Site(engine)
    engine.dispose()


def test_a_gateway_nobody_knows_is_not_complete(site: Site) -> None:
    with pytest.raises(NotFoundError) as refused:
        site.book.report("gw-2")
    assert "did you mean gw-1" in refused.value.hint
    assert site.book.report("gw-1").verdict == "unheard"


def test_what_the_policy_deleted_later_is_told_from_what_is_there(site: Site) -> None:
    site.store(0, 100, START, START + 100 * S)
    site.tell(0, 100, 100)
    gone = Deleted("gas", 40, "2027-01-01", "2027-01-03", START)
    found = replace(site.book.report("gw-1"), deleted=[gone])
    said = gateway_text(found, site.clock.at)
    assert "gw-1: complete: 100 rows" in said, "they were stored"
    assert (
        "40 rows of gas of 2027-01-01 to 2027-01-03 were stored, and deleted by policy since"
        in said
    )


def test_what_the_gateway_holds_waits_and_what_it_has_no_longer_is_unknown(site: Site) -> None:
    site.store(0, 100, START, START + 100 * S)
    site.tell(50, 300, 100)
    site.clock.at += 100 * S
    assert site.gaps() == [(100, 300, "waiting")]
    assert site.book.report("gw-1").verdict == "waiting"
    site.tell(250, 300, 250)
    assert site.gaps() == [(100, 250, "unknown"), (250, 300, "waiting")]
    assert site.book.report("gw-1").reasons == {"unknown": 150}


def test_rows_of_the_last_seconds_are_on_their_way_and_no_gap(site: Site) -> None:
    site.store(0, 100, START, START + 100 * S)
    site.tell(0, 100, 100)
    site.clock.at += 5 * S
    site.tell(0, 150, 100)
    found = site.book.report("gw-1")
    assert (found.verdict, found.in_flight, found.waiting) == ("complete", 50, 0)
    site.clock.at += 5 * S
    site.tell(0, 180, 100)
    found = site.book.report("gw-1")
    assert (found.verdict, found.in_flight, found.waiting) == ("waiting", 30, 50)
    site.clock.at += 60 * S  # and then it fell silent
    assert site.book.report("gw-1").waiting == 80


def test_nothing_is_complete_that_the_gateway_has_not_told_of(site: Site) -> None:
    def verdict(from_ns: int | None = None, to_ns: int | None = None) -> str:
        return site.book.report("gw-1", from_ns, to_ns).verdict

    site.store(0, 100, START, START + 60 * S)
    site.clock.at = told = START + 60 * S
    site.tell(100, 100, 100)
    site.clock.at = told + 15 * S
    assert verdict() == verdict(from_ns=START) == "complete"
    assert verdict(from_ns=told + 100 * S) == "stale", "it has not begun yet"
    site.clock.at = told + 15 * S + 1
    assert verdict() == verdict(from_ns=START) == "stale"
    assert verdict(to_ns=told) == "complete"
    assert verdict(to_ns=told + S) == "stale"
    said = gateway_text(site.book.report("gw-1"), site.clock.at)
    assert "the gateway has told nothing since" in said
    site.tell(100, 100, 100)
    assert verdict() == "complete"


def test_what_was_given_up_is_one_row_of_the_table_however_often_it_is_told(site: Site) -> None:
    site.tell(0, 10_000, 0)
    for _ in range(2):
        for n in range(50):
            gap = Gap("telemetry", STREAM, n * 10, n * 10 + 10, START + n * S, START + n * S + 1)
            site.say(THINNED, n, gap, Gap("telemetry", "", 0, 2))
    with site.engine.connect() as connection:
        numbered = select(func.count()).where(audit_given_up.c.stream == STREAM)
        assert connection.scalar(numbered) == 1
    site.tell(500, 10_000, 500)
    found = site.book.report("gw-1")
    (evicted, _) = found.streams[-1].gaps if found.streams[-1].gaps else found.streams[0].gaps
    assert (evicted.lo, evicted.hi, evicted.reason) == (0, 500, "evicted")
    assert (evicted.first_ns, evicted.last_ns) == (START, START + 49 * S + 1)
    assert found.unnumbered == 100


def test_streams_of_a_damaged_file_end_short_and_later_ones_do_not(site: Site) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 200, 100)
    reborn, events = ulid(START + 60 * S), ulid(START + 60 * S)
    site.clock.at += 61 * S
    site.say(SALVAGED, 0, stream=events)
    site.tell(0, 50, 0, stream=reborn)
    site.clock.at += 100 * S
    assert site.gaps() == [(100, 200, "damaged"), (0, 50, "waiting")]
    site.start()
    assert site.gaps() == [(100, 200, "damaged"), (0, 50, "waiting")]


def test_an_outbox_in_memory_is_named_and_what_a_restart_cost_is_no_claim(site: Site) -> None:
    site.store(0, 100, START, START + S)
    state = StreamState("telemetry", STREAM, 0, 200, 100)
    site.book.on_streams("gw-1", [state], site.clock.at, volatile=True)
    again = StreamState("telemetry", ulid(START + S), 0, 0, 0)
    site.book.on_streams("gw-1", [again], site.clock.at, volatile=True)
    assert site.gaps() == [(100, 200, "volatile")]
    assert site.book.report("gw-1").volatile


def test_an_outbox_that_ended_without_a_last_word_leaves_a_time_that_is_in_no_count(
    site: Site,
) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 100, 100)
    assert site.book.report("gw-1").ended == []
    site.clock.at += 90 * S
    site.tell(0, 0, 0, stream=ulid(START + 60 * S))
    found = site.book.report("gw-1")
    assert found.verdict == "unsure", "all that is known of is stored, and more may have been taken"
    assert [(e.from_ns, e.to_ns) for e in found.ended] == [(START + S, START + 60 * S)]
    assert site.book.report("gw-1", START + 61 * S).ended == []
    assert site.book.report("gw-1", START + 61 * S).verdict == "complete"
    assert site.book.report("gw-1", to_ns=START).verdict == "complete"
    said = gateway_text(found, site.clock.at)
    assert "gw-1: unsure: 100 rows in 2 streams stored, an outbox ended without a last word" in said
    assert "between 2027-01-15 08:00:01 and 2027-01-15 08:01:00 UTC" in said


def test_an_outbox_that_was_replaced_while_its_gateway_was_cut_off_leaves_all_that_time_unsure(
    site: Site,
) -> None:
    day = 86_400 * S
    site.store(0, 100, START, START + S)
    site.tell(0, 100, 100)
    site.clock.at += 3 * day
    reborn = ulid(START + 2 * day)
    site.store(0, 50, START + 2 * day, START + 3 * day, stream=reborn)
    site.tell(0, 50, 50, stream=reborn)
    found = site.book.report("gw-1")
    assert (found.verdict, found.missing) == ("unsure", 0)
    assert site.book.report("gw-1", START + day, START + day + S).verdict == "unsure"
    assert site.book.report("gw-1", START + 2 * day + S).verdict == "complete"


def test_after_a_power_cut_all_that_was_told_may_be_stored_and_the_last_second_is_still_in_doubt(
    site: Site,
) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 100, 100)
    events = StreamState("event", EVENTS, 0, 1, 0)
    began = START + 3600 * S
    site.clock.at = began + 60 * S
    site.store(100, 150, START + S, began - 10 * S)  # offline for an hour, and kept
    old = StreamState("telemetry", STREAM, 0, 150, 150, live=False)
    new = StreamState("telemetry", ulid(began), 0, 0, 0)
    site.book.on_streams("gw-1", [old, new, events], site.clock.at)
    site.store(0, 1, began, began, stream=EVENTS)
    site.say("outbox.power-cut", 0)  # events go on in their stream: they were on the disk
    found = site.book.report("gw-1")
    assert (found.verdict, found.missing) == ("unsure", 0)
    assert [(e.from_ns, e.to_ns) for e in found.ended] == [(began - 10 * S, began)]
    assert site.book.report("gw-1", to_ns=began - 11 * S).verdict == "complete"
    site.book.on_streams("gw-1", [new, events], site.clock.at)  # nothing is left of the old one
    assert site.book.report("gw-1").verdict == "unsure"


def test_the_next_stream_may_begin_with_a_clock_that_was_not_set(site: Site) -> None:
    site.store(0, 100, START, START + 300 * S)
    site.tell(0, 100, 100)
    site.clock.at += 900 * S
    state = StreamState("telemetry", STREAM, 0, 100, 100, live=False)
    reborn = ulid(START)  # of the last time that the gateway noted, not of now
    site.book.on_streams("gw-1", [state, StreamState("telemetry", reborn, 0, 9, 9)], site.clock.at)
    site.store(0, 9, START + 600 * S, START + 700 * S, stream=reborn)
    found = site.book.report("gw-1")
    assert [(e.from_ns, e.to_ns) for e in found.ended] == [(START + 300 * S, START + 600 * S)]


def test_after_a_power_cut_the_numbers_the_disk_forgot_are_named(site: Site) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 200, 100)
    reborn, events = ulid(START + 60 * S), ulid(START + 60 * S)
    site.clock.at += 61 * S
    old = StreamState("telemetry", STREAM, 0, 150, 100, live=False)
    new = StreamState("telemetry", reborn, 0, 0, 0)
    site.book.on_streams("gw-1", [old, new], site.clock.at)
    site.say("outbox.power-cut", 0, stream=events)
    assert site.gaps() == [(100, 150, "waiting"), (150, 200, "power-cut")]
    assert site.book.report("gw-1").verdict == "incomplete"
    found = site.book.report("gw-1")
    assert found.told_ns == site.clock.at
    assert [(e.from_ns, e.to_ns) for e in found.ended] == [(START + S, START + 60 * S)]


def test_what_stood_in_for_a_disk_and_was_brought_back_to_it_leaves_no_doubt(site: Site) -> None:
    def on_disk(numbers: int, *more: StreamState) -> None:
        disk = StreamState("telemetry", STREAM, 0, numbers, numbers)
        site.book.on_streams("gw-1", [disk, *more], site.clock.at, volatile=False)

    site.store(0, 100, START, START + S)
    on_disk(100)
    for n in (1, 2):  # the second time something of it has yet to be sent when the disk is back
        memory = ulid(START + n * 600 * S)
        site.clock.at = START + n * 600 * S
        site.store(0, 50, site.clock.at, site.clock.at + S, stream=memory)
        lent = StreamState("telemetry", memory, 0, 50, 50)
        site.book.on_streams("gw-1", [lent], site.clock.at, volatile=True)
        site.clock.at += 300 * S
        if n == 2:
            on_disk(100, StreamState("telemetry", memory, 0, 50, 50, live=False))
        site.say("outbox.on-disk-again", n)
        site.clock.at += S
        on_disk(100)
        assert (site.book.report("gw-1").verdict, site.book.report("gw-1").ended) == (
            "complete",
            [],
        )
    site.clock.at = START + 7200 * S
    cut = StreamState("telemetry", STREAM, 0, 100, 100, live=False)
    reborn = ulid(START + 7000 * S)
    site.book.on_streams(
        "gw-1", [cut, StreamState("telemetry", reborn, 0, 0, 0)], site.clock.at, volatile=False
    )
    site.say("outbox.power-cut", 3)
    (end,) = site.book.report("gw-1").ended
    assert (end.from_ns, end.to_ns) == (START + 1501 * S, START + 7000 * S)


def test_memory_that_stood_in_for_a_disk_and_was_lost_is_in_doubt_until_rows_came_again(
    site: Site,
) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 100, 100)
    memory = ulid(START + 600 * S)
    site.clock.at += 600 * S
    lent = StreamState("telemetry", memory, 0, 0, 0)
    site.book.on_streams("gw-1", [lent], site.clock.at, volatile=True)
    site.clock.at += 3600 * S
    site.store(100, 200, site.clock.at, site.clock.at + S)
    site.tell(0, 200, 200)
    (end,) = site.book.report("gw-1").ended
    assert (end.from_ns, end.to_ns) == (START + 600 * S, START + 4201 * S)
    assert site.book.report("gw-1").verdict == "unsure"


def test_a_gateway_that_works_in_memory_for_a_while_leaves_what_its_disk_holds_out_of_reach(
    site: Site,
) -> None:
    site.store(0, 100, START, START + S)
    site.tell(0, 200, 100)
    memory = ulid(START + 60 * S)
    site.clock.at += 61 * S
    state = StreamState("telemetry", memory, 0, 50, 0)
    site.book.on_streams("gw-1", [state], site.clock.at, volatile=True)
    site.clock.at += 61 * S
    assert site.gaps() == [(100, 200, "out-of-reach"), (0, 50, "waiting")]
    assert site.book.report("gw-1").ended == []
    states = [
        StreamState("telemetry", STREAM, 0, 210, 100),
        StreamState("telemetry", memory, 0, 50, 0, live=False),
    ]
    site.book.on_streams("gw-1", states, site.clock.at, volatile=False)
    site.clock.at += 61 * S
    assert site.gaps() == [(100, 210, "waiting"), (0, 50, "waiting")]
    site.store(0, 50, START + 60 * S, START + 61 * S, stream=memory)
    site.tell(0, 210, 210)
    assert site.book.report("gw-1").ended == []
    assert site.gaps() == [(100, 210, "unknown")]


def test_what_the_log_holds_is_told_from_what_is_stored_and_from_what_waits(site: Site) -> None:
    site.store(0, 100, START, START + S)
    site.tell(100, 300, 100)
    site.clock.at += 60 * S
    logged = [
        Logged("gw-1", STREAM, 50, 220),
        Logged("gw-9", STREAM, 0, 5),
        Logged("gw-1", "x", 0, 5),
    ]
    site.book.on_logged(logged)
    assert site.gaps() == [(100, 220, "logged"), (220, 300, "waiting")]
    found = site.book.report("gw-1")
    assert (found.verdict, found.logged, found.waiting, found.missing) == ("waiting", 120, 80, 0)
    assert "120 in the log, 80 waiting at the gateway" in gateway_text(found, site.clock.at)
    site.store(100, 300, START, START + S)
    site.tell(300, 300, 300)
    assert site.book.report("gw-1").verdict == "complete"


def test_a_gap_lies_where_its_neighbours_say_and_shows_in_its_time_only(site: Site) -> None:
    for n in range(0, 6 * 3600, 60):
        if not 2 * 3600 <= n < 3 * 3600:
            site.store(n, n + 60, START + n * S, START + (n + 59) * S)
        site.clock.at = START + n * S
        site.book.keep()
    site.tell(6 * 3600, 6 * 3600, 6 * 3600)
    (stream,) = site.book.report("gw-1").streams
    (gap,) = stream.gaps
    assert (gap.first_ns, gap.last_ns) == (START + 7199 * S, START + 10_800 * S)
    hour = 3600 * S
    assert site.gaps(from_ns=START, to_ns=START + hour) == []
    assert site.gaps(from_ns=START + 3 * hour + S) == []
    assert site.gaps(to_ns=START + 3 * hour) == [(7200, 10_800, "unknown")]
    found = site.book.report("gw-1", START + 4 * hour, START + 5 * hour, by_hour=True)
    assert abs(found.rows - 3600) <= 1
    by_hour = {h.from_ns: h for h in found.hours}
    assert len(by_hour) == 24
    assert by_hour[START + 2 * hour].rows == 0
    assert by_hour[START + 2 * hour].lost["unknown"] >= 3590
    assert not by_hour[START + 5 * hour].lost
    assert abs(by_hour[START + 5 * hour].rows - 3600) <= 1


def test_old_marks_become_few_and_still_tell_the_hour(site: Site) -> None:
    for n in range(0, 40 * 86_400, 600):
        site.clock.at = START + n * S
        site.store(n, n + 600, START + n * S, START + (n + 599) * S)
        site.book.keep()
    site.book.write()
    with site.engine.connect() as connection:
        n_marks = connection.scalar(select(func.count()).select_from(audit_marks))
    assert n_marks is not None
    assert n_marks < 32 * 24 + 2 * 144 + 3 * 24
    found = site.book.report("gw-1", START + 86_400 * S, START + 2 * 86_400 * S)
    assert abs(found.rows - 86_400) < 700
    assert site.book.report("gw-1").rows == 40 * 86_400


def test_marks_that_cannot_be_written_are_written_later(site: Site) -> None:
    def refuse(*_args: object) -> None:
        import sqlite3

        raise sqlite3.OperationalError("database or disk is full")

    site.store(0, 100, START, START + S)
    event.listen(site.engine, "before_cursor_execute", refuse)
    with pytest.raises(StoreUnavailableError):
        site.book.write()
    event.remove(site.engine, "before_cursor_execute", refuse)
    site.tell(100, 100, 100)
    assert rows_in(site.book.report("gw-1", START, START + 2 * S)) == 100


def rows_in(found: GatewayReport) -> int:
    return sum(s.rows for s in found.streams)
