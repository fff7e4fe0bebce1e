"""The looks at all cameras of a driver."""

from __future__ import annotations

from edge.vision.eyes import Eyes
from edge.vision.watch.answer import Answer


def test_of_answers_about_a_camera_whose_model_is_not_there_yet_the_newest_are_kept() -> None:
    eyes = Eyes({}, {"cam-1": 1.0}, lambda *_: 0.5, lambda _: False, {})
    given = [Answer("smoke", (0.1, 0.1, 0.2, 0.2), i, fire=False) for i in range(1000)]
    for answer in given:
        eyes.answered("cam-1", answer)
    assert eyes.unlearned("cam-1") == tuple(given[-64:])
