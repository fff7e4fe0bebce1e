"""What training makes small."""

from __future__ import annotations

import torch
from network import HOTTEST
from torch import Tensor
from torch.nn import functional


def loss(heat: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """`heat` in log-odds, `target` 0..1 and `weight`, all (n, classes, rows, columns).

    Each cell by binary cross-entropy, those well known counting less; and the whole picture by its hottest cells, which is
    what an alarm is raised on.
    """
    heat = heat.float()
    cells = functional.binary_cross_entropy_with_logits(heat, target, reduction="none")
    known = torch.sigmoid(heat.detach())
    error = (known - target).abs()
    cells = (cells * weight * error.clamp(min=0.05)).sum() / (len(heat) * 12)
    present = (target * weight).flatten(2).amax(2).gt(0)
    unsure = (weight == 0) | (
        (weight < 0.5) & ~present[:, :, None, None]
    )  # may hide what nobody marked
    score = torch.sigmoid(heat).masked_fill(unsure, 0).flatten(2).topk(HOTTEST, 2).values.mean(2)
    whole = functional.binary_cross_entropy(
        score.clamp(1e-5, 1 - 1e-5), present.float() * 0.97 + 0.01
    )
    return cells + 0.5 * whole
