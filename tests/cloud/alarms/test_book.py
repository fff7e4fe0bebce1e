"""The book on a real database: once each, one active per source, and commands that wait for their gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Engine, delete

from cloud.alarms.book import AlarmBook
from cloud.alarms.silence import Condition
from cloud.alarms.tables import alarms, commands, journal
from cloud.db import open_engine, upgrade
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, ClockState, Command, Event
from tocsin.contract.signing import is_signed
from tocsin.errors import AlarmRefusal, AlarmRefusedError, NotFoundError
from tocsin.sdk import SystemClock

KEY = b"a key of the gateway"
STREAM = "01JD0000000000000000000000"


class Desk:
    """A book with everything it said and sent."""

    def __init__(self, engine: Engine, expires_s: float = 60.0) -> None:
        self.told: list[dict[str, object]] = []
        self.sent: list[Command] = []
        self.book = AlarmBook(
            engine, SystemClock(), keys={"gw-1": KEY}, command_expires_s=expires_s,
            changed=self.told.append, send=self.sent.append,
        )  # fmt: skip

    def one(self, alarm: str = "A1") -> dict[str, Any]:
        return next(r for r in self.book.rows(active=False, limit=100) if r["alarm"] == alarm)

    def changes(self, alarm: str = "A1") -> list[object]:
        return [e["change"] for e in self.book.journal(alarm)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    yield engine
    engine.dispose()


def event(seq: int, change: AlarmChange, alarm: str = "A1", **more: object) -> Alarm:
    base = Alarm(
        VERSION, "plant", "gw-1", STREAM, seq, alarm, "gas-01", "gas", "h2s", "h2s-high",
        change, 1, 1000 + seq, value=21.0, unit="[ppm]", limit=20.0, latched=True,
    )  # fmt: skip
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return Alarm(**{**fields, **more})


RAISED = event(1, AlarmChange.RAISED)
ACKED = event(2, AlarmChange.ACKNOWLEDGED, acknowledged=True, actor="Li")
RETURNED = event(3, AlarmChange.RETURNED, acknowledged=True, beyond=False)
RESET = event(4, AlarmChange.RESET, acknowledged=True, beyond=False, actor="Li")


def test_a_transition_counts_once_however_often_it_comes(engine: Engine) -> None:
    desk = Desk(engine)
    for alarm in (RAISED, RAISED, ACKED, RAISED, ACKED, RETURNED, RESET, RESET, RAISED):
        desk.book.mirror(alarm, 5000)
    assert desk.changes() == ["raised", "acknowledged", "returned", "reset"]
    assert desk.book.rows(active=True, limit=9) == []
    assert len(desk.told) == 4


def test_an_acknowledgement_is_pending_until_the_gateway_confirms_it(engine: Engine) -> None:
    desk = Desk(engine)
    desk.book.mirror(RAISED, 5000)
    asked = desk.book.acknowledge("A1", "Wang", "on my way")
    assert (asked["acknowledged"], asked["pending"]) == (False, ["acknowledge"])
    (command,) = desk.sent
    assert is_signed(command, KEY)
    assert (command.kind, command.actor, command.args) == (
        "alarm.acknowledge",
        "Wang",
        {"alarm": "A1", "note": "on my way"},
    )
    with pytest.raises(AlarmRefusedError) as twice:
        desk.book.acknowledge("A1", "Zhao", "")
    assert twice.value.reason is AlarmRefusal.ON_ITS_WAY
    desk.book.resend("gw-1")
    assert desk.sent == [command, command]
    desk.book.mirror(event(2, AlarmChange.ACKNOWLEDGED, acknowledged=True, actor="Wang"), 6000)
    assert (desk.one()["acknowledged"], desk.one()["actor"], desk.one()["pending"]) == (
        True,
        "Wang",
        [],
    )
    assert set(desk.changes()) == {"raised", "acknowledge-requested", "acknowledged"}
    desk.book.resend()
    assert len(desk.sent) == 2


def test_a_reset_is_refused_while_the_value_is_beyond_its_limit(engine: Engine) -> None:
    desk = Desk(engine)
    desk.book.mirror(RAISED, 5000)
    desk.book.mirror(ACKED, 5000)
    with pytest.raises(AlarmRefusedError) as refused:
        desk.book.reset("A1", "Li", "")
    assert refused.value.reason is AlarmRefusal.STILL_BEYOND_LIMIT
    assert desk.sent == []
    desk.book.mirror(RETURNED, 5000)
    assert desk.book.reset("A1", "Li", "")["pending"] == ["reset"]
    desk.book.mirror(RESET, 5000)
    assert not desk.one()["active"]


def test_what_the_gateway_refused_is_in_the_journal_and_can_be_asked_again(engine: Engine) -> None:
    desk = Desk(engine)
    desk.book.mirror(RAISED, 5000)
    desk.book.acknowledge("A1", "Li", "")
    data: dict[str, object] = {"command": desk.sent[0].id, "reason": "bad-signature"}
    told = Event(VERSION, "plant", "gw-1", STREAM, 9, "command.refused", 2000, data=data)
    desk.book.on_event(told, 6000)
    assert "acknowledge-refused" in desk.changes()
    assert desk.book.acknowledge("A1", "Li", "")["pending"] == ["acknowledge"]


def test_an_alarm_its_gateway_does_not_know_any_more_is_closed(engine: Engine) -> None:
    desk = Desk(engine)
    desk.book.mirror(RAISED, 5000)
    desk.book.acknowledge("A1", "Li", "")
    data: dict[str, object] = {"command": desk.sent[0].id, "reason": "refused", "detail": "unknown-alarm: A1"}  # fmt: skip
    desk.book.on_event(
        Event(VERSION, "plant", "gw-1", STREAM, 9, "command.refused", 2000, data=data), 6000
    )
    assert not desk.one()["active"]


def test_a_command_nobody_confirms_expires(engine: Engine) -> None:
    desk = Desk(engine, expires_s=0.0)
    desk.book.mirror(RAISED, 5000)
    desk.book.acknowledge("A1", "Li", "")
    desk.book.expire()
    assert desk.one()["pending"] == []
    assert "acknowledge-expired" in desk.changes()
    before = len(desk.sent)
    desk.book.resend()
    assert len(desk.sent) == before


def test_without_a_command_key_the_operator_hears_it_at_once(engine: Engine) -> None:
    book = AlarmBook(engine, SystemClock(), keys={}, command_expires_s=60, changed=lambda _: None, send=lambda _: None)  # fmt: skip
    book.mirror(RAISED, 5000)
    with pytest.raises(AlarmRefusedError) as refused:
        book.acknowledge("A1", "Li", "")
    assert refused.value.reason is AlarmRefusal.NO_COMMAND_KEY


def silent(*, standing: bool) -> Condition:
    return Condition("plant", "gw-1", "gas-01", "gas", "device-silent", standing, "why")


def test_silence_raises_once_returns_and_stays_until_acknowledged(engine: Engine) -> None:
    desk = Desk(engine)
    for standing in (True, True, False, False):
        desk.book.watch([silent(standing=standing)])
    (row,) = desk.book.rows(active=True, limit=9)
    assert (row["beyond"], row["origin"], row["rule"]) == (False, "cloud", "device-silent")
    alarm = str(row["alarm"])
    assert desk.changes(alarm) == ["raised", "returned"]
    desk.book.watch([silent(standing=True)])
    assert [r["alarm"] for r in desk.book.rows(active=True, limit=9)] == [alarm]
    restarted = Desk(engine)
    restarted.book.watch([silent(standing=True)])
    assert restarted.changes(alarm) == ["raised", "returned", "raised"]
    restarted.book.acknowledge(alarm, "Li", "cable cut")
    assert restarted.book.rows(active=True, limit=9)
    restarted.book.watch([silent(standing=False)])
    assert restarted.book.rows(active=True, limit=9) == []
    assert restarted.sent == []


def stop(permit: str, cause: str, inside: str, *, standing: bool = True) -> Condition:
    occasion = f"permit {permit}: {cause}"
    why = f"{occasion}; {inside}" if standing else ""
    return Condition(
        "plant", "gw-1", "well-7", "permit", "permit-suspended", standing, why, occasion, 2
    )


def test_each_stop_of_a_permit_is_an_alarm_of_its_own_even_while_an_older_one_waits(
    engine: Engine,
) -> None:
    desk = Desk(engine)
    desk.book.watch([stop("P1", "gas", "wu, zhou")])
    desk.book.watch([stop("P1", "gas", "wu")])
    (row,) = desk.book.rows(active=True, limit=9)
    first = str(row["alarm"])
    assert (row["why"], row["level"]) == ("permit P1: gas; wu", 2)
    assert desk.changes(first) == ["raised", "noted"]
    desk.book.watch([stop("P1", "gas", "", standing=False)])
    for cause in ("gas", "sos", "sos"):
        desk.book.watch([stop("P2", cause, "li")])
    (row,) = desk.book.rows(active=True, limit=9)
    assert (row["why"], row["beyond"], row["acknowledged"]) == ("permit P2: sos; li", True, False)
    assert [r["why"] for r in desk.book.rows(active=False, limit=9)[1:]] == [
        "permit P2: gas; li",
        "permit P1: gas; wu",
    ]
    assert desk.changes(first) == ["raised", "noted", "returned", "superseded"]
    restarted = Desk(engine)
    restarted.book.watch([stop("P2", "sos", "li")])
    assert [r["alarm"] for r in restarted.book.rows(active=True, limit=9)] == [row["alarm"]]
    restarted.book.watch([stop("P3", "sos", "li")])
    assert len(restarted.book.rows(active=False, limit=9)) == 4


def test_a_newer_alarm_of_the_same_rule_takes_the_older_one_s_place_in_any_order(
    engine: Engine,
) -> None:
    for first, second in (("A1", "A2"), ("A2", "A1")):
        desk = Desk(engine)
        seqs = {"A1": 1, "A2": 5}
        for name in (first, second):
            desk.book.mirror(event(seqs[name], AlarmChange.RAISED, name), 5000)
        assert [r["alarm"] for r in desk.book.rows(active=True, limit=9)] == ["A2"]
        assert desk.one("A1")["superseded"]
        _empty(engine)


def _empty(engine: Engine) -> None:
    with engine.begin() as c:
        for table in (alarms, journal, commands):
            c.execute(delete(table))


STORY = [
    RAISED,
    event(2, AlarmChange.ESCALATED, level=2),
    event(3, AlarmChange.ACKNOWLEDGED, acknowledged=True, actor="Li", level=2),
    event(4, AlarmChange.RETURNED, acknowledged=True, beyond=False),
    event(5, AlarmChange.RESET, acknowledged=True, beyond=False, actor="Li"),
    event(6, AlarmChange.RAISED, "A2"),
    event(7, AlarmChange.REPEATED, "A2", n=4),
    event(8, AlarmChange.RETURNED, "A2", beyond=False),
    event(9, AlarmChange.RAISED, "A3", level=2),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.permutations(STORY + STORY[2:6]))
def test_any_order_of_a_whole_story_leaves_the_same_book(
    engine: Engine, story: list[Alarm]
) -> None:
    _empty(engine)
    desk = Desk(engine)
    for alarm in STORY:
        desk.book.mirror(alarm, 5000)
    expected = desk.book.rows(active=False, limit=9)
    _empty(engine)
    desk = Desk(engine)
    for alarm in story:
        desk.book.mirror(alarm, 5000)
    assert desk.book.rows(active=False, limit=9) == expected
    assert [r["alarm"] for r in desk.book.rows(active=True, limit=9)] == ["A3"]
    for name in ("A1", "A2", "A3"):
        told = [e["place"] for e in desk.book.journal(name) if e["change"] != "superseded"]
        assert len(told) == len(set(told)) == sum(a.alarm == name for a in STORY)


def test_a_transition_told_again_under_a_new_number_counts_once(engine: Engine) -> None:
    desk = Desk(engine)
    told = [
        event(0, AlarmChange.RAISED),
        event(1, AlarmChange.REPEATED, n=5),
        event(2, AlarmChange.RETURNED, beyond=False, value=1.0),
    ]
    assert all(desk.book.mirror(e, 5000) for e in told)
    before, heard = desk.one(), len(desk.told)
    again = [structs.replace(e, seq=e.seq + 3) for e in told]  # the numbers of a second hand-over
    assert not any(desk.book.mirror(e, 6000) for e in again)
    assert desk.changes() == ["raised", "repeated", "returned"]
    assert desk.one() == before
    assert before["repeats"] == 4
    assert len(desk.told) == heard


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_told_twice_and_in_any_order_an_alarm_ends_in_the_same_state(
    engine: Engine, order: list[int]
) -> None:
    with engine.begin() as c:
        for table in (journal, alarms):
            c.execute(delete(table))
    told = [
        event(0, AlarmChange.RAISED),
        event(1, AlarmChange.ESCALATED, level=2, value=60.0),
        event(2, AlarmChange.RETURNED, beyond=False, value=1.0),
    ]
    told += [structs.replace(e, seq=e.seq + 3) for e in told]
    desk = Desk(engine)
    assert sum(desk.book.mirror(told[i], 5000) for i in order) == 3
    one = desk.one()
    assert (one["level"], one["max_level"], one["beyond"], one["value"]) == (1, 2, False, 1.0)
    assert one["returned_ns"] == 1002
    assert sorted(map(str, desk.changes())) == ["escalated", "raised", "returned"]


def test_a_clock_that_was_never_set_counts_from_the_arrival_and_its_claim_is_kept(
    engine: Engine,
) -> None:
    desk, unset, now_ns = Desk(engine), ClockState("unset"), 1_800_000_000 * 10**9
    raised = event(1, AlarmChange.RAISED, clock=unset, first_ns=900)
    desk.book.mirror(raised, now_ns)
    returned = event(2, AlarmChange.RETURNED, beyond=False, clock=unset)
    desk.book.mirror(returned, now_ns + 50)
    again = event(3, AlarmChange.RETURNED, beyond=False, clock=unset, t=returned.t)
    assert not desk.book.mirror(again, now_ns + 90), "told again under another number"
    told = desk.one()
    assert (told["raised_ns"], told["returned_ns"]) == (now_ns, now_ns + 50)
    assert [(e["t_ns"], e["claimed_ns"]) for e in desk.book.journal("A1")] == [
        (now_ns, raised.t),
        (now_ns + 50, returned.t),
    ]


def test_a_set_clock_is_believed_and_claims_nothing_else(engine: Engine) -> None:
    desk = Desk(engine)
    desk.book.mirror(RAISED, 5000)
    (entry,) = desk.book.journal("A1")
    assert (entry["t_ns"], entry["claimed_ns"]) == (RAISED.t, None)


def test_the_journal_of_an_alarm_nobody_knows_is_an_error(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="no alarm 'nope'"):
        Desk(engine).book.journal("nope")
