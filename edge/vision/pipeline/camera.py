"""One camera's thread: opens its source, keeps up with it, leaves the frames that somebody wants, comes back after failures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from edge.vision.pipeline.board import Board, Taken
from edge.vision.pipeline.develop import Radiometry
from edge.vision.pipeline.health import Health
from edge.vision.pipeline.leniency import OPENINGS, Leniency
from edge.vision.pipeline.pace import Rates
from edge.vision.pipeline.retry import Retry
from edge.vision.sources.damage import CUT_SHORT, FIX, HABITS
from edge.vision.sources.source import Raw, Reject, Source, Suspect, Wait
from tocsin.errors import DriverReason, LinkError, TocsinError
from tocsin.sdk import Clock

_BAD_IN_A_ROW, _BAD_NS = 3, 5_000_000_000  # a decoder that lost its way never finds it again


@dataclass(frozen=True, slots=True)
class Camera:
    """What a pipeline must know of one. `source` is called in the camera's thread."""

    name: str
    source: Callable[[Wait], Source]
    rates: Rates = field(default_factory=Rates)
    radiometry: Radiometry | None = None
    frozen_after_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """A camera came online (`error` None): a picture of it can be looked at. Or it went away. Told once each, and again when it stays away for another reason."""

    camera: str
    error: TocsinError | None


class CameraRun:
    """The thread's work."""

    def __init__(
        self,
        camera: Camera,
        board: Board,
        health: Health,
        clock: Clock,
        tell: Callable[[Change], object],
        stop: threading.Event,
    ) -> None:
        self._camera, self._board, self._health = camera, board, health
        self._clock, self._tell, self._stop = clock, tell, stop
        self._retry = Retry()
        self._leniency = Leniency()  # outlives the openings

    def run(self) -> None:
        """Until it is stopped, or a file has ended."""
        while not self._stop.is_set():
            opened = False
            try:
                with closing(self._camera.source(self._stop.wait)) as source:
                    source.open()
                    opened = True
                    self._learn(self._leniency.opened())
                    self._serve(source)
                if self._board.wait_free(self._camera.name):
                    self._health.ended()
                return
            except TocsinError as exc:
                if self._health.offline(exc, opened=opened):
                    self._tell(Change(self._camera.name, exc))
                reason = exc.reason if isinstance(exc, LinkError) else DriverReason.PERMISSION
                self._stop.wait(self._retry.next_delay_s(reason))

    def _serve(self, source: Source) -> None:
        name, board, bad, since_ns = self._camera.name, self._board, 0, 0
        is_online = False  # until one of its pictures can be looked at
        while not self._stop.is_set():
            if not source.live and not board.wait_free(name):
                return
            if not source.grab():
                return
            mono_ns, ts_ns = self._clock.mono_ns(), self._clock.now_ns()
            wanted = not source.live or board.wants(name)
            index = self._health.came(mono_ns, wanted)
            if is_online and not wanted:
                continue
            raw = self._weighed(source.retrieve())
            if isinstance(raw, Reject | Suspect):
                why = raw.reject if isinstance(raw, Suspect) else raw
                self._health.rejected(why.value)
                bad += 1
                since_ns = mono_ns if bad == 1 else since_ns
                if source.live and bad >= _BAD_IN_A_ROW and mono_ns - since_ns >= _BAD_NS:
                    raise _given_up(raw, self._leniency)
                continue
            bad = 0
            if not is_online:
                is_online = True
                if self._health.online():
                    self._tell(Change(name, None))
            if wanted:
                board.put(Taken(name, index, ts_ns, mono_ns, raw))

    def _weighed(self, found: Raw | Reject | Suspect) -> Raw | Reject | Suspect:
        """A suspect picture is one to look at where all of its camera's are like it."""
        known = self._leniency
        match found:
            case Suspect():
                self._learn(known.suspect(found.damage))
                return found.picture if found.damage is known.taken else found
            case Reject():
                self._learn(known.refused())
            case _:
                self._learn(known.whole())
        return found

    def _learn(self, leniency: Leniency) -> None:
        if leniency is not self._leniency:
            self._leniency = leniency
            self._health.takes(leniency.taken)


def _given_up(newest: Reject | Suspect, known: Leniency) -> LinkError:
    if isinstance(newest, Reject):
        why = CUT_SHORT if newest is Reject.TRUNCATED else newest.value
        text = f"none of its pictures can be read ({why}); it is opened anew"
        return LinkError(DriverReason.GARBAGE, text)
    if known.can:
        then = "It sent one that is as it should be, so these are refused until the next start"
    else:
        then = f"Where each of them is like that in {OPENINGS} openings, they are taken as they are"
    text = f"{HABITS[newest.damage][0]}: {FIX[0]}. {then}"
    return LinkError(DriverReason.NOT_TO_STANDARD, text)
