"""What is usual by recorded frames, where some of them may burn although nobody labelled it."""

from __future__ import annotations

import numpy as np

from edge.vision.evaluate.recorded import Recorded
from edge.vision.nn.odds import limit_of
from edge.vision.nn.usual import LEAST_FRAMES
from tests.edge.vision.test_usual import heat, left


def recorded(hot: list[dict[tuple[int, int], float]], unsure: bool) -> Recorded:
    out = Recorded()
    region = np.zeros((12, 16), np.bool_)
    region[3:8, 2:9] = True
    for i, places in enumerate(hot):
        assert out.add(heat(places, i), region if unsure and i == 0 else None) == i
    return out


def test_recorded_frames_that_teach_are_too_few_or_of_one_size() -> None:
    few = Recorded()
    for i in range(LEAST_FRAMES):
        assert few.limit() is None
        assert few.add(heat({(1, 1): 0.7}, i)) == i
    assert few.add(heat({})[:, :6]) is None
    limit = few.limit()
    assert limit is not None
    assert limit[0, 1, 2] > 0.5  # and beside it
    assert few.limit(without=0) is None
    number = few.add(heat({(9, 9): 0.9}, 77))
    seen, left_out = few.limit(), few.limit(without=number)
    assert seen is not None
    assert left_out is not None
    assert seen[0, 9, 9] > 0 > left_out[0, 9, 9]


def test_smoke_that_nobody_labelled_is_not_usual_where_a_mast_is() -> None:
    mast, smoke = (4, 4), (6, 6)
    hot = [{mast: 0.8} | ({smoke: 0.9} if i % 5 < 2 else {}) for i in range(40)]
    sure, unsure = recorded(hot, False).limit(), recorded(hot, True).limit()
    assert sure is not None
    assert unsure is not None
    assert left({smoke: 0.9}, 99, sure)[smoke] < 0.3
    assert left({smoke: 0.9}, 99, unsure)[smoke] > 0.7
    for limit in (sure, unsure):
        assert left({mast: 0.8}, 98, limit)[mast] < 0.3
    outside = np.ones((12, 16), np.bool_)
    outside[2:9, 1:10] = False
    assert (sure[0][outside] == unsure[0][outside]).all()


def test_a_frame_left_out_is_as_if_it_had_not_been_there() -> None:
    hot = [{(6, 6): 0.9} if i % 3 == 0 else {(4, 4): 0.7} for i in range(20)]
    limit, fewer = recorded(hot, True).limit(without=19), recorded(hot[:19], True).limit()
    assert limit is not None
    assert fewer is not None
    assert np.abs(limit - fewer).max() < 0.01


def test_without_ignored_regions_it_is_three_spreads_over_the_mean() -> None:
    frames = [heat({(4, 4): 0.6}, i).astype(np.float16).astype(np.float32) for i in range(30)]
    limit = recorded([{(4, 4): 0.6}] * 30, False).limit()
    assert limit is not None
    stack = np.stack(frames)
    wanted = limit_of(stack.mean(axis=0), (stack * stack).mean(axis=0))
    assert np.abs(limit - wanted).max() < 0.01
