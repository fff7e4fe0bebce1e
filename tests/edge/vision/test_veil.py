"""A mask hides what lies in it and not what burns beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.vision.frame import Frame
from edge.vision.judge.boxes import masked
from edge.vision.judge.settings import Mask
from edge.vision.nn.load import load_detector
from edge.vision.watch.eye import Eye
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model

LEFT = Mask(((0, 0), (0.5, 0), (0.5, 1), (0, 1)))


def test_a_fire_beside_a_mask_keeps_its_box_and_masks_drawn_later_count_at_once(
    tmp_path: Path,
) -> None:
    picture = np.full((128, 160, 3), 90, np.uint8)
    picture[40:80, 24:112] = (20, 20, 230)
    now = list[Mask]()
    detector = load_detector(write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS))
    eye = Eye(detector, masks=lambda: tuple(now))

    def box_at(second: int) -> tuple[float, bool]:
        seen = eye.look(Frame("cam-1", second, second * 10**9, picture), learn=False)
        (box,) = [b for b in seen.boxes if b.label == "fire"]
        return box.x, masked(box, (LEFT,), 160, 128)

    x, hidden = box_at(0)
    assert x < 40
    assert hidden
    now.append(LEFT)
    x, hidden = box_at(1)
    assert x >= 72
    assert not hidden
    now.clear()
    assert box_at(2)[0] < 40
