"""Whether a camera that was off looks at the same place as before, also in other light, weather and smoke."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vision.frame import Picture
from edge.vision.watch.place import Place, likeness, outline, same_place
from tocsin.lab.forest.sky import Sky

MINUTE_NS = 60_000_000_000


def learned(pictures: Iterator[Picture], spectrum: str = "visible") -> bytes:
    place = Place()
    for i, picture in enumerate(pictures):
        assert not place.elsewhere(picture, spectrum, i * MINUTE_NS, learn=True)
    return place.packed(spectrum)


def answers(packed: bytes, pictures: Iterator[Picture], spectrum: str = "visible") -> list[bool]:
    place = Place()
    place.unpack("visible", packed)
    return [
        place.elsewhere(picture, spectrum, i * MINUTE_NS, learn=True)
        for i, picture in enumerate(pictures)
    ]


def day(seed: int, hours: tuple[float, float], frames: int = 30) -> Iterator[Picture]:
    return (Sky(seed).frame(h) for h in np.linspace(*hours, frames))


def veiled(pictures: Iterator[Picture], share: float) -> Iterator[Picture]:
    """With smoke over so much of the picture's width, thick to its foot."""
    for picture in pictures:
        out = picture.astype(np.float32)
        edge = int(share * picture.shape[1])
        soft = np.clip((edge - np.arange(picture.shape[1])) / 20, 0, 1)[None, :, None]
        yield np.asarray(out + (185 - out) * soft * 0.95, np.uint8)


def test_another_hill_is_told_once_and_the_same_one_in_other_light_or_smoke_is_not() -> None:
    morning = learned(day(1, (8.0, 11.0)))
    assert answers(morning, day(2, (8.0, 11.0), 12)) == [False] * 4 + [True] + [False] * 7
    assert not any(answers(morning, day(1, (13.0, 19.0))))
    for share in (0.3, 0.6, 0.8, 1.1):
        assert not any(answers(morning, veiled(day(1, (12.0, 13.0)), share)))
    assert not any(answers(morning, day(2, (8.0, 11.0)), "infrared"))  # of which nothing is known
    assert not any(answers(b"", day(2, (8.0, 11.0))))
    assert not any(answers(b"cut short", day(2, (8.0, 11.0))))
    fog = (np.full((240, 320, 3), 170, np.uint8) for _ in range(90))
    assert not any(answers(morning, fog))


def test_a_camera_that_passed_the_comparison_is_not_asked_again() -> None:
    place = Place()
    place.unpack("visible", learned(day(1, (8.0, 11.0))))
    pictures = [*day(1, (12.0, 13.0), 6), *day(2, (12.0, 13.0), 20)]
    assert not any(place.elsewhere(p, "visible", i * MINUTE_NS, learn=True) for i, p in enumerate(pictures))  # fmt: skip


def test_real_cameras_are_told_from_one_another_and_known_again_on_other_frames(
    shared_data: Path,
) -> None:
    """Forest cameras of the training set, burning frames too."""
    groups = defaultdict(list)
    file = json.loads((shared_data / "fire-smoke" / "train.json").read_text("utf-8"))
    for image in file["images"]:
        if image["source"] == "hpwren":
            groups[image["group"]].append(image["file_name"])

    def frames(names: list[str]) -> Iterator[Picture]:
        for name in names:
            picture = cv2.imread(str(shared_data / "fire-smoke" / "images" / name))
            assert picture is not None
            yield np.asarray(picture, np.uint8)

    kept = {g: learned(frames(sorted(names)[::16])) for g, names in groups.items()}
    assert len(kept) >= 10
    for group, names in groups.items():
        assert not any(answers(kept[group], frames(sorted(names)[8::16]))), group
    others, told = list(kept), 0
    for group, other in zip(others, others[1:] + others[:1], strict=True):
        told += any(answers(kept[group], frames(sorted(groups[other])[:5])))
    assert told >= 0.8 * len(kept), told


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.floats(0.2, 1.5), st.integers(-40, 60))
def test_exposure_changes_no_likeness_to_speak_of(seed: int, gain: float, offset: int) -> None:
    picture = cv2.GaussianBlur(Sky(seed).frame(12.0), (0, 0), 1.5).astype(np.float32) * 0.5 + 50
    lit = np.asarray(np.clip(picture * gain + offset, 0, 255), np.uint8)
    found = likeness(outline(np.asarray(picture, np.uint8)), outline(lit))
    assert same_place(found) is not False


@pytest.mark.parametrize("likenesses", [[], [0.1], [0.1] * 4])
def test_a_picture_with_too_few_edges_says_nothing(likenesses: list[float]) -> None:
    assert same_place(likenesses) is None
