"""One core's worker: takes the frame whose turn it is, develops it, has it looked at, hands over what was found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.vision.frame import Frame
from edge.vision.observation import Observation, Quality
from edge.vision.pipeline.board import Board, Taken
from edge.vision.pipeline.develop import Developer
from edge.vision.pipeline.health import Health
from edge.vision.pipeline.pace import Attention
from edge.vision.pipeline.shares import Budget
from edge.vision.sources.source import Reject
from tocsin.errors import TocsinError
from tocsin.sdk import Clock


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking at one frame found, and how often the camera is worth looking at now."""

    observations: tuple[Observation, ...] = ()
    attention: Attention = Attention.IDLE


Look = Callable[[Frame], Looked]
"""Called from a worker's thread, with the frames of one camera in order and one at a time, but of several cameras at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame and what was found in it. Frames that cannot be judged come with their quality and without observations."""

    frame: Frame
    looked: Looked
    latency_ms: float  # from the frame being there to now


class Worker:
    """The thread's work."""

    def __init__(
        self,
        board: Board,
        developers: Mapping[str, Developer],
        healths: Mapping[str, Health],
        look: Look,
        give: Callable[[Result], object],
        clock: Clock,
        stop: threading.Event,
        share_of_core: float,
    ) -> None:
        self._board, self._developers, self._healths = board, developers, healths
        self._look, self._give, self._clock, self._stop = look, give, clock, stop
        self._budget = Budget(share_of_core, clock.mono_ns())
        self._log = logging.getLogger("tocsin.vision")

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stop.is_set():
            wait_s = self._budget.wait_s(self._clock.mono_ns())
            if wait_s > 0 and self._stop.wait(wait_s):
                return
            taken = self._board.take()
            if taken is None:
                return
            self._work(taken)

    def _work(self, taken: Taken) -> None:
        began_ns, found, work_s = self._clock.mono_ns(), None, 0.0
        try:
            found = self._one(taken)
        except Exception as exc:
            self._healths[taken.camera].failed(f"{type(exc).__name__}: {exc}")
            raise
        finally:
            ended_ns = self._clock.mono_ns()
            work_s = (ended_ns - began_ns) / 1e9
            self._budget.spend(work_s, ended_ns)
            if found is not None:
                self._give(
                    found
                )  # before the camera's next frame may be taken: results keep their order
            attention = None if found is None else found.looked.attention
            self._board.done(taken.camera, work_s, attention)

    def _one(self, taken: Taken) -> Result | None:
        health, developer = self._healths[taken.camera], self._developers[taken.camera]
        frame = developer.develop(taken.raw, taken.index, taken.ts_ns, taken.mono_ns)
        if isinstance(frame, Reject):
            health.rejected(frame.value)
            return None
        health.developed(frame.size, frame.quality, frame.moved, developer.resolution_changes)
        looked = Looked()
        if frame.quality is Quality.GOOD:
            try:
                looked = self._look(frame)
            except TocsinError as exc:
                if health.failed(exc.message):
                    self._log.warning("camera %s cannot be looked at: %s", taken.camera, exc)
                return None
        now_ns = self._clock.mono_ns()
        health.looked(taken.mono_ns, now_ns)
        return Result(frame, looked, (now_ns - taken.mono_ns) / 1e6)
