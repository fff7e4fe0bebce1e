"""A newer sender's fields are counted, once in many messages, and cost the readings nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cloud.ingest import unknown
from cloud.ingest.decode import decode
from cloud.ingest.unknown import UnknownFields
from tests.contract.examples import ALARM, BATCH, EVENT, GATEWAY, HEALTH, SITE, T0
from tests.contract.hostile import sealed
from tocsin.contract import topics
from tocsin.contract.messages import Alarm, Event


class World:
    """One registered gateway; nothing stored yet."""

    def site_of(self, gateway: str) -> str | None:
        return SITE if gateway == GATEWAY else None

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        return [(lo, hi)]


def look(counter: UnknownFields, kind: str, payload: bytes) -> int:
    got = decode(topics.up(SITE, GATEWAY, kind), payload, T0, World(), 300 * 10**9)
    return counter.look(got, payload)


def newer(body: Any, **more: object) -> bytes:
    """The body a newer sender would send."""
    return msgspec.json.encode(msgspec.to_builtins(body) | more)


def batch(**more: object) -> bytes:
    return sealed(newer(BATCH, **more), rows=BATCH.rows, seq=BATCH.first_seq)


def test_the_first_message_of_a_stream_is_looked_at_and_then_one_in_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unknown, "EVERY_MESSAGES", 4)
    counter = UnknownFields()
    payload = batch(soil="wet", clk=msgspec.to_builtins(BATCH.clock) | {"drift": 0.5})
    found = [look(counter, topics.TELEMETRY, payload) for _ in range(9)]
    assert found == [2, 0, 0, 0, 2, 0, 0, 0, 2]
    assert counter.names == {"telemetry: soil": 3, "telemetry: clk.drift": 3}


@pytest.mark.parametrize(("kind", "body"), [(topics.ALARM, ALARM), (topics.EVENT, EVENT)])
def test_alarms_and_events_are_looked_at_too(kind: str, body: Alarm | Event) -> None:
    counter = UnknownFields()
    payload = sealed(newer(body, mood="calm"), rows=1, seq=body.seq, stream=body.stream)
    assert look(counter, kind, payload) == 1
    assert set(counter.names) == {f"{kind}: mood"}


def test_health_is_looked_at_too() -> None:
    counter = UnknownFields()
    assert [look(counter, topics.HEALTH, newer(HEALTH, mood="calm")) for _ in range(2)] == [1, 0]
    assert set(counter.names) == {"health: mood"}


def test_a_message_that_was_refused_is_not_its_streams_turn() -> None:
    counter = UnknownFields()
    assert look(counter, topics.TELEMETRY, sealed(b'{"soil":1}')) == 0
    assert look(counter, topics.TELEMETRY, batch(soil="wet")) == 1


@pytest.mark.parametrize(
    "odd", [b'"\\ud800"', b"[" * 200 + b"]" * 200, b'"\xff"', b"1e400", b'{"a":1,"a":2}']
)
def test_whatever_stands_in_an_unknown_field_harms_nothing(odd: bytes) -> None:
    counter = UnknownFields()
    body = msgspec.json.encode(BATCH)[:-1] + b',"soil":' + odd + b"}"
    look(counter, topics.TELEMETRY, sealed(body, rows=BATCH.rows, seq=BATCH.first_seq))


def test_names_are_bounded() -> None:
    counter = UnknownFields()
    many = {f"x{i}" + "y" * 500: 1 for i in range(1000)}
    assert look(counter, topics.TELEMETRY, batch(**many)) == 1000
    assert len(counter.names) == unknown.MAX_NAMES
    assert max(map(len, counter.names)) < 100
