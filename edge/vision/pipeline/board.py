"""Where cameras leave their latest frame and workers take them: one place a camera, never two frames of one at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from edge.vision.pipeline.pace import Attention, Pace, Rates
from edge.vision.pipeline.shares import Shares
from edge.vision.sources.source import Raw
from tocsin.sdk import Clock


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame as its source gave it; developing it is the worker's work."""

    camera: str
    index: int
    ts_ns: int
    mono_ns: int
    raw: Raw


class _Place:
    __slots__ = ("busy", "frame", "pace")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.frame: Taken | None = None
        self.busy = False


class Board:
    """Shared by all threads of a pipeline; every call is short, but those that say that they wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._places: dict[str, _Place] = {}
        self._shares = Shares()
        self._closed = False

    def add(self, camera: str, rates: Rates) -> None:
        """A place for it."""
        with self._changed:
            self._places[camera] = _Place(Pace(rates))

    def wants(self, camera: str) -> bool:
        """Whether a frame of now would be looked at; if not, do not even unpack it."""
        with self._changed:
            place = self._places[camera]
            return place.frame is None and place.pace.due(self._clock.mono_ns())

    def wait_free(self, camera: str) -> bool:
        """Waits until its place is empty and nobody looks at it; False: the pipeline ends."""
        with self._changed:
            place = self._places[camera]
            self._changed.wait_for(lambda: self._closed or (place.frame is None and not place.busy))
            return not self._closed

    def put(self, taken: Taken) -> None:
        """Leaves a frame."""
        with self._changed:
            place = self._places[taken.camera]
            place.frame = taken
            place.pace.taken(taken.mono_ns)
            self._changed.notify_all()

    def take(self) -> Taken | None:
        """Waits for a frame; None: the pipeline ends."""
        with self._changed:
            while not self._closed:
                ready = [c for c, p in self._places.items() if p.frame is not None and not p.busy]
                camera = self._shares.next(ready)
                if camera is not None:
                    place = self._places[camera]
                    taken, place.frame, place.busy = place.frame, None, True
                    return taken
                self._changed.wait()
            return None

    def done(self, camera: str, work_s: float, found: Attention | None) -> None:
        """The frame that was taken has been looked at; `found` None: it could not be."""
        now_ns = self._clock.mono_ns()
        with self._changed:
            place = self._places[camera]
            place.busy = False
            self._shares.pay(camera, work_s, place.pace.attention(now_ns))
            if found is not None:
                place.pace.found(found, now_ns)
            self._changed.notify_all()

    def attention(self, camera: str) -> Attention:
        """Its state."""
        with self._changed:
            return self._places[camera].pace.attention(self._clock.mono_ns())

    def close(self) -> None:
        """Wakes all who wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
