"""What all heads give: boxes of an input with their classes, before they are thinned out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.fit import Fitted, Mask
from edge.vision.nn.odds import Odds
from edge.vision.nn.session import Arrays

FLOOR = 0.005
"""Candidates below this are not looked at: thousands of empty cells of a grid."""


_ROUNDING = 0.01  # so far beyond 0..1 the steps of an 8-bit graph may reach


class LayoutError(ValueError):
    """The graph's outputs are not those of this head; the text says what was wanted."""


class ValuesError(ValueError):
    """The outputs have the right form and hold what means nothing; the text says what was found, `hint` what to do where that is known."""

    def __init__(self, found: str, *, hint: str = "") -> None:
        super().__init__(found)
        self.hint = hint


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Of one input."""

    boxes: NDArray[np.float32]  # (n, 4): x1 y1 x2 y2, px of the input
    scores: NDArray[np.float32]  # (n,) 0..1
    labels: NDArray[np.intp]  # (n,) number of the class
    whole: NDArray[np.float32] | None = (
        None  # (classes,) of the whole input; None: the best box counts
    )
    odds: NDArray[np.float32] | None = None  # (classes, rows, columns): the heat map as it came


class Head(Protocol):
    """Reads one family of outputs."""

    suppresses: bool
    """Whether several boxes may mean one object."""

    def read(
        self, outputs: Arrays, fitted: Fitted, ignore: Mask | None, usual: Odds | None = None
    ) -> Candidates:
        """Candidates; `ignore` is a mask of the picture that heat maps must not look at, `usual` what they must exceed.

        Raises:
            LayoutError: these are not the outputs of such a head.
            ValuesError: they hold scores that are none.
        """
        ...


def only(outputs: Arrays, wanted: str) -> NDArray[np.float32]:
    """The single output, or the first one, without its batch axis.

    Raises:
        LayoutError: not a batch of one matrix.
    """
    first = next(iter(outputs.values()), None)
    if first is None or first.ndim != 3 or first.shape[0] != 1 or first.dtype.kind != "f":
        raise LayoutError(wanted)
    return np.asarray(first[0], np.float32)


def shares(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Scores or heat, 0..1.

    Raises:
        ValuesError: some are far from it, or no number.
    """
    if scores.size:
        low, high = float(scores.min()), float(scores.max())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN is neither
            raise ValuesError(f"scores from {low:.4g} to {high:.4g}, and they go from 0 to 1")
    return np.asarray(np.clip(scores, 0, 1), np.float32)


def from_centres(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 4) x1 y1 x2 y2 of (n, 4) centre x, centre y, width, height."""
    half = rows[:, 2:4] / 2
    return np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)


def by_class(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Candidates:
    """One candidate for each box and class that is above the floor; `scores` is (n, classes)."""
    where, labels = np.nonzero(scores > FLOOR)
    return Candidates(boxes[where], scores[where, labels], labels)


def sigmoid(x: NDArray[Any]) -> NDArray[np.float32]:
    """Without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)
