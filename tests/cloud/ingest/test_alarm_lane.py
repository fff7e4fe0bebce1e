"""Alarms while the ingest thread waits for its store: kept and told at once, acknowledged only later."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.alarms.book import AlarmBook
from cloud.db import open_engine, upgrade
from cloud.ingest.alarm_lane import AlarmLane
from cloud.link import Handover, Received
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.messages import VERSION, Alarm, AlarmChange
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until_sync

STREAM = "01JD0000000000000000000000"


@contextmanager
def running(folder: Path, handover: Handover) -> Iterator[tuple[AlarmBook, AlarmLane]]:
    """A lane on a real state database; nobody takes the other lanes, as if the store hung."""
    engine = open_engine(folder / "state.db")
    upgrade(engine)
    book = AlarmBook(
        engine, SystemClock(), keys={}, command_expires_s=60, changed=lambda _: None, send=lambda _: None
    )  # fmt: skip
    lane = AlarmLane({"gw-1": "plant"}, handover, book, logging.getLogger("lane"))
    thread = threading.Thread(target=lane.run)
    thread.start()
    try:
        yield book, lane
    finally:
        lane.stop()
        thread.join()
        engine.dispose()


def raised(seq: int, alarm: str, gateway: str = "gw-1") -> Received:
    told = Alarm(
        VERSION, "plant", gateway, STREAM, seq, alarm, f"gas-{seq}", "gas", "h2s", "h2s-high",
        AlarmChange.RAISED, 1, time.time_ns(), value=21.0, limit=20.0,
    )  # fmt: skip
    return Received(topics.up("plant", gateway, topics.ALARM), encode(told), time.time_ns(), 1)


def test_alarms_are_kept_while_nothing_is_stored_and_wait_to_be_settled(tmp_path: Path) -> None:
    handover = Handover(1 << 20)
    handover.put(Received(topics.up("plant", "gw-1", topics.TELEMETRY), b"x", 0, 1))
    with running(tmp_path, handover) as (book, lane):
        sent = [raised(0, "A0"), raised(1, "A1"), raised(0, "A0")]
        assert all(map(handover.put, sent))
        wait_until_sync(lambda: len(book.rows(active=True, limit=9)) == 2, 30.0, "two alarms")
        wait_until_sync(lambda: lane.counts["alarms_told_again"] == 1, 30.0, "the third message")
        assert lane.counts["alarms"] == 2
    assert handover.take(0.0)[:3] == sent
    assert handover.waiting_bytes == sum(m.cost for m in sent) + 1025


def test_what_is_no_alarm_on_an_alarm_topic_is_left_to_the_ingest_thread(tmp_path: Path) -> None:
    handover = Handover(1 << 20)
    bad = Received(topics.up("plant", "gw-1", topics.ALARM), b"garbage", 0, 1)
    stranger = raised(0, "A9", "gw-9")
    with running(tmp_path, handover) as (book, _):
        assert handover.put(bad)
        assert handover.put(stranger)
        taken: list[Received] = []

        def both() -> bool:
            taken.extend(handover.take(0.1))
            return len(taken) == 2

        wait_until_sync(both, 30.0, "both")
        assert taken == [bad, stranger]
        assert book.rows(active=False, limit=9) == []
