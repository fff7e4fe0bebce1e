"""Recorded frames as a live camera, through the whole chain."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from edge.vision.frame import Frame
from edge.vision.judge.settings import Settings
from edge.vision.judge.verdict import Test
from edge.vision.judge.watch import Event, Watch, step
from edge.vision.observation import Box, Observation, Quality
from edge.vision.pipeline import checks
from edge.vision.pipeline.develop import Developer, Radiometry
from edge.vision.sources.folder import FolderSource
from edge.vision.sources.source import Raw, Reject
from edge.vision.sources.video import VideoSource
from edge.vision.watch.eye import unseen


class Eyes(Protocol):
    """What looks at the frames."""

    def look(self, frame: Frame, *, learn: bool = True) -> Observation:
        """What is in it; with `learn`, also for what is usual there."""
        ...

    def glance(self, frame: Frame) -> None:
        """A frame between two looks."""
        ...


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One event as `--json` prints it."""

    event: str  # alarm, grown, ended, moved, watching, shakes, anew
    frame: int  # from 0: of a folder's pictures in the order of their names
    file: str
    time_s: float  # since the first frame
    camera: str
    track: int | None = None
    label: str | None = None
    score: float | None = None
    threshold: float | None = None
    box: Box | None = None  # px of the whole picture
    since_frame: int | None = None  # the first frame it was seen in
    times: float | None = None  # of one that grew: its area by that at its alarm
    tests: tuple[Test, ...] = ()
    en: str
    zh: str


class Summary(msgspec.Struct, frozen=True):
    """What became of the frames."""

    frames: int
    judged: int  # frames between two looks are neither judged nor skipped
    skipped: dict[str, int]  # by reason
    alarms: int


class Playback:
    """Iterate `lines()` once; then `summary` and `watch` tell the rest."""

    def __init__(
        self,
        recorded: FolderSource | VideoSource,
        eyes: Eyes,
        settings: Settings,
        *,
        camera: str,
        every_s: float,
        look_every_s: float,
        start_ns: int,
        radiometry: Radiometry | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`every_s` lies between two frames, `look_every_s` at least between two that are looked at; `start_ns` is when the first was taken."""
        self._eyes, self._settings, self._source = eyes, settings, recorded
        self._camera, self._every_ns, self._start_ns = camera, int(every_s * 1e9), start_ns
        self._look_every_ns, self._due_ns = int(look_every_s * 1e9), 0
        self._developer = Developer(camera, radiometry=radiometry)
        self._before: int | None = None
        self._counts: Counter[str] = Counter()
        self._frames = self._alarms = 0
        self.watch = watch or Watch()

    def lines(self, stepped: Callable[[], None] = lambda: None) -> Iterator[Line]:
        """Every event when it comes; `stepped` is called after each frame. The source is open.

        Raises:
            ModelError: the graph failed.
        """
        while self._source.grab():
            index = self._frames
            self._frames += 1
            seen = self._seen(index)
            if isinstance(seen, Reject):
                self._counts[seen.value] += 1
            elif seen is not None:
                self._counts[seen.quality.value] += 1
                self.watch, events = step(self.watch, seen, self._settings)
                for event in events:
                    yield self._line(event)
            stepped()

    def _seen(self, index: int) -> Observation | Reject | None:
        raw = self._source.retrieve()
        if isinstance(raw, Reject):
            return raw
        after_ns = index * self._every_ns
        frame = self._developer.develop(raw, index, self._start_ns + after_ns, after_ns)
        if isinstance(frame, Reject):
            return frame
        if after_ns < self._due_ns and not frame.moved:
            self._eyes.glance(frame)
            return None
        self._due_ns = after_ns + self._look_every_ns - self._every_ns // 2
        if self._again(raw) and frame.quality is Quality.GOOD:
            return unseen(dataclasses.replace(frame, quality=Quality.FROZEN))
        return self._eyes.look(frame, learn=not any(t.open for t in self.watch.tracks))

    def _again(self, raw: Raw) -> bool:
        """The very picture that was looked at before says nothing new."""
        same, self._before = self._before, checks.fingerprint(raw)
        return same == self._before

    def _line(self, event: Event) -> Line:
        self._alarms += event.kind == "alarm"
        about = event.box is not None
        return Line(
            event=event.kind.value,
            frame=event.index,
            file=self._source.file.name,
            time_s=event.index * self._every_ns / 1e9,
            camera=event.camera,
            track=event.track if about else None,
            label=event.label if about else None,
            score=event.score if about else None,
            threshold=event.threshold if about else None,
            box=event.box,
            since_frame=event.since_index,
            times=event.times or None,
            tests=event.verdict.tests if event.verdict else (),
            en=event.en,
            zh=event.zh,
        )

    @property
    def summary(self) -> Summary:
        """So far."""
        skipped = {k: n for k, n in sorted(self._counts.items()) if k != Quality.GOOD}
        return Summary(self._frames, self._counts[Quality.GOOD], skipped, self._alarms)
