"""Configurations for gateways as the cloud follows them: what moves them, what does not, and what is kept."""

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
from cloud.gateway_configs import book as book_module
from cloud.gateway_configs.book import ConfigBook
from cloud.gateway_configs.model import GRACE_NS, Sent, heard, overdue
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.remote import APPLY, MAX_TOML_BYTES, WITHDRAW
from tocsin.contract.signing import is_signed
from tocsin.errors import BadRequestError, CommandRefusedError, NotFoundError
from tocsin.sdk import SystemClock

KEY = b"gw-1-key"
S = 1_000_000_000


def sent(**changes: Any) -> Sent:
    return replace(Sent("c1", APPLY, "plant", "gw-1", 1, "", "li", 0, 30 * S, 0), **changes)


def event(kind: str, gateway: str = "gw-1", text: str = "", **data: Any) -> Event:
    return Event(VERSION, "plant", gateway, "S", 0, kind, 5 * S, "", text, {"id": "c1"} | data)


def after(start: Sent, *kinds: str) -> str:
    for kind in kinds:
        start = heard(start, event(kind), 6 * S) or start
    return start.state


def test_the_gateway_tells_the_state() -> None:
    assert after(sent(), "config.applied") == "applied"
    assert after(sent(), "config.applied", "config.on-trial", "config.confirmed") == "confirmed"
    assert after(sent(), "config.applied", "config.rolled-back") == "rolled-back"
    assert after(sent(), "config.confirmed", "config.superseded") == "superseded"
    assert after(sent(), "config.withdrawn") == "withdrawn"
    refused = heard(sent(), event("config.refused", problems=[{"line": 3}], text="x"), 1)
    assert refused is not None
    assert (refused.state, refused.problems) == ("refused", [{"line": 3}])


def test_another_gateway_a_repetition_and_an_unknown_word_move_nothing() -> None:
    for one in (
        event("config.applied", gateway="gw-2"),
        event("command.refused", reason="duplicate"),
        event("config.reloaded"),
        event("device.recovered"),
    ):
        assert heard(sent(), one, 1) is None


def test_what_nobody_takes_expires_and_a_late_word_still_counts() -> None:
    assert overdue(sent(), 30 * S + GRACE_NS - 1) is None
    late = overdue(sent(), 30 * S + GRACE_NS)
    assert late is not None
    assert (late.state, after(late, "config.applied")) == ("expired", "applied")
    assert overdue(sent(state="applied"), 10**18) is None


STEPS = ["config.applied", "config.confirmed", "config.superseded"]


@given(st.lists(st.sampled_from([*STEPS, "command.refused"]), max_size=8))
def test_news_that_come_late_do_not_take_a_version_back(kinds: list[str]) -> None:
    state, reached = sent(), 0
    for kind in kinds:
        state = heard(state, event(kind), 1) or state
        reached = max(reached, STEPS.index(kind) + 1 if kind in STEPS else 0)
        if reached:
            assert state.state == ("applied", "confirmed", "superseded")[reached - 1]


@pytest.fixture
def out() -> list[Command]:
    return []


@pytest.fixture
def book(tmp_path: Path, out: list[Command]) -> Iterator[ConfigBook]:
    engine = open_engine(tmp_path / "state.sqlite")
    upgrade(engine)
    keys, sites = {"gw-1": KEY}, {"gw-1": "plant", "gw-2": "plant"}
    yield ConfigBook(engine, SystemClock(), sites=sites, keys=keys, send=out.append)
    engine.dispose()


def test_versions_rise_are_signed_and_one_not_taken_is_replaced(
    book: ConfigBook, out: list[Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert book.push("gw-1", "schema = 1", "li")["version"] == 1
    second = book.push("gw-1", "schema = 1 # 2", "li", version=7)
    assert [row["state"] for row in book.rows("gw-1", 10)] == ["sent", "replaced"]
    assert is_signed(out[1], KEY)
    assert (out[1].kind, out[1].args) == (APPLY, {"version": 7, "toml": "schema = 1 # 2"})
    book.resend("gw-1")
    assert msgspec.json.encode(out[2]) == msgspec.json.encode(out[1]), "the very same bytes"
    told = event("config.applied", text="on trial")
    told = msgspec.structs.replace(told, data={"id": second["id"], "version": 7})
    book.on_event(told, 9)
    assert book.row("gw-1", 7)["state"] == "applied"
    book.resend("gw-1")
    assert len(out) == 3, "what was taken is not sent again"
    with pytest.raises(CommandRefusedError, match="version 7 of gw-1 was sent already"):
        book.push("gw-1", "schema = 1", "li", version=7)
    back = book.push("gw-1", "", "li")
    assert (back["version"], out[-1].kind, out[-1].args) == (8, WITHDRAW, {"version": 8})
    # in force again after another was rolled back: its id is not known any more
    again = msgspec.structs.replace(told, kind="config.superseded", data={"id": "", "version": 7})
    book.on_event(again, 10)
    assert book.row("gw-1", 7)["state"] == "superseded"
    monkeypatch.setattr(book_module, "MAX_KEPT", 2)
    book.push("gw-1", "", "li")
    assert [row["version"] for row in book.rows("gw-1", 10)] == [9, 8]


def test_what_cannot_be_sent_is_refused(book: ConfigBook, out: list[Command]) -> None:
    with pytest.raises(BadRequestError, match="not TOML"):
        book.push("gw-1", "schema = ", "li")
    with pytest.raises(BadRequestError, match="at most"):
        book.push("gw-1", "#" * (MAX_TOML_BYTES + 1), "li")
    with pytest.raises(CommandRefusedError, match="no command key"):
        book.push("gw-2", "schema = 1", "li")
    for unknown in (lambda: book.push("gw-9", "", "li"), lambda: book.rows("gw-9", 1)):
        with pytest.raises(NotFoundError):
            unknown()
    with pytest.raises(NotFoundError):
        book.row("gw-1", 1)
    assert out == []


def test_what_nobody_took_in_time_is_given_up(book: ConfigBook, out: list[Command]) -> None:
    book.push("gw-1", "schema = 1", "li", expires_s=-20)
    book.resend("gw-1")
    assert len(out) == 1
    book.expire()
    assert book.row("gw-1", 1)["state"] == "expired"
