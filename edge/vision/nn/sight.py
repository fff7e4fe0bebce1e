"""One camera as a model sees it: its reference, whose turn its tiles are, and which version of the model looks."""

from __future__ import annotations

from edge.vision.frame import Picture
from edge.vision.nn import tiles
from edge.vision.nn.detector import Detector, Found
from edge.vision.nn.fit import Mask
from edge.vision.nn.slot import Slot
from edge.vision.nn.usual import Odds, Usual
from edge.vision.reference import Reference
from tocsin.errors import ModelError


class Sight:
    """Belongs to one camera and one thread at a time."""

    def __init__(
        self, model: Detector | Slot, *, all_tiles: bool = False, apart_s: float = 0.0
    ) -> None:
        """`all_tiles`: every tile of every frame, for pictures that nobody waits for. `apart_s`: frames of the reference are at least so far
        apart; for live cameras the period of their idle rate, or what is looked at five times a second is soon part of its own reference.
        """
        self._slot = model if isinstance(model, Slot) else Slot(model)
        self._all_tiles, self._apart_s = all_tiles, apart_s
        self._size: tuple[int, int] | None = None
        self.detector = self._slot.current
        self.usual = Usual(apart_s)
        self._begin()

    def _begin(self) -> None:
        table = self.detector.settings.reference
        self._reference = None
        if table is not None:
            self._reference = Reference(table.back, max(table.every_s, self._apart_s))
        self._rotation = self._turns()

    def _take(self, detector: Detector) -> None:
        """Another version looks. What was seen before stays where its input is of the same form."""
        old, new = self.detector.settings, detector.settings
        self.usual.clear()
        self.detector = detector
        if (old.reference, old.input) != (new.reference, new.input):
            self._begin()

    def see(
        self,
        picture: Picture,
        ts_ns: int,
        ignore: Mask | None = None,
        *,
        learn: bool = True,
        keep: bool = True,
        usual: Odds | None = None,
    ) -> Found:
        """The next frame of the camera, which with `keep` then is part of what was seen before; with `learn`, of what is usual there.

        `usual`, where it is given, is that instead of what was learned.

        Raises:
            ModelError: the graph failed, and so did the version before, where there still is one.
        """
        while True:
            if self._slot.current is not self.detector:
                self._take(self._slot.current)
            try:
                found = self._see(picture, ts_ns, ignore, keep, usual)
            except ModelError as exc:
                if not self._slot.failed(self.detector, exc.message):
                    raise
            else:
                self._slot.worked(self.detector)
                if not learn:
                    self.usual.drop()
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
        seen = picture if table.fit == "tile" else fitted.image
        before = None if self._reference is None else self._reference.picture(seen)
        chosen = self._rotation.choose() if self._rotation is not None else None
        limit = self.usual.limit() if usual is None else usual
        found = detector.detect_fitted(
            picture, fitted, before, ignore=ignore, only_tiles=chosen, usual=limit
        )
        if self._rotation is not None:
            self._rotation.saw(found.heat)
        if self._reference is not None and keep:
            self._reference.add(seen, ts_ns)
        return found

    def reset(self) -> None:
        """The camera moved: nothing it saw before is of use."""
        if self._reference is not None:
            self._reference.clear()
        self.usual.clear()
        self._rotation = self._turns()

    def _turns(self) -> tiles.Rotation | None:
        table = self.detector.settings.input
        if table.fit != "tile" or self._all_tiles or self._size is None:
            return None
        return tiles.Rotation(len(tiles.places(*self._size, table)), table.tiles_per_frame)
