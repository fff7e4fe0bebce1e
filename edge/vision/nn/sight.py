"""One camera as a model sees it: its reference, whose turn its tiles are, and which version of the model looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.vision.frame import Picture
from edge.vision.nn import tiles
from edge.vision.nn.detector import Detector, Found
from edge.vision.nn.fit import Fitted, Mask, Shares
from edge.vision.nn.odds import Odds
from edge.vision.nn.slot import Slot
from edge.vision.nn.usual import Usual
from edge.vision.reference import Reference
from tocsin.errors import ModelError

_NOTHING = np.zeros((0, 0, 3), np.uint8)
SPECTRA = ("visible", "infrared")
_EARLY = 0.9  # of a period: live frames come a little early or late


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What was seen before, put aside while the camera looks elsewhere."""

    detector: Detector
    size: tuple[int, int] | None
    usual: dict[str, Usual]
    references: dict[str, Reference]


class Sight:
    """Belongs to one camera and one thread at a time."""

    def __init__(
        self, model: Detector | Slot, *, all_tiles: bool = False, apart_s: float = 0.0
    ) -> None:
        """`all_tiles`: every tile of every frame, for pictures that nobody waits for. `apart_s`: frames of the reference are about so far
        apart at least; for live cameras the period of their idle rate, or what is looked at five times a second is soon part of its own reference.
        """
        self._slot = model if isinstance(model, Slot) else Slot(model)
        self._all_tiles, self._apart_s = all_tiles, _EARLY * apart_s
        self._size: tuple[int, int] | None = None
        self.detector = self._slot.current
        self._spectrum = "visible"
        self._usual = self._unknown()
        self._references: dict[str, Reference] = {}
        self._fitted: Fitted | None = (
            None  # how a picture lies in the input; its pixels are not kept
        )
        self._rotation = self._turns()

    def _unknown(self) -> dict[str, Usual]:
        return {spectrum: Usual(self._apart_s) for spectrum in SPECTRA}

    @property
    def usual(self) -> Usual:
        """In the light of the newest frame."""
        return self.usual_in(self._spectrum)

    def usual_in(self, spectrum: str) -> Usual:
        """By day in colours, or in the grey night mode: what is usual in one says nothing about the other."""
        return self._usual[spectrum]

    @property
    def _reference(self) -> Reference | None:
        table = self.detector.settings.reference
        if table is None:
            return None
        new = Reference(table.back, max(table.every_s, self._apart_s))
        return self._references.setdefault(self._spectrum, new)

    def _take(self, detector: Detector) -> None:
        """Another version looks. What was seen before stays where its input is of the same form."""
        old, new = self.detector.settings, detector.settings
        self._usual = self._unknown()
        self.detector = detector
        if (old.reference, old.input) != (new.reference, new.input):
            self._references.clear()
            self._rotation = self._turns()

    def _forget_usual(self) -> None:
        for usual in self._usual.values():
            usual.clear()

    def see(
        self,
        picture: Picture,
        ts_ns: int,
        ignore: Mask | None = None,
        *,
        learn: bool = True,
        keep: bool = True,
        usual: Odds | None = None,
        spectrum: str = "visible",
    ) -> Found:
        """The next frame of the camera, which with `keep` then is part of what was seen before; with `learn`, of what is usual there.

        `usual`, where it is given, is that instead of what was learned. Each `spectrum` has a reference and a usual of its own.

        Raises:
            ModelError: the graph failed, and so did the version before, where there still is one.
        """
        self._spectrum = spectrum
        before, taught, size = self.detector, self._usual, self._size
        while True:
            if self._slot.current is not self.detector:
                self._take(self._slot.current)
            if self.detector is before and self._size == size:
                self._usual = taught  # also where a newer one failed on this frame
            try:
                found = self._see(picture, ts_ns, ignore, keep, usual)
            except ModelError as exc:
                if not self._slot.failed(self.detector, exc.message):
                    raise
            else:
                self._slot.worked(self.detector)
                if not learn:
                    for light, known in self._usual.items():
                        known.burns(found.odds if light == spectrum else None, ts_ns)
                elif found.odds is not None:
                    self.usual.saw(found.odds, ts_ns)
                return found

    def _see(
        self, picture: Picture, ts_ns: int, ignore: Mask | None, keep: bool, usual: Odds | None
    ) -> Found:
        height, width = picture.shape[:2]
        if self._size != (width, height):
            first, self._size = self._size is None, (width, height)
            if not first:
                self.reset()
            self._rotation = self._turns()
        detector, table = self.detector, self.detector.settings.input
        fitted = detector.fit(picture)
        self._fitted = replace(fitted, image=_NOTHING)
        seen = picture if table.fit == "tile" else fitted.image
        reference = self._reference
        before = None if reference is None else reference.picture(seen)
        chosen = self._rotation.choose() if self._rotation is not None else None
        limit = self.usual.limit() if usual is None else usual
        found = detector.detect_fitted(
            picture, fitted, before, ignore=ignore, only_tiles=chosen, usual=limit
        )
        if self._rotation is not None:
            self._rotation.saw(found.heat)
        if reference is not None and keep:
            reference.add(seen, ts_ns)
        return found

    def answered(
        self, label: str, box: Shares, ts_ns: int, *, fire: bool, also: Memory | None = None
    ) -> None:
        """An operator's word about an alarm that was raised in this box at that moment: what a rejected one showed is usual there from now on, `also` in what was put aside."""
        if self._fitted is None or label not in self.detector.classes:
            return
        number = self.detector.classes.index(label)
        cells = self._fitted.cells(box, self.detector.settings.head.stride)
        aside = () if also is None else also.usual.values()
        for usual in (*self._usual.values(), *aside):
            usual.answered(number, cells, ts_ns, fire=fire)

    def reset(self) -> None:
        """The camera moved: nothing it saw before is of use."""
        self._references.clear()
        self._forget_usual()
        self._rotation = self._turns()

    def put_aside(self) -> Memory:
        """The camera moved: nothing it saw before is of use, unless it comes back. What waits to be learned is let go of."""
        memory = Memory(self.detector, self._size, self._usual, self._references)
        for usual in memory.usual.values():
            usual.burns(None, 0)
        self._usual, self._references = self._unknown(), {}
        self._rotation = self._turns()
        return memory

    def take_back(self, memory: Memory) -> None:
        """It is where it was; what it saw meanwhile is let go of. Another version of the model, or another size, takes nothing back."""
        if memory.detector is self.detector and memory.size == self._size:
            self._usual, self._references = memory.usual, memory.references

    def _turns(self) -> tiles.Rotation | None:
        table = self.detector.settings.input
        if table.fit != "tile" or self._all_tiles or self._size is None:
            return None
        return tiles.Rotation(len(tiles.places(*self._size, table)), table.tiles_per_frame)
