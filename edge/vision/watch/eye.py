"""One camera's frames as observations of one model."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from edge.vision.flame import FLICKERING, Flames
from edge.vision.flame import LABEL as FIRE
from edge.vision.frame import Frame, Picture
from edge.vision.nn.detector import Detector
from edge.vision.nn.packed import Packed
from edge.vision.nn.sight import SPECTRA, Memory, Sight
from edge.vision.nn.slot import Slot
from edge.vision.nn.usual import Usual
from edge.vision.observation import Observation, Quality
from edge.vision.watch.answer import Answer
from edge.vision.watch.home import Home
from edge.vision.watch.place import Known, Place
from edge.vision.watch.veil import Masks, Veil, no_masks

HELD_NS = 600_000_000_000
"""So long an alarm keeps its frames out of what was seen before: smoke that stands must not become part of it and seem to end. Beyond that the
light is another, and what a false alarm was about may be seen as it is."""


MOST_ANSWERS = 64


class Eye:
    """Belongs to one camera and one thread at a time."""

    def __init__(
        self,
        model: Detector | Slot,
        *,
        all_tiles: bool = False,
        apart_s: float = 0.0,
        flames: Flames | None = None,
        masks: Masks = no_masks,
    ) -> None:
        """`apart_s`: frames of the reference are at least so far apart. `flames`: flames are also told by their flicker, where the model knows the class fire and frames come often enough."""
        self._sight = Sight(model, all_tiles=all_tiles, apart_s=apart_s)
        knows_fire = FIRE in self._sight.detector.classes
        self._flames = flames if flames is not None and knows_fire else None
        self._veil = Veil(masks)
        self._alarm_ns: int | None = None  # since when an alarm is open
        self._place, self._home = Place(), Home()
        # what was known before it moved, until it is back or has stayed elsewhere
        self._aside: tuple[Memory, Known] | None = None
        self._answers: deque[Answer] = deque(maxlen=MOST_ANSWERS)

    def glance(self, frame: Frame) -> None:
        """A frame between two looks."""
        if self._flames is not None:
            self._flames.add(frame)

    @property
    def _model(self) -> str:
        detector = self._sight.detector
        return f"{detector.name} {detector.version}"

    def _placed(self, frame: Frame, *, learn: bool) -> Frame:
        """A camera that was turned while it was not looked at moved, too."""
        good = frame.quality is Quality.GOOD and frame.picture is not None and not frame.moved
        if not good or frame.picture is None:
            return frame
        if self._aside is not None:
            self._comes_back(self._aside, frame.picture, frame)
            return frame
        self._home.stands(frame.picture, frame.spectrum, frame.ts_ns)
        away = self._place.elsewhere(frame.picture, frame.spectrum, frame.ts_ns, learn=learn)
        return replace(frame, moved=True) if away else frame

    def _comes_back(self, aside: tuple[Memory, Known], picture: Picture, frame: Frame) -> None:
        """As a mast after a storm: what was known in its place is known again."""
        back = self._home.back(picture, frame.spectrum, frame.ts_ns)
        if back:
            self._sight.take_back(aside[0])
            self._place.take_back(aside[1])
        if back is not None:
            self._aside = None

    def _moves(self, now_ns: int, *, for_good: bool) -> None:
        may_return = self._home.moved() and not for_good
        if may_return and self._aside is None:
            self._aside = self._sight.put_aside(), self._place.put_aside()
        else:
            self._sight.reset()
            self._place.forget()
        if for_good:
            self._aside, self._home = None, Home()
        # What was seen before is gone: an open alarm keeps nothing out.
        self._alarm_ns = now_ns - HELD_NS

    def _held(self, now_ns: int) -> bool:
        if self._alarm_ns is None:
            self._alarm_ns = now_ns
        return 0 <= now_ns - self._alarm_ns < HELD_NS

    def kept(self) -> dict[str, Packed]:
        """What is usual at the camera by spectrum, to be kept over a restart."""
        aside, known = self._aside, None
        if aside is not None and aside[0].detector is self._sight.detector:
            known = aside[1]
        each = {s: self._lasting(s).packed(self._model) for s in SPECTRA}
        return {
            spectrum: msgspec.structs.replace(packed, outline=self._place.packed(spectrum, known))
            for spectrum, packed in each.items()
            if packed is not None
        }

    def _lasting(self, spectrum: str) -> Usual:
        """What was known before the camera moved, as long as it may come back."""
        aside = self._aside
        if aside is not None and aside[0].detector is self._sight.detector:
            return aside[0].usual[spectrum]
        return self._sight.usual_in(spectrum)

    def goes_on(self, kept: Mapping[str, Packed]) -> set[str]:
        """With what is usual there, if the same version of the model found it so; else which other did."""
        others = set[str]()
        for spectrum in SPECTRA:
            packed = kept.get(spectrum)
            if packed is not None and packed.model != self._model:
                others.add(packed.model)
            elif packed is not None and self._sight.usual_in(spectrum).unpack(packed):
                self._place.unpack(spectrum, packed.outline)
        return others

    def answered(self, answer: Answer) -> None:
        """From any thread; it is learned at the next look and counts from the one after."""
        self._answers.append(answer)

    def unlearned(self) -> tuple[Answer, ...]:
        """Answers that wait for the next look; from any thread."""
        return tuple(self._answers)

    def look(self, frame: Frame, *, learn: bool = True) -> Observation:
        """What the model found in it; in a frame that cannot be judged, nothing. `learn`: nothing burns there as far as is known.

        Raises:
            ModelError: the graph failed.
        """
        moves = frame.moved
        frame = self._placed(frame, learn=learn)
        if frame.moved:
            self._moves(frame.ts_ns, for_good=not moves)
        if frame.quality is not Quality.GOOD or frame.picture is None:
            return unseen(frame)
        settled = self._sight.usual_in(frame.spectrum).known
        if learn:
            self._alarm_ns = None
        keep = learn or not self._held(frame.ts_ns)
        ignore = self._veil.over(*frame.size)
        found = self._sight.see(
            frame.picture, frame.ts_ns, ignore, learn=learn, keep=keep, spectrum=frame.spectrum
        )
        while self._answers:  # after its first frame of an alarm, which may be as old as that
            told = self._answers[0]
            memory = None if self._aside is None else self._aside[0]
            self._sight.answered(told.label, told.box, told.ts_ns, fire=told.fire, also=memory)
            self._answers.popleft()  # not before: what is written down meanwhile has it once at least
        scores, boxes, cues = found.scores, found.boxes, dict[str, float]()
        if self._flames is not None:
            flames = self._flames.look(frame)
            flickering = tuple(b for b in flames.boxes if b.score >= FLICKERING)
            cues = flames.cues
            boxes = (*boxes, *flickering)
            best = max((b.score for b in flickering), default=0.0)
            scores = {**scores, FIRE: max(scores[FIRE], best)}
        width, height = frame.size
        model = self._sight.detector
        return Observation(
            frame.camera,
            frame.index,
            frame.ts_ns,
            width,
            height,
            scores,
            boxes,
            model.name,
            model.version,
            frame.spectrum,
            moved=frame.moved,
            settled=settled or found.odds is None,
            cues=cues,
        )


def unseen(frame: Frame) -> Observation:
    """A frame of which only is known what it is."""
    width, height = frame.size
    return Observation(
        frame.camera, frame.index, frame.ts_ns, width, height, {}, spectrum=frame.spectrum,
        quality=frame.quality, moved=frame.moved,
    )  # fmt: skip
