"""The window of uncommitted bytes: pure, time is an argument."""

from __future__ import annotations

from edge.outbox import Chunk
from edge.uplink.window import Window


def chunk(number: int, size: int = 100) -> Chunk:
    return Chunk(number, "telemetry", "0" * 26, number * 10, 10, b"x" * size)


def test_a_chunk_overtaken_by_a_later_commit_is_sent_again_within_two_seconds() -> None:
    window = Window(10_000, resend_after_s=60.0)
    lost = chunk(1)
    window.sent(lost, "t", "live", now_s=0.0)
    window.hasten(lambda c: c.id == 1, now_s=5.0)
    assert window.due(5.5) == []
    assert [f.chunk.id for f in window.due(7.0)] == [1]


def test_an_overtaken_chunk_is_hastened_only_once() -> None:
    window = Window(10_000, resend_after_s=60.0)
    window.sent(chunk(1), "t", "live", now_s=0.0)
    window.hasten(lambda _: True, now_s=0.0)
    window.due(2.0)
    window.hasten(lambda _: True, now_s=2.0)
    assert window.due(30.0) == []


def test_backlog_is_not_hastened_by_live_chunks_that_pass_it() -> None:
    window = Window(10_000, resend_after_s=60.0)
    window.sent(chunk(1), "t", "hist", now_s=0.0)
    window.hasten(lambda _: True, now_s=0.0)
    assert window.due(30.0) == []


def test_a_chunk_that_nothing_overtook_waits_for_its_time() -> None:
    window = Window(10_000, resend_after_s=60.0)
    window.sent(chunk(1), "t", "live", now_s=0.0)
    window.hasten(lambda _: False, now_s=0.0)
    assert window.due(30.0) == []
    assert [f.chunk.id for f in window.due(80.0)] == [1]
