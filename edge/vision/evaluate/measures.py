"""Measures of scores against the truth. Plain numpy; NaN where a measure has nothing to stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auc(scores: Floats, positive: Bools) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs in which the positive scores higher, equal ones half.

    Mann-Whitney U / (positives x negatives); what scikit-learn's `roc_auc_score` gives.
    """
    good, bad = int(positive.sum()), int((~positive).sum())
    if not good or not bad:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - good * (good + 1) / 2) / (good * bad))


def average_precision(scores: Floats, positive: Bools) -> float:
    """Sum over all thresholds of precision x gain in recall, not interpolated; scikit-learn's `average_precision_score`."""
    good = int(positive.sum())
    if not good:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], len(scores) - 1)  # equal scores at once
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / good
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def share(raised: Bools) -> float:
    """Of all that is given."""
    return float(raised.mean()) if raised.size else float("nan")


def interval(
    groups: Sequence[str],
    measure: Callable[[NDArray[np.intp]], float],
    *,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 1,
) -> tuple[float, float] | None:
    """Bootstrap interval of `measure(indices)`, where whole groups (cameras) are drawn with replacement, as many as there are.

    Frames of one camera are alike: drawing frames would make the interval far too narrow. None with fewer than two groups,
    or when fewer than half of the draws have anything to measure.
    """
    names = np.asarray(groups)
    members = [np.nonzero(names == name)[0] for name in dict.fromkeys(groups)]
    if len(members) < 2:
        return None
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        drawn = rng.integers(0, len(members), len(members))
        value = measure(np.concatenate([members[i] for i in drawn]))
        if not np.isnan(value):
            found.append(value)
    if len(found) < rounds / 2:
        return None
    edge = (1 - level) / 2
    low, high = np.quantile(found, [edge, 1 - edge])
    return float(low), float(high)
