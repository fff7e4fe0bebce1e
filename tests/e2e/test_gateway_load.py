"""A gateway under load is killed again and again: not one message is lost or doubled."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from tocsin.lab.gateway import Rig, drained, published, publisher, rig, seen_at, start_edge
from tocsin.lab.ingest import go
from tocsin.testing import wait_until_sync

PER_S, SECONDS, KILLS = 8_000.0, 10.0, 3


@pytest.mark.release
def test_killed_under_load_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    messages = int(PER_S * SECONDS)
    with rig(tmp_path / "rig", "mosquitto") as run:
        sender = publisher(run.children, run.field_port, messages, PER_S)
        sender.ready(60.0)
        go(sender)
        edge = run.edge
        for _ in range(KILLS):
            enough = run.sink.rows() + int(PER_S)
            wait_until_sync(partial(_has, run, enough))
            edge.process.kill()
            edge.process.wait()
            edge.stop()
            run.children.all.remove(edge)
            edge = start_edge(run.children, tmp_path / "rig")
        published(sender, SECONDS)
        drained(run, messages)
        time.sleep(1.0)  # a double would come now
        seen = seen_at(run.sink)
    assert messages - len(seen.first_ns) == 0
    assert (seen.duplicated, seen.wrong) == (0, 0)


def _has(run: Rig, rows: int) -> bool:
    return run.sink.rows() >= rows
