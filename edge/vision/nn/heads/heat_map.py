"""Our own networks: a map of heat for each class, the score of the whole picture from its hottest cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Fitted, Mask
from edge.vision.nn.heads.head import Candidates, LayoutError, shares
from edge.vision.nn.odds import Odds, above, log_odds
from edge.vision.nn.session import Arrays
from edge.vision.nn.settings import HeadTable
from edge.vision.opencv import cv2

Heat = NDArray[np.float32]
_Boxes = NDArray[np.float32]
"""(n, 5): x1 y1 x2 y2 and the heat."""


class HeatMap:
    """`heat` [1, classes, rows, columns] 0..1; `score` [1, classes] and `size` [1, 2 or 2 x classes, rows, columns] where
    model.toml names them: width and height in input px of an object whose centre lies in a cell."""

    suppresses = True

    def __init__(self, classes: int, table: HeadTable) -> None:
        self._classes, self._table = classes, table

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`. Cells of the margin and ignored ones are cold."""
        heat, size = self._heat(outputs, fitted), self._size(outputs)
        odds = log_odds(heat)
        if usual is not None and usual.shape == odds.shape:
            heat = above(heat, odds, usual)
        else:
            usual = None
        rows, columns = heat.shape[1:]
        shown = fitted.shown(rows, columns, self._table.stride, ignore)
        heat = np.where(shown, heat, np.float32(0))
        whole = hottest(heat, self._table.hottest)
        if self._table.score == "graph":
            told = self._score(outputs)
            whole = told if ignore is None and usual is None else np.minimum(told, whole)
        found = [
            components(heat[label], self._table.threshold)
            if size is None
            else centres(heat[label], size[label], self._table.threshold, self._table.stride)
            for label in range(self._classes)
        ]
        table = np.concatenate(found)
        labels = np.repeat(np.arange(self._classes), [len(boxes) for boxes in found])
        scale = self._table.stride if size is None else 1
        return Candidates(table[:, :4] * scale, table[:, 4], labels, whole, odds)

    def _heat(self, outputs: Arrays, fitted: Fitted) -> Heat:
        height, width = fitted.image.shape[:2]
        stride = self._table.stride
        wanted = (1, self._classes, height // stride, width // stride)
        heat = outputs.get("heat")
        if heat is None or heat.shape != wanted:
            raise LayoutError(f"an output heat {list(wanted)}")
        return shares(heat[0])

    def _size(self, outputs: Arrays) -> NDArray[np.float32] | None:
        """(classes, 2, rows, columns)."""
        if self._table.boxes == "components":
            return None
        size, heat = outputs.get("size"), outputs["heat"]
        many = (2, 2 * self._classes)
        if size is None or size.ndim != 4 or len(size) != 1 or size.shape[1] not in many or size.shape[2:] != heat.shape[2:]:  # fmt: skip
            raise LayoutError(
                f"an output size [1, {many[0]} or {many[1]}, {heat.shape[2]}, {heat.shape[3]}]"
            )
        each = np.asarray(size[0], np.float32).reshape(-1, 2, *heat.shape[2:])
        return np.broadcast_to(each, (self._classes, *each.shape[1:]))

    def _score(self, outputs: Arrays) -> NDArray[np.float32]:
        score: NDArray[Any] | None = outputs.get("score")
        if score is None or score.shape != (1, self._classes):
            raise LayoutError(f"an output score [1, {self._classes}]")
        return shares(score[0])


def hottest(heat: Heat, count: int) -> NDArray[np.float32]:
    """(classes,) mean of the `count` hottest cells of each map (classes, rows, columns)."""
    flat = heat.reshape(len(heat), -1)
    count = min(count, flat.shape[1])
    return np.asarray(np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1), np.float32)


def components(heat: Heat, threshold: float) -> _Boxes:
    """x1 y1 x2 y2 in cells and the highest heat of each connected patch of hot cells (8 neighbours)."""
    hot = heat > threshold
    if not hot.any():
        return np.zeros((0, 5), np.float32)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(hot.view(np.uint8), connectivity=8)
    highest = np.zeros(count, np.float32)
    np.maximum.at(highest, numbers[hot].astype(np.intp), heat[hot])
    boxes = np.empty((count - 1, 5), np.float32)
    boxes[:, :4] = stats[1:, : cv2.CC_STAT_AREA]
    boxes[:, 2:4] += boxes[:, :2]
    boxes[:, 4] = highest[1:]
    return boxes


def centres(heat: Heat, size: NDArray[np.float32], threshold: float, stride: int) -> _Boxes:
    """x1 y1 x2 y2 in input px and the heat of each cell that no neighbour exceeds; `size` is (2, rows, columns)."""
    around = cv2.dilate(heat, np.ones((3, 3), np.uint8))
    boxes = []
    for row, column in np.argwhere((heat >= around) & (heat > threshold)):
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        half_w, half_h = (max(float(s), 1.0) / 2 for s in size[:, row, column])
        boxes.append((x - half_w, y - half_h, x + half_w, y + half_h, float(heat[row, column])))
    return np.array(boxes, np.float32).reshape(-1, 5)
