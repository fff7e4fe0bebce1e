"""The frame log: bounded, merged by time, and honest to a watcher that is slow."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frames import KEPT, LONGEST, WAITING, Frame, FrameLog, Missed
from edge.shown import LONGEST as LONGEST_PIECE
from edge.shown import Pieces
from tocsin.errors import UsageError


class Clock:
    """Counts."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        self.ns += 1
        return self.ns

    def mono_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def _log() -> FrameLog:
    log = FrameLog(Clock())
    log.add("line", "modbus", ["gas-01", "gas-02"])
    log.add("gps", "nmea", ["truck-01"])
    return log


def test_only_the_last_frames_and_their_first_bytes_are_kept() -> None:
    log = _log()
    for i in range(KEPT + 5):
        log.take("line", "gas-01", "rx", bytes([i]))
    log.take("line", "gas-01", "tx", b"x" * (LONGEST + 1))
    kept = log.last("gas-01", 1000)
    assert [frame.hex for frame in kept[:2]] == ["06", "07"]
    assert (len(kept), kept[-1].size, len(kept[-1].hex)) == (KEPT, LONGEST + 1, 2 * LONGEST)
    assert [frame.direction for frame in log.last("gas-01", 2)] == ["rx", "tx"]
    assert log.last("gas-01", 0) == []


def test_a_driver_shows_all_its_devices_and_strangers_in_the_order_of_time() -> None:
    log = _log()
    log.take("line", "gas-02", "tx", b"a")
    log.take("line", "gas-01", "tx", b"b")
    log.take("line", "truck-01", "rx", b"c")  # another driver's device is a stranger
    log.take("line", "nobody", "rx", b"d")
    assert [(f.device, bytes.fromhex(f.hex)) for f in log.last("line", 9)] == [
        ("gas-02", b"a"),
        ("gas-01", b"b"),
        ("", b"c"),
        ("", b"d"),
    ]
    assert log.last("truck-01", 9) == []
    with pytest.raises(UsageError, match="no device or driver 'gas-03'") as refused:
        log.last("gas-03", 1)
    assert refused.value.hint.startswith("did you mean 'gas-0")


async def test_a_slow_watcher_misses_frames_and_is_told_how_many() -> None:
    log = _log()
    watch = log.watch("gas-01")
    log.take("line", "gas-02", "rx", b"not mine")
    for i in range(WAITING + 7):
        log.take("line", "gas-01", "rx", i.to_bytes(2, "big"))
    items = [item for _ in range(WAITING) for item in await watch.next()]
    assert items[0] == Missed(7)
    assert [f.hex for f in items[1:] if isinstance(f, Frame)] == [
        f"{i:04x}" for i in range(WAITING)
    ]
    log.take("line", "gas-01", "rx", b"\x01")
    assert [f.hex for f in await watch.next() if isinstance(f, Frame)] == ["01"]
    watch.close()
    log.take("line", "gas-01", "rx", b"\x02")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.next(), 0.01)


@given(st.lists(st.binary(max_size=40)), st.sampled_from([b"\n", b"\x00", b"\x7e"]))
def test_pieces_are_all_the_bytes_and_end_with_the_mark(chunks: list[bytes], mark: bytes) -> None:
    pieces = Pieces(mark)
    found = [piece for chunk in chunks for piece in pieces.feed(chunk)]
    assert b"".join(found) + pieces.flush() == b"".join(chunks)
    for piece in found:
        assert piece.endswith(mark)
        assert piece.strip(mark)
        assert mark not in piece.strip(mark)


def test_bytes_without_a_mark_are_shown_too() -> None:
    pieces = Pieces(b"\n")
    assert [len(p) for p in pieces.feed(b"x" * (2 * LONGEST_PIECE + 1))] == [LONGEST_PIECE] * 2
    assert pieces.flush() == b"x"
