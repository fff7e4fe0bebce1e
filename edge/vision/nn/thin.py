"""Boxes that mean one object: of those that overlap, the best stays; of pieces in neighbouring tiles, their union."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Mask
from edge.vision.opencv import cv2

Boxes = NDArray[np.float32]
"""(n, 4) x1 y1 x2 y2."""
_IGNORED = 0.5
_SAME = 0.3


def best(
    boxes: Boxes,
    scores: NDArray[np.float32],
    labels: NDArray[np.intp],
    threshold: float,
    iou: float | None,
) -> NDArray[np.intp]:
    """Which boxes stay, the best first; `iou` None: all above the threshold."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= threshold]
    if iou is None or len(order) < 2:
        return order
    sizes = boxes[order]
    rectangles = np.concatenate([sizes[:, :2], sizes[:, 2:] - sizes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        rectangles.tolist(), scores[order].tolist(), labels[order].tolist(), threshold, iou
    )
    return order[np.sort(np.asarray(kept, np.intp).ravel())]


def joined(
    boxes: Boxes, scores: NDArray[np.float32], labels: NDArray[np.intp]
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.intp]]:
    """Boxes of one class of which one covers much of the other become one, until none do."""
    left = [(b, float(s), int(c)) for b, s, c in zip(boxes, scores, labels, strict=True)]
    done: list[tuple[Boxes, float, int]] = []
    while left:
        box, score, label = left.pop()
        for i, (other, other_score, other_label) in enumerate(left):
            if label == other_label and _covered(box, other) > _SAME:
                union = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])  # fmt: skip
                left[i] = (union, max(score, other_score), label)
                break
        else:
            done.append((box, score, label))
    return (
        np.array([d[0] for d in done], np.float32).reshape(-1, 4),
        np.array([d[1] for d in done], np.float32),
        np.array([d[2] for d in done], np.intp),
    )


def _covered(a: Boxes, b: Boxes) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return float(across * down / max(smaller, 1e-6))


def counted(boxes: Boxes, ignore: Mask | None) -> NDArray[np.bool_]:
    """(n,) False for boxes of the picture that lie by half or more in what is ignored."""
    if ignore is None or not len(boxes):
        return np.ones(len(boxes), np.bool_)
    sums = cv2.integral(ignore.astype(np.uint8))
    height, width = ignore.shape
    x1, y1 = (
        np.clip(np.floor(boxes[:, i]), 0, m).astype(int) for i, m in ((0, width), (1, height))
    )
    x2, y2 = (np.clip(np.ceil(boxes[:, i]), 0, m).astype(int) for i, m in ((2, width), (3, height)))
    inside = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    return np.asarray(inside < _IGNORED * np.maximum((x2 - x1) * (y2 - y1), 1), np.bool_)
