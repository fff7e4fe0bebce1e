"""One camera as one model sees it: its reference, and whose turn its tiles are."""

from __future__ import annotations

from edge.vision.frame import Picture
from edge.vision.nn import tiles
from edge.vision.nn.detector import Detector, Found
from edge.vision.nn.fit import Mask
from edge.vision.reference import Reference


class Sight:
    """Belongs to one camera and one thread at a time."""

    def __init__(self, detector: Detector, *, all_tiles: bool = False) -> None:
        """`all_tiles`: every tile of every frame, for pictures that nobody waits for."""
        self.detector = detector
        table = detector.settings.reference
        self._reference = None if table is None else Reference(table.back, table.every_s)
        self._all_tiles = all_tiles
        self._rotation: tiles.Rotation | None = None
        self._size: tuple[int, int] | None = None

    def see(self, picture: Picture, ts_ns: int, ignore: Mask | None = None) -> Found:
        """The next frame of the camera, which then is part of what was seen before.

        Raises:
            ModelError: the graph failed.
        """
        height, width = picture.shape[:2]
        if self._size != (width, height):
            self._size = (width, height)
            self.reset()
        detector, table = self.detector, self.detector.settings.input
        fitted = detector.fit(picture)
        seen = picture if table.fit == "tile" else fitted.image
        before = None if self._reference is None else self._reference.picture()
        chosen = self._rotation.choose() if self._rotation is not None else None
        found = detector.detect_fitted(picture, fitted, before, ignore=ignore, only_tiles=chosen)
        if self._rotation is not None:
            self._rotation.saw(found.heat)
        if self._reference is not None:
            self._reference.add(seen, ts_ns)
        return found

    def pass_over(self, picture: Picture, ts_ns: int) -> None:
        """A frame that is not looked at and still is part of what was seen."""
        if self._reference is not None and self._size == (picture.shape[1], picture.shape[0]):
            tile = self.detector.settings.input.fit == "tile"
            self._reference.add(picture if tile else self.detector.fit(picture).image, ts_ns)

    def reset(self) -> None:
        """The camera moved: nothing it saw before is of use."""
        if self._reference is not None:
            self._reference.clear()
        self._rotation = None
        table = self.detector.settings.input
        if table.fit == "tile" and not self._all_tiles and self._size is not None:
            self._rotation = tiles.Rotation(
                len(tiles.places(*self._size, table)), table.tiles_per_frame
            )
