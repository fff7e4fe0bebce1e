"""Commands to devices as the cloud follows them: what moves them, what does not, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.db import open_engine, upgrade
from cloud.orders import book as book_module
from cloud.orders.book import MAX_OPEN, OrderBook
from cloud.orders.model import CARRYING_NS, FINAL, GRACE_NS, NO_WORD, Order, heard, overdue
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.orders import DEVICE_COMMAND, DEVICE_CONFIRM, Outcome, unpack
from tocsin.contract.signing import is_signed
from tocsin.errors import CommandRefusedError, NotFoundError
from tocsin.sdk import SystemClock

KEY = b"gw-1-key"
S = 1_000_000_000


def order(**changes: Any) -> Order:
    made = Order(
        "c1", DEVICE_COMMAND, "plant", "gw-1", "valve-1", "open", {}, "li", 0, 30 * S, 0
    )  # fmt: skip
    return replace(made, **changes)


def event(kind: str, gateway: str = "gw-1", text: str = "", **data: Any) -> Event:
    return Event(
        VERSION, "plant", gateway, "S", 0, kind, 5 * S, "valve-1", text, {"id": "c1"} | data
    )


def result(outcome: str, **data: Any) -> Event:
    return event("command.result", outcome=outcome, **data)


def after(start: Order, *events: Event) -> Order:
    for one in events:
        start = heard(start, one, 6 * S) or start
    return start


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_the_gateway_tells_is_the_state_and_an_end_is_an_end(outcome: Outcome) -> None:
    told = after(order(), event("command.accepted"), result(outcome.value, text="x"))
    assert (told.state, told.told) == (outcome.value, True)
    later = after(told, result("done"), result("failed"))
    assert later.state == ("done" if outcome is Outcome.ARMED else outcome.value)


def test_another_gateway_a_repetition_and_an_unknown_word_move_nothing() -> None:
    for one in (
        event("command.result", gateway="gw-2", outcome="done"),
        result("refused", reason="duplicate"),
        result("perhaps"),
        event("device.recovered"),
        event("command.result", outcome=["done"]),
    ):
        assert heard(order(), one, 1) is None
    odd = after(order(), result("armed", confirm_until_ns=1 << 70, answer=[1], code=7))
    assert (odd.state, odd.confirm_until_ns, odd.answer, odd.code) == ("armed", None, None, "")


def test_a_forgery_that_the_gateway_refused_does_not_hide_the_true_result() -> None:
    refused = after(order(), result("refused", reason="bad-signature"))
    assert (refused.state, refused.told) == ("refused", False)
    assert after(refused, result("done")).state == "done"


def test_silence_is_unknown_and_a_late_word_still_counts() -> None:
    assert overdue(order(), 30 * S + GRACE_NS - 1) is None
    silent = overdue(order(), 30 * S + GRACE_NS)
    assert silent is not None
    assert (silent.state, silent.told, silent.text) == ("unknown", False, NO_WORD)
    assert after(silent, result("done")).state == "done"
    taken = after(order(), event("command.accepted"))
    assert overdue(taken, 30 * S + GRACE_NS) is None
    assert overdue(taken, 30 * S + CARRYING_NS + GRACE_NS) is not None
    armed = after(order(), result("armed", code="a1b2c3", confirm_until_ns=100 * S))
    assert overdue(armed, 100 * S + GRACE_NS - 1) is None
    assert overdue(armed, 100 * S + GRACE_NS) is not None
    assert overdue(after(order(), result("done")), 10**18) is None


WORDS = st.sampled_from(
    [event("command.accepted"), *(result(o.value, confirm_until_ns=90 * S) for o in Outcome)]
)


@given(st.lists(WORDS, max_size=6), st.lists(st.integers(0, 900), max_size=3))
def test_whatever_comes_in_whatever_order_the_first_told_end_stays(
    events: list[Event], looks: list[int]
) -> None:
    state = order()
    for one in events:
        ended = state.told and not state.is_open
        state, before = after(state, one), state
        assert not ended or state == before
        for at in looks:
            state = overdue(state, at * S) or state
    assert state.is_open == (state.state not in FINAL)


class Desk:
    """A book on a real database, with what it sent and told."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(folder / "state.db")
        upgrade(self.engine)
        self.sent: list[Command] = []
        self.changed: list[str] = []
        self.book = OrderBook(
            self.engine, SystemClock(), keys={"gw-1": KEY},
            changed=lambda row: self.changed.append(str(row["state"])), send=self.sent.append,
        )  # fmt: skip

    def give(self, **changes: Any) -> dict[str, Any]:
        args: dict[str, Any] = {
            "site": "plant", "gateway": "gw-1", "device": "valve-1", "name": "move",
            "args": {"position": 30.0, "slow": True}, "actor": "li", "expires_s": 30.0,
        }  # fmt: skip
        return self.book.give(**args | changes)

    def hears(self, row: dict[str, Any], kind: str, **data: Any) -> None:
        told = event(kind, **data)
        self.book.on_event(
            msgspec.structs.replace(told, data={**told.data, "id": row["id"]}), 7 * S
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.engine.dispose()


def test_a_command_is_signed_sent_again_unchanged_until_taken_and_followed_to_its_end(
    desk: Desk,
) -> None:
    row = desk.give()
    assert (row["state"], row["open"]) == ("sent", True)
    assert is_signed(desk.sent[0], KEY)
    assert unpack(desk.sent[0].args) == ("valve-1", "move", {"position": 30.0, "slow": True})
    desk.book.resend("gw-2")
    desk.book.resend("gw-1")
    assert desk.sent == [desk.sent[0]] * 2
    desk.hears(row, "command.accepted")
    desk.book.resend()
    assert len(desk.sent) == 2
    desk.hears(row, "command.result", outcome="done", answer={"written": [300]}, duration_s=0.2)
    found = desk.book.row(str(row["id"]))
    assert (found["state"], found["answer"], found["duration_s"]) == (
        "done",
        {"written": [300]},
        0.2,
    )
    assert desk.changed == ["sent", "accepted", "done"]
    assert desk.book.rows(site="plant", device="valve-1", limit=9) == [found]
    assert desk.book.rows(site="north", device="valve-1", limit=9) == []


def test_only_an_armed_command_can_be_confirmed_and_by_its_code(desk: Desk) -> None:
    row = desk.give()
    with pytest.raises(CommandRefusedError, match="sent"):
        desk.book.confirm(str(row["id"]), "wang", 30.0)
    until_ns = SystemClock().now_ns() + 60 * S
    desk.hears(row, "command.result", outcome="armed", code="a1b2c3", confirm_until_ns=until_ns)
    second = desk.book.confirm(str(row["id"]), "wang", 30.0)
    assert (second["confirms"], desk.sent[-1].kind) == (row["id"], DEVICE_CONFIRM)
    assert desk.sent[-1].args == {"code": "a1b2c3"}
    desk.hears(row, "command.result", outcome="done", confirmed_by="wang")
    with pytest.raises(CommandRefusedError, match="done"):
        desk.book.confirm(str(row["id"]), "wang", 30.0)
    with pytest.raises(NotFoundError):
        desk.book.confirm("nothing", "wang", 30.0)


def test_without_a_key_or_with_too_many_open_nothing_is_sent(desk: Desk) -> None:
    with pytest.raises(CommandRefusedError, match="no command key"):
        desk.give(gateway="gw-2")
    for _ in range(MAX_OPEN):
        desk.give()
    with pytest.raises(CommandRefusedError, match="not finished"):
        desk.give()
    assert len(desk.sent) == MAX_OPEN


def test_what_nobody_answers_is_unknown_in_the_end_and_the_oldest_are_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = desk.give(expires_s=-10.0)
    desk.book.expire()
    assert desk.book.row(str(row["id"]))["state"] == "unknown"
    monkeypatch.setattr(book_module, "MAX_KEPT", 2)
    kept = [desk.give()["id"] for _ in range(3)][1:]
    rows = desk.book.rows(site="", device="", limit=9)
    assert {r["id"] for r in rows} >= set(kept)
    assert len(rows) <= 3
