"""kill -9 of a process that acquires and sends, at every step of a reading's way: each durable row arrives, and once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from tests.dying import server
from tests.edge.uplink.dying import POINTS, TORN, run
from tocsin.broker import ChildBroker
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Batch
from tocsin.testing import INGESTER, wait_until
from tocsin.testing.ingester import TestIngester


class Child:
    """A gateway's outbox and uplink in a process of its own."""

    def __init__(self, folder: Path, port: int, rows: int, tag: int, point: str = "-") -> None:
        self._told = folder.with_name(f"{folder.name}-told-{tag}")
        args = (self._told, folder, port, rows, tag, point, 5)
        self._process = server.Process(target=run, args=args)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill9()
        self._process.close()

    def kill9(self) -> None:
        self._process.kill()
        self._process.join()

    async def ended(self) -> int | None:
        """Its exit status once it has ended by itself."""
        await wait_until(lambda: self._process.exitcode is not None, what=self.told())
        return self._process.exitcode

    def told(self) -> str:
        """All it said so far."""
        return self._told.read_text() if self._told.exists() else ""

    def durable(self) -> set[int]:
        """What it was told to be durable; a kill may cut the last line."""
        words = [line.split() for line in self.told().split("\n")[:-1]]
        return {int(w[1]) for w in words if len(w) == 2 and w[0] == "durable"}


def ingester(port: int) -> TestIngester:
    return TestIngester(port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1")


def arrived(cloud: TestIngester) -> Counter[int]:
    """How often each value lies in the cloud, resends of a number counted once."""
    found = Counter[int]()
    for payload in list(cloud.payloads.values()):
        batch = decode_body(decode_header(payload), payload, Batch)
        for group in batch.groups:
            found.update(int(value) for value in group.columns[0] if isinstance(value, float))
    return found


def test_every_step_of_the_way_is_walked() -> None:
    assert len(POINTS) == 15


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_this_step_neither_loses_nor_doubles_a_durable_row(
    mosquitto: ChildBroker, tmp_path: Path, point: str
) -> None:
    with ingester(mosquitto.port) as cloud:
        with Child(tmp_path, mosquitto.port, 500, 0, point) as first:
            ended_by = signal.SIGXFSZ if point == TORN else signal.SIGKILL
            assert await first.ended() == -ended_by, first.told()
            durable = first.durable()
        with Child(tmp_path, mosquitto.port, 3, 1_000) as second:
            await wait_until(lambda: "settled" in second.told(), 60.0)
            durable |= second.durable()
        found = arrived(cloud)
        assert durable <= found.keys()
        assert set(found.values()) == {1}
        (have,) = cloud.ledger.values()
        assert list(have) == [(0, len(found))], "no number is missing or without a row"
        assert cloud.changed == []


async def test_after_kills_while_sending_the_ingester_misses_nothing_durable(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    durable = set[int]()
    with ingester(mosquitto.port) as cloud:
        for run_, sent_before_kill in enumerate((1, 90, 0)):
            last = sent_before_kill == 0
            with Child(tmp_path, mosquitto.port, 20 if last else 100_000, run_ * 100_000) as child:
                if last:
                    await wait_until(lambda child=child: "settled" in child.told(), 60.0)
                else:
                    goal = cloud.rows() + sent_before_kill
                    await wait_until(lambda goal=goal: cloud.rows() >= goal, 60.0)
                child.kill9()
                durable |= child.durable()
        found = arrived(cloud)
        assert len(durable) > 90
        assert durable <= found.keys()
        assert set(found.values()) == {1}
        assert cloud.changed == []
