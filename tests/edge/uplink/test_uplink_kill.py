"""kill -9 of a process that acquires and sends, at every step of a reading's way: each durable row arrives, and once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.edge.uplink.dying import POINTS, TORN, Child, run
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Batch
from tocsin.testing import INGESTER, wait_until
from tocsin.testing.ingester import TestIngester


async def ended(child: Child) -> int | None:
    """Its exit status once it has ended by itself."""
    await wait_until(lambda: child.status is not None, what=child.told())
    return child.status


def ingester(port: int) -> TestIngester:
    return TestIngester(port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1")


def durable(child: Child) -> set[int]:
    """What it was told to be durable; a kill may cut the last line."""
    words = [line.split() for line in child.told().split("\n")[:-1]]
    return {int(w[1]) for w in words if len(w) == 2 and w[0] == "durable"}


def arrived(cloud: TestIngester) -> Counter[int]:
    """How often each value lies in the cloud, resends of a number counted once."""
    found = Counter[int]()
    heads = [(decode_header(p), p) for _, p in cloud.received(topics.TELEMETRY)]
    sent = {(head.stream, head.first_seq): payload for head, payload in heads}
    for payload in sent.values():
        batch = decode_body(decode_header(payload), payload, Batch)
        for group in batch.groups:
            found.update(int(value) for value in group.columns[0] if isinstance(value, int | float))
    return found


def test_every_step_of_the_way_is_walked() -> None:
    assert len(POINTS) == 15


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_this_step_neither_loses_nor_doubles_a_durable_row(
    mosquitto: ChildBroker, tmp_path: Path, point: str
) -> None:
    place = tmp_path / "outbox"
    with ingester(mosquitto.port) as cloud:
        with Child(tmp_path / "first", run, place, mosquitto.port, 500, 0, point, 5) as first:
            ended_by = signal.SIGXFSZ if point == TORN else signal.SIGKILL
            assert await ended(first) == -ended_by, first.told()
            told = durable(first)
        with Child(tmp_path / "second", run, place, mosquitto.port, 3, 1_000) as second:
            await wait_until(lambda: "settled" in second.told(), 60.0)
            told |= durable(second)
        found = arrived(cloud)
        assert told <= found.keys()
        assert set(found.values()) == {1}
        (have,) = cloud.ledger.values()
        assert list(have) == [(0, len(found))], "no number is missing or without a row"
        assert cloud.changed == []


async def test_after_kills_while_sending_the_ingester_misses_nothing_durable(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    told, place = set[int](), tmp_path / "outbox"
    with ingester(mosquitto.port) as cloud:
        for turn, sent_before_kill in enumerate((1, 90, 0)):
            last = sent_before_kill == 0
            rows, tag = 20 if last else 100_000, turn * 100_000
            with Child(tmp_path / str(turn), run, place, mosquitto.port, rows, tag) as child:
                if last:
                    await wait_until(lambda child=child: "settled" in child.told(), 60.0)
                else:
                    goal = cloud.rows() + sent_before_kill
                    await wait_until(lambda goal=goal: cloud.rows() >= goal, 60.0)
                child.kill9()
                told |= durable(child)
        found = arrived(cloud)
        assert len(told) > 90
        assert told <= found.keys()
        assert set(found.values()) == {1}
        assert cloud.changed == []
