"""In what a YOLO export tells its boxes: px of its input, or shares of it. What plainly is otherwise than model.toml says is refused, never guessed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Fitted
from edge.vision.nn.heads.head import ValuesError
from edge.vision.nn.settings import HeadTable

_NEAR = 2.0  # centres of shares are at most a little over 1; of px only in the corner of an input
_SHARE = 1.02  # hardly a share is more, and hardly anything is found in the first px of an input
_APART = 3  # boxes there of which none overlaps another: of px they were half a px large
_MANY = 20  # boxes, whatever their scores: rows of a grid lie all over the input

_Box = NDArray[np.float32]


class Unit:
    """Of one model; `tried`: what it looks at are pictures of cameras, where a pixel in the corner may be burnt in."""

    tried = False

    def __init__(self, table: HeadTable) -> None:
        self._shares, self._sure = table.unit == "shares", table.threshold
        self._mend = f'[head] unit = "{"px" if self._shares else "shares"}", if that is what it tells its boxes in'
        self._seen_px = False
        self._apart: tuple[_Box, ...] = ()
        if table.kind == "yolox":
            self._mend += "; or the other value of decoded"

    def px(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], fitted: Fitted
    ) -> NDArray[np.float32]:
        """(n, 4) x1 y1 x2 y2 in px of the input; `scores` is the highest of each.

        Raises:
            ValuesError: they are told in the other unit.
        """
        with np.errstate(invalid="ignore"):  # what has no end is told elsewhere
            centres = boxes[:, :2] / 2 + boxes[:, 2:] / 2
        near = np.asarray((centres <= _NEAR).all(axis=1), np.bool_)
        if not self._shares:
            if not near.all():
                beyond = np.isfinite(centres).all(axis=1) & ~near
                self._seen_px = self._seen_px or bool((_real(boxes) & beyond).any())
            elif not self._seen_px and self._as_shares(boxes[self._telling(boxes, scores)]):
                raise ValuesError(
                    f"boxes that all lie within {_NEAR:g} px of its input's corner, as shares of the input (0 to 1) do",
                    hint=self._mend,
                )
            return boxes
        told = near[self._telling(boxes, scores)]
        if told.size and told.mean() < 0.5:
            raise ValuesError(
                "boxes beyond its input, and shares of the input go from 0 to 1", hint=self._mend
            )
        height, width = fitted.image.shape[:2]
        return boxes * np.array([width, height] * 2, np.float32)

    def _as_shares(self, told: NDArray[np.float32]) -> bool:
        """Whether boxes that lie near the corner must be shares: of px a single thing may lie there, all of whose boxes overlap.

        What was found one by one in earlier frames counts too; once it is known, each frame is refused until a box in px comes.
        """
        told = told[(told[:, 2:] <= _NEAR).all(axis=1)]
        if not self.tried or len(told) >= _MANY:
            return len(told) > 0
        for box in told:
            if (np.abs(box) <= _SHARE).all() and len(self._apart) < _APART:
                self._apart = _with(self._apart, box)
        if len(self._apart) >= _APART:
            return True
        return len(told) > 1 and bool((told[:, :2].max(axis=0) >= told[:, 2:].min(axis=0)).any())

    def _telling(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Which boxes say something about the unit: those that are sure, and many together; a place that was not filled has none."""
        real = _real(boxes)
        if np.count_nonzero(real) >= _MANY:
            return np.asarray(real, np.bool_)
        return np.asarray(real & (scores >= self._sure), np.bool_)


def _with(apart: tuple[_Box, ...], box: _Box) -> tuple[_Box, ...]:
    """Boxes of which none overlaps another, and this one; instead of a larger one that it overlaps."""
    over = [one for one in apart if (np.maximum(one, box)[:2] < np.minimum(one, box)[2:]).all()]
    if len(over) > 1 or (over and _area(over[0]) <= _area(box)):
        return apart
    return (*(one for one in apart if one is not (over[0] if over else None)), box)


def _area(box: _Box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _real(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1), np.bool_)
