"""What looks at each camera's frames: a model or the hot-spot detector, a gate for slow smoke, and flicker where the rate allows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from edge.vision.flame import Flames
from edge.vision.frame import Frame
from edge.vision.judge.settings import Mask
from edge.vision.nn.packed import Packed
from edge.vision.nn.slot import Looking, Slot
from edge.vision.observation import Observation
from edge.vision.packed_heat import PackedHeat
from edge.vision.pipeline.pace import Attention
from edge.vision.pipeline.worker import Looked
from edge.vision.slow_smoke import SlowSmoke
from edge.vision.thermal import HeatLimits, HotSpots
from edge.vision.watch.answer import Answer
from edge.vision.watch.eye import MOST_ANSWERS, Eye

_NEAR = 0.5  # of its threshold: a score worth following


class Eyes:
    """A `Look` for all cameras of a driver.

    `heat` are the radiometric cameras; any other is looked at once it was equipped with a model. `apart_s` is the period of a camera
    at rest: a reference of frames closer together would hold what has just begun. `limit` says how high a class
    must score at a camera now, in this spectrum; `is_open` whether something is being followed there.
    """

    def __init__(
        self,
        heat: Mapping[str, HeatLimits],
        apart_s: Mapping[str, float],
        limit: Callable[[str, str, str], float],
        is_open: Callable[[str], bool],
        usual: Mapping[str, Mapping[str, Packed]] = MappingProxyType({}),
        masks: Callable[[str], tuple[Mask, ...]] = lambda _camera: (),
        warm: Mapping[str, PackedHeat] = MappingProxyType({}),
    ) -> None:
        self._limit, self._is_open = limit, is_open
        self._slots: dict[str, Slot] = {}
        self._apart_s, self._masks = apart_s, masks
        self._lock = threading.Lock()
        self._eyes: dict[str, Eye] = {}
        self._gates: dict[str, SlowSmoke] = {}
        # of cameras that are not equipped yet
        self._usual = {camera: kept for camera, kept in usual.items() if camera not in heat}
        self._answers: dict[str, deque[Answer]] = {}
        self._heat = {camera: HotSpots(limits) for camera, limits in heat.items()}
        for camera, packed in warm.items():
            if camera in self._heat:
                self._heat[camera].goes_on(packed)

    def __call__(self, frame: Frame) -> Looked:
        """Of one frame.

        Raises:
            ModelError: the graph failed, and there was no version before it.
        """
        camera = frame.camera
        if frame.picture is None:
            spots = self._heat.get(camera)
            if spots is None:
                return Looked()
            seen = spots.look(frame, learn=not self._is_open(camera))
            return Looked((seen,), self._attention(seen))
        eye = self._eyes.get(camera)
        if eye is None:
            return Looked()
        seen = eye.look(frame, learn=not self._is_open(camera))
        attention = self._attention(seen)
        gate = self._gates[camera].look(frame)
        if attention is Attention.IDLE and gate.boxes:
            attention = Attention.GATED
        return Looked((seen,), attention)

    def looking(self, camera: str) -> Looking | None:
        """The model of a camera and its version; None where temperatures alone are judged."""
        slot = self._slots.get(camera)
        return None if slot is None else slot.looking

    def looks_at(self, camera: str) -> bool:
        """Whether it was equipped."""
        return camera in self._eyes

    def equip(self, camera: str, slot: Slot) -> None:
        """A camera's model, before its first frame; it goes on with what was known of it. From any thread."""
        masks = partial(self._masks, camera)
        eye = Eye(slot, apart_s=self._apart_s[camera], flames=Flames(), masks=masks)
        eye.goes_on(self._usual.get(camera, {}))
        with self._lock:
            for answer in self._answers.pop(camera, ()):
                eye.answered(answer)
            self._gates[camera] = SlowSmoke()
            self._eyes[camera], self._slots[camera] = eye, slot
            self._usual.pop(camera, None)

    def answered(self, camera: str, answer: Answer) -> None:
        """An operator's word about an alarm, from any thread."""
        with self._lock:
            eye = self._eyes.get(camera)
            if eye is not None:
                eye.answered(answer)
            elif camera not in self._heat:
                waiting = self._answers.setdefault(camera, deque(maxlen=MOST_ANSWERS))
                waiting.append(answer)  # the oldest goes, as at an eye

    def unlearned(self, camera: str) -> tuple[Answer, ...]:
        """Answers that no look has taken yet, to be kept over a restart."""
        with self._lock:
            eye = self._eyes.get(camera)
            return tuple(self._answers.get(camera, ())) if eye is None else eye.unlearned()

    def usual(self, camera: str) -> dict[str, Packed]:
        """What is usual at a camera by spectrum, to be kept over a restart."""
        with self._lock:
            eye, kept = self._eyes.get(camera), self._usual.get(camera, {})
        return dict(kept) if eye is None else eye.kept()

    def knows_warmth(self, camera: str) -> bool:
        """Whether there is any to be kept."""
        return camera in self._heat and self._heat[camera].knows

    def warmth(self, camera: str) -> PackedHeat | None:
        """How warm each place of a thermal camera usually is, to be kept over a restart."""
        return self._heat[camera].kept() if camera in self._heat else None

    def _attention(self, seen: Observation) -> Attention:
        if self._is_open(seen.camera):
            return Attention.OPEN
        best: dict[str, float] = {}
        for box in seen.boxes:
            best[box.label] = max(best.get(box.label, 0.0), box.score)
        near = any(
            score >= _NEAR * self._limit(seen.camera, label, seen.spectrum)
            for label, score in best.items()
        )
        return Attention.OPEN if near else Attention.IDLE
