"""What is usual at a camera by its recorded quiet frames, where parts of these may burn although nobody labelled it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.odds import Odds, beside, spread_over
from edge.vision.nn.usual import LEAST_FRAMES

Region = NDArray[np.bool_]
"""(rows, columns) of a heat map."""


class Recorded:
    """Quiet frames of one camera, each added once; they are numbered from 0.

    In regions that were ignored in any of them (smoke that nobody labelled may be there) a place's usual heat is that of its cooler half
    of frames: what is always hot is learned, what burns in fewer than half of them is not.
    """

    def __init__(self) -> None:
        self._odds: list[NDArray[np.float16]] = []
        self._sum = self._squares = np.zeros(0, np.float32)
        self._unsure: Region = np.zeros(0, np.bool_)
        self._cut: NDArray[np.float32] | None = None
        self._whole: Odds | None = None

    def add(self, odds: Odds, unsure: Region | None = None) -> int | None:
        """Its number; None: it has another size than those before. `unsure`: where it was ignored."""
        odds = odds.astype(np.float16).astype(np.float32)
        if not self._odds:
            self._sum = self._squares = np.zeros_like(odds)
            self._unsure = np.zeros(odds.shape[1:], np.bool_)
        if odds.shape != self._sum.shape:
            return None
        self._odds.append(odds.astype(np.float16))
        self._sum, self._squares = self._sum + odds, self._squares + odds * odds
        if unsure is not None:
            self._unsure = self._unsure | unsure
        self._cut = self._whole = None
        return len(self._odds) - 1

    def limit(self, without: int | None = None) -> Odds | None:
        """Of all, or of all but one of them; None: too few."""
        count = len(self._odds) - (without is not None)
        if count < LEAST_FRAMES:
            return None
        if without is None:
            if self._whole is None:
                self._whole = self._high(self._sum, self._squares, self._unsure_odds())
            return self._whole
        one = self._odds[without].astype(np.float32)
        others = np.delete(self._unsure_odds(), without, axis=0)
        return self._high(self._sum - one, self._squares - one * one, others)

    def _unsure_odds(self) -> NDArray[np.float32]:
        """(frames, classes, places)."""
        if self._cut is None:
            self._cut = np.stack([o[:, self._unsure] for o in self._odds]).astype(np.float32)
        return self._cut

    def _high(self, total: Odds, squares: Odds, unsure: NDArray[np.float32]) -> Odds:
        share = np.float32(1 / len(unsure))
        high = spread_over(total * share, squares * share)
        if unsure.shape[2]:
            half = -(-len(unsure) // 2)
            cooler = np.partition(unsure, half - 1, axis=0)[:half]
            high[:, self._unsure] = spread_over(cooler.mean(axis=0), (cooler * cooler).mean(axis=0))
        return beside(high)
