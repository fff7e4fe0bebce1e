"""kill -9 of a process that acquires and sends, at every step of a reading's way: each durable row arrives, and once."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.edge.uplink.dying import POINTS, TORN
from tocsin.broker import ChildBroker
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Batch
from tocsin.testing import INGESTER, Process, run_process, wait_until
from tocsin.testing.ingester import TestIngester

ROOT = Path(__file__).parents[3]


def child(
    folder: Path, port: int, rows: int, tag: int, point: str = "-", nth: int = 1
) -> list[str]:
    argv = [sys.executable, "-m", "tests.edge.uplink.dying", str(folder), str(port)]
    return [*argv, str(rows), str(tag), point, str(nth)]


def ingester(port: int) -> TestIngester:
    return TestIngester(port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1")


def durable(process: Process) -> set[int]:
    """What it was told to be durable; a kill may cut the last line."""
    words = [line.split() for line in process.stdout]
    return {int(w[1]) for w in words[:-1] if len(w) == 2 and w[0] == "durable"}


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
        with run_process(child(tmp_path, mosquitto.port, 500, 0, point, 5), cwd=ROOT) as first:
            status = await asyncio.to_thread(first.wait)
            ended_by = signal.SIGXFSZ if point == TORN else signal.SIGKILL
            assert status == -ended_by, first.stderr
            told = durable(first)
        with run_process(child(tmp_path, mosquitto.port, 3, 1_000), cwd=ROOT) as second:
            await asyncio.to_thread(second.wait_line, "settled", 60.0)
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
    told = set[int]()
    with ingester(mosquitto.port) as cloud:
        for run, sent_before_kill in enumerate((1, 90, 0)):
            last = sent_before_kill == 0
            rows, tag = (20 if last else 100_000), run * 100_000
            with run_process(child(tmp_path, mosquitto.port, rows, tag), cwd=ROOT) as process:
                if last:
                    await asyncio.to_thread(process.wait_line, "settled", 60.0)
                else:
                    goal = cloud.rows() + sent_before_kill
                    await wait_until(lambda goal=goal: cloud.rows() >= goal, 60.0)
                process.kill9()
                told |= durable(process)
        found = arrived(cloud)
        assert len(told) > 90
        assert told <= found.keys()
        assert set(found.values()) == {1}
        assert cloud.changed == []
