"""RT-DETR in the three forms in which it is exported; none needs thinning out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Fitted, Mask
from edge.vision.nn.heads.head import (
    FLOOR,
    Candidates,
    LayoutError,
    by_class,
    from_centres,
    only,
    shares,
    sigmoid,
)
from edge.vision.nn.odds import Odds
from edge.vision.nn.session import Arrays


class RtDetr:
    """`labels`, `boxes`, `scores` (its authors: px of the size given as `orig_target_sizes`); `logits`, `pred_boxes`
    (transformers: shares of the input); or one output [1, n, 4 + classes] (Ultralytics: shares of the input, scores)."""

    suppresses = False

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._wanted = (
            f"labels [1, n], boxes [1, n, 4] and scores [1, n]; or logits [1, n, {classes}] and pred_boxes [1, n, 4];"
            f" or one output [1, n, 4 + classes = {4 + classes}]"
        )

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """See `Head`."""
        height, width = fitted.image.shape[:2]
        side = np.array([width, height] * 2, np.float32)
        if {"labels", "boxes", "scores"} <= outputs.keys():
            return self._final(outputs)
        if {"logits", "pred_boxes"} <= outputs.keys():
            boxes = self._batch(outputs["pred_boxes"], 4)
            scores = sigmoid(self._batch(outputs["logits"], self._classes))
            if len(scores) != len(boxes):
                raise LayoutError(self._wanted)
            return by_class(from_centres(boxes) * side, scores)
        rows = only(outputs, self._wanted)
        if rows.shape[1] != 4 + self._classes:
            raise LayoutError(self._wanted)
        return by_class(from_centres(rows[:, :4]) * side, shares(rows[:, 4:]))

    def _final(self, outputs: Arrays) -> Candidates:
        labels, scores = outputs["labels"], outputs["scores"]
        boxes = self._batch(outputs["boxes"], 4)
        if labels.shape != (1, len(boxes)) or scores.shape != labels.shape:
            raise LayoutError(self._wanted)
        number = labels[0].astype(np.intp)
        known = shares(scores[0])
        kept = (number >= 0) & (number < self._classes) & (known > FLOOR)
        return Candidates(boxes[kept], known[kept], number[kept])

    def _batch(self, array: NDArray[Any], columns: int) -> NDArray[np.float32]:
        if array.ndim != 3 or array.shape[0] != 1 or array.shape[2] != columns:
            raise LayoutError(self._wanted)
        return np.asarray(array[0], np.float32)
