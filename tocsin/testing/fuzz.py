"""Throws spoilt frames at one codec and its streams: `python -m tocsin.testing.fuzz PROTOCOL --frames 1000000`.

Every frame must be described, as plain JSON of bounded size, or be refused with the codec's own error, within a second
and a fixed amount of memory. The first that is not ends the run, with its bytes.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import msgspec

from tocsin.errors import CodecError, FrameError
from tocsin.sdk.codec import (
    Describe,
    Examples,
    Feed,
    FrameInput,
    codec_names,
    example_names,
    load_codec,
    load_examples,
)
from tocsin.testing.mutate import Mutator

SLOWEST_S = 1.0
HANGS_AFTER_S = 20.0
ROOM_BYTES = (
    256 << 20
)  # address space that decoding may take beyond what the process has after its first frames
GROWTH_BYTES = 48 << 20  # resident memory that may be added over the whole run
ANSWER_BYTES = 1 << 20
CHUNK_EVERY = 8
FRESH_STREAM_EVERY = 20_000


class Report(msgspec.Struct, frozen=True):
    """What a run came to. `hex` is the frame (or the last piece of the stream) that ended it."""

    protocol: str
    seed: int
    frames: int
    described: int
    refused: int
    chunks: int
    slowest_ms: float
    grown_mb: float
    seconds: float
    fault: str | None = None
    hex: str | None = None
    kind: str | None = None


class FoundError(Exception):
    """A frame that a codec does not take as it must."""


class _Run:
    """One codec, its streams, and the frame it has at the moment."""

    def __init__(self, describe: Describe | None, examples: Examples, seed: int) -> None:
        self._describe, self._examples = describe, examples
        self._mutator = Mutator(examples, seed)
        self._streams: list[Feed] = []
        self.given = FrameInput(b"")
        self.described = self.refused = self.chunks = 0
        self.slowest_s = 0.0

    def sound(self) -> None:
        """Every example is described.

        Raises:
            FoundError: one is refused.
        """
        for given in self._examples.frames:
            self.given = given
            if self._describe is None:
                if any(self._feeds(feed, given.data) for feed in self._new_streams()):
                    continue
                raise FoundError("no reader takes an example")
            if not self._frame():
                raise FoundError("an example of its own encoder is refused")

    def step(self, number: int) -> None:
        """One spoilt frame, and now and then a piece of each stream."""
        self.given = self._mutator.frame()
        if self._describe is None:
            taken = self._feed_all(self.given.data, fresh=number % FRESH_STREAM_EVERY == 0)
            self.described += taken
            self.refused += not taken
        elif self._frame():
            self.described += 1
        else:
            self.refused += 1
        if self._examples.streams and number % CHUNK_EVERY == 0:
            self._chunk(fresh=number % FRESH_STREAM_EVERY == 0)

    def _new_streams(self) -> list[Feed]:
        return [make() for make in self._examples.streams]

    def _feeds(self, feed: Feed, data: bytes) -> bool:
        """Whether a reader of a stream takes these bytes without an error of its own."""
        began_s = time.thread_time()
        try:
            feed(data)
        except (CodecError, FrameError):
            return False
        finally:
            self._took(time.thread_time() - began_s)
        return True

    def _frame(self) -> bool:
        assert self._describe is not None  # noqa: S101 - the caller looked
        began_s = time.thread_time()
        try:
            facts = self._describe(self.given)
        except CodecError:
            facts = None
        self._took(time.thread_time() - began_s)
        if facts is None:
            return False
        if len(msgspec.json.encode(facts)) > ANSWER_BYTES:
            raise FoundError("the answer has more than a megabyte")
        return True

    def _chunk(self, *, fresh: bool) -> None:
        self.given = FrameInput(self._mutator.chunk())
        self._feed_all(self.given.data, fresh=fresh)
        self.chunks += len(self._streams)

    def _feed_all(self, data: bytes, *, fresh: bool) -> bool:
        """Whether one of the streams takes these bytes; one that refuses them is begun anew."""
        if fresh or not self._streams:
            self._streams = self._new_streams()
        taken = False
        for i, feed in enumerate(self._streams):
            if self._feeds(feed, data):
                taken = True
            else:
                self._streams[i] = self._examples.streams[i]()
        return taken

    def _took(self, took_s: float) -> None:
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > SLOWEST_S:
            raise FoundError(f"took {took_s:.1f} s of the processor")


def fuzz(
    name: str, frames: int, seed: int, codec: tuple[Describe | None, Examples] | None = None
) -> Report:
    """Runs in this process, and limits its memory for good. `codec` instead of the installed one of that name."""
    describe, examples = codec or _installed(name)
    run, done, fault = _Run(describe, examples, seed), 0, None
    began_s, rss = time.monotonic(), 0
    signal.signal(signal.SIGVTALRM, _hangs)
    try:
        run.sound()
        for done in range(frames):
            if done % 1000 == 0:
                signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_AFTER_S)
            run.step(done)
            if done == min(frames, 2000) - 1:
                rss = _memory()[1]
                limit = _memory()[0] + ROOM_BYTES
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        grown = _memory()[1] - rss
        if grown > GROWTH_BYTES:
            raise FoundError(f"resident memory grew by {grown >> 20} MB")
    except Exception as exc:  # noqa: BLE001 - what a codec raises is what is looked for
        fault = f"{type(exc).__name__}: {exc}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return Report(
        protocol=name,
        seed=seed,
        frames=done + (fault is None),
        described=run.described,
        refused=run.refused,
        chunks=run.chunks,
        slowest_ms=round(run.slowest_s * 1000, 2),
        grown_mb=round((_memory()[1] - rss) / 1e6, 1),
        seconds=round(time.monotonic() - began_s, 2),
        fault=fault,
        hex=run.given.data.hex() if fault else None,
        kind=run.given.kind if fault else None,
    )


def names() -> list[str]:
    """All that can be fuzzed: codecs, and what offers examples of what its readers take."""
    return sorted({*codec_names(), *example_names()})


def _installed(name: str) -> tuple[Describe | None, Examples]:
    return load_codec(name) if name in codec_names() else None, load_examples(name)


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise FoundError("does not come to an end")


def _memory() -> tuple[int, int]:
    """(address space, resident) in bytes."""
    size, resident = Path("/proc/self/statm").read_text("ascii").split()[:2]
    page = resource.getpagesize()
    return int(size) * page, int(resident) * page


def main() -> None:
    """One report as JSON; status 1 if a fault was found."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.testing.fuzz", description=__doc__)
    parser.add_argument("protocol")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    report = fuzz(given.protocol, given.frames, given.seed)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    raise SystemExit(report.fault is not None)


if __name__ == "__main__":
    main()
