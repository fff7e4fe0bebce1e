"""The place of a model in a running gateway: a newer version takes it between two frames, and loses it again when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.vision.nn.detector import Detector
from edge.vision.nn.load import Variant, load_detector
from tocsin.errors import ModelError, ModelReason, TocsinError

TRIAL_FRAMES = 200
SWAPPED, FELL_BACK = "model.swapped", "model.fell-back"


class Change(msgspec.Struct, frozen=True):
    """What happened to a slot. `why` is empty when all went well."""

    kind: str  # `SWAPPED` or `FELL_BACK`
    model: str
    version: str  # in use from now on
    before: str
    why: str = ""
    left: Path | None = None  # where a version that failed lies; None: the configured one


class Looking(msgspec.Struct, frozen=True):
    """What a camera is looked at with."""

    model: str  # name and version
    on_trial: bool  # the version before is still there to go back to


class Slot:
    """Cameras share it; any thread may call. The version before stays loaded until the new one has seen 200 frames."""

    def __init__(
        self,
        detector: Detector,
        tell: Callable[[Change], None] = lambda _change: None,
        configured: str | Path | None = None,
    ) -> None:
        """`configured`: where `detector` was loaded from, to come back to it."""
        self._lock = threading.Lock()
        self._tell = tell
        self._current = detector
        self._before: Detector | None = None
        self._configured = configured
        # where they were loaded from; None: as configured
        self._place: Path | None = None
        self._place_before: Path | None = None
        self._been: set[Path | None] = {None}  # to go back there classes may be lost
        self._frames = 0

    @property
    def current(self) -> Detector:
        """What the next frame is looked at with."""
        return self._current

    @property
    def looking(self) -> Looking:
        """Who that is."""
        with self._lock:
            detector, on_trial = self._current, self._before is not None
        return Looking(f"{detector.name} {detector.version}", on_trial)

    def offer(self, model: str | Path, *, variant: Variant = "auto") -> Detector:
        """Load a newer version beside the one in use and put it in its place. Takes as long as loading does; frames go on meanwhile.

        Raises:
            ConfigError, ModelError: it cannot be used, or is another model; the one in use stays.
        """
        return self._put(load_detector(model, variant=variant), Path(model))

    def follow(self, folder: Path | None) -> None:
        """Look with the version in this folder, None: with the configured one. Nothing happens where that is so, and nothing is loaded for the one before.

        Raises:
            ConfigError, ModelError: as `offer`.
        """
        with self._lock:
            if folder == self._place:
                return
            if self._before is not None and folder == self._place_before:
                self._back(self._before)
                return
        if folder is not None:
            self.offer(folder)
        elif self._configured is not None:
            self._put(load_detector(self._configured), None)

    def _back(self, before: Detector) -> None:
        self._current, self._place = before, self._place_before
        self._before = self._place_before = None

    def _put(self, new: Detector, place: Path | None) -> Detector:
        with self._lock:
            old = self._current
            knows_all = place in self._been or set(old.classes) <= set(new.classes)
            if new.name != old.name or not knows_all:
                raise ModelError(
                    ModelReason.WRONG_SHAPE,
                    f"{place or self._configured} is {new.name} with the classes {', '.join(new.classes)}; {old.name} with"
                    f" {', '.join(old.classes)} is in use",
                    hint="a newer version has the same name and at least the same classes",
                )
            self._current, self._before, self._frames = new, old, 0
            self._place, self._place_before = place, self._place
            self._been.add(place)
        self._tell(Change(SWAPPED, new.name, new.version, old.version))
        return new

    def worked(self, detector: Detector) -> None:
        """A frame was looked at."""
        if self._before is None or detector is not self._current:
            return
        with self._lock:
            self._frames += 1
            if self._frames >= TRIAL_FRAMES:
                self._before = self._place_before = None

    def failed(self, detector: Detector, why: str) -> bool:
        """It failed on a frame; True: another one is in use now, try that."""
        with self._lock:
            if detector is not self._current:
                return True  # somebody else was faster
            if self._before is None:
                return False
            left = self._place
            self._back(self._before)
            now = self._current
        self._tell(Change(FELL_BACK, now.name, now.version, detector.version, why, left))
        return True


def opened(
    model: str | Path,
    serve: Callable[[str, Callable[[Path | None], object]], Path | None],
    failed: Callable[[str, Path, str], None],
) -> Slot:
    """A configured model, or the newest version of it that the cloud sent; the configured one is what it falls back to.

    `serve` and `failed` are `serve_model` and `model_failed` of a driver's context.

    Raises:
        ConfigError, ModelError, MissingExtraError: the configured model cannot be used.
    """

    def told(change: Change) -> None:
        if change.kind == FELL_BACK and change.left is not None:
            failed(change.model, change.left, change.why)

    detector = load_detector(model)
    slot = Slot(detector, told, model)
    folder = serve(detector.name, slot.follow)
    if folder is not None:
        try:
            slot.offer(folder)
        except TocsinError as exc:
            failed(detector.name, folder, exc.message)
    return slot
