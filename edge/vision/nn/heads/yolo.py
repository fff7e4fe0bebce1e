"""YOLOv5, v8/11/12, v10 (end to end) and YOLOX as their own exporters write them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Fitted, Mask
from edge.vision.nn.heads.head import (
    Candidates,
    LayoutError,
    by_class,
    from_centres,
    only,
    shares,
)
from edge.vision.nn.heads.unit import Unit
from edge.vision.nn.odds import Odds
from edge.vision.nn.session import Arrays
from edge.vision.nn.settings import HeadTable

_STRIDES = (8, 16, 32)


class YoloV5:
    """[1, n, 5 + classes]: centre x, centre y, width, height, object, classes; probabilities are multiplied."""

    suppresses = True

    def __init__(self, classes: int, unit: Unit) -> None:
        self._classes, self._unit = classes, unit

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`."""
        rows = _rows(outputs, 5 + self._classes, "5 + classes")
        return _of_objects(rows, self._unit, fitted)


class YoloV8:
    """[1, 4 + classes, n]: centre x, centre y, width, height, classes."""

    suppresses = True

    def __init__(self, classes: int, unit: Unit) -> None:
        self._classes, self._unit = classes, unit

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`."""
        wanted = f"one output [1, 4 + classes = {4 + self._classes}, n]"
        columns = only(outputs, wanted)
        if columns.shape[0] != 4 + self._classes:
            raise LayoutError(wanted)
        rows = columns.T
        return _told(rows, shares(rows[:, 4:]), self._unit, fitted)


class YoloV10:
    """[1, n, 6]: x1, y1, x2, y2, score, number of the class; the graph thinned them out."""

    suppresses = False

    def __init__(self, classes: int, unit: Unit) -> None:
        self._classes, self._unit = classes, unit

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`."""
        rows = _rows(outputs, 6, "6")
        labels = rows[:, 5].astype(np.intp)
        known = (labels >= 0) & (labels < self._classes)
        scores = shares(rows[known, 4])
        return Candidates(self._unit.px(rows[known, :4], scores, fitted), scores, labels[known])


class YoloX:
    """[1, n, 5 + classes] over the cells of strides 8, 16 and 32; offsets in cells and logarithms of sizes unless `decoded`."""

    suppresses = True

    def __init__(self, classes: int, table: HeadTable, unit: Unit) -> None:
        self._classes, self._decoded, self._unit = classes, table.decoded, unit

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`."""
        rows = _rows(outputs, 5 + self._classes, "5 + classes")
        if not self._decoded:
            height, width = fitted.image.shape[:2]
            cells = _cells(width, height)
            if len(cells) != len(rows):
                raise LayoutError(
                    f"one output [1, {len(cells)}, {5 + self._classes}]: a row for each cell of strides 8, 16 and 32"
                )
            centres = (rows[:, :2] + cells[:, :2]) * cells[:, 2:]
            sizes = np.exp(np.clip(rows[:, 2:4], -20, 20)) * cells[:, 2:]
            rows = np.concatenate([centres, sizes, rows[:, 4:]], axis=1)
        return _of_objects(rows, self._unit, fitted)


def _of_objects(rows: NDArray[np.float32], unit: Unit, fitted: Fitted) -> Candidates:
    """(n, 5 + classes): how sure it is of an object, times that of each class."""
    sure = shares(rows[:, 4:])
    return _told(rows, sure[:, :1] * sure[:, 1:], unit, fitted)


def _told(
    rows: NDArray[np.float32], scores: NDArray[np.float32], unit: Unit, fitted: Fitted
) -> Candidates:
    boxes = unit.px(from_centres(rows), scores.max(axis=1, initial=0), fitted)
    return by_class(boxes, scores)


def _rows(outputs: Arrays, columns: int, why: str) -> NDArray[np.float32]:
    shown = f"{why} = {columns}" if why != str(columns) else why
    wanted = f"one output [1, n, {shown}]"
    rows = only(outputs, wanted)
    if rows.shape[1] != columns:
        raise LayoutError(wanted)
    return rows


def _cells(width: int, height: int) -> NDArray[np.float32]:
    """(n, 3): column, row, stride."""
    found = []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        found.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
    return np.concatenate(found).astype(np.float32)
