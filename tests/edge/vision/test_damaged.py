"""JPEGs of which bytes in the middle were lost or overwritten, their end still there: told by `tocsin vision eval`, `detect` and `watch`, and whole ones never are."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.vision.frame import Picture
from edge.vision.sources.jpeg_scan import _through
from edge.vision.sources.picture_file import decode, decode_file, size_of
from edge.vision.sources.source import Reject
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.scenes import scene
from tocsin.cli.root import dispatch

RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 8)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
BYTES = {"lost": b"", "zero": bytes(3000), "other": random.Random(3).randbytes(3000)}


def jpeg(picture: Picture, *options: int) -> bytes:
    ok, data = cv2.imencode(".jpg", picture, options)
    assert ok
    return data.tobytes()


def damaged(whole: bytes, how: str, size: int = 3000) -> bytes:
    """`size` bytes of its middle are gone or others."""
    middle = len(whole) // 2
    return whole[:middle] + BYTES[how][:size] + whole[middle + size :]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS))


@pytest.mark.parametrize("how", BYTES)
@pytest.mark.parametrize("options", [(), RESTARTS], ids=["plain", "restarts"])
def test_a_jpeg_with_a_damaged_middle_is_skipped_by_eval_and_refused_by_detect(
    tmp_path: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    how: str,
    options: tuple[int, ...],
) -> None:
    whole = jpeg(scene(640, 480), *options)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "hole.jpg").write_bytes(damaged(whole, how))
    assert not isinstance(decode(damaged(whole, how)), Reject), "the decoder takes it"
    images = [
        {"id": i, "file_name": name, "width": 640, "height": 480, "group": "a"}
        for i, name in enumerate(("whole.jpg", "hole.jpg"))
    ]
    box = {"id": 1, "image_id": 0, "category_id": 2, "bbox": [0, 0, 64, 64]}
    coco = tmp_path / "coco.json"
    coco.write_text(json.dumps({"images": images, "annotations": [box], "categories": [{"id": 2, "name": "fire"}]}))  # fmt: skip
    options_of = ["--coco", str(coco), "--images", str(tmp_path), "--model", model, "--json"]
    assert dispatch(["vision", "eval", *options_of]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["skipped"] == [{"file": "hole.jpg", "reason": "damaged"}]
    assert report["scored"] == 1

    for name, code in (("whole.jpg", 0), ("hole.jpg", 9)):
        assert dispatch(["vision", "detect", str(tmp_path / name), "--model", model, "--json"]) == code  # fmt: skip
        told = json.loads(capsys.readouterr().out)
    assert "hole.jpg: damaged" in told["error"]["message"]
    assert "copy the file again" in told["error"]["hint"]


def test_watch_counts_a_damaged_frame_and_goes_on(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lapse = tmp_path / "lapse"
    lapse.mkdir()
    for i in range(6):
        data = jpeg(scene(seed=i))
        (lapse / f"{i}.jpg").write_bytes(damaged(data, "other") if i == 3 else data)
    assert dispatch(["vision", "watch", str(lapse), "--model", model, "--json"]) == 0
    assert "6 frames, 5 judged, 1 damaged" in capsys.readouterr().err


@example(1, 200, 3, PROGRESSIVE + RESTARTS, 95, False)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from([1, 3]),
    st.sampled_from([(), RESTARTS, PROGRESSIVE, PROGRESSIVE + RESTARTS]),
    st.integers(1, 100),
    st.booleans(),
)
def test_no_whole_jpeg_is_damaged_however_it_was_written_and_whatever_of_it_is_grey(
    width: int, height: int, colours: int, how: tuple[int, ...], quality: int, grey: bool
) -> None:
    picture = scene(200, 200)[:height, :width, :colours].copy()
    if grey:
        picture[height // 2 :] = 128
        picture[:, width // 3 :] = 128
    data = jpeg(picture, *how, cv2.IMWRITE_JPEG_QUALITY, quality)
    for file in (data, data + b"what a camera adds \xff\xd8\xff", data.replace(b"\xff\xd9", b"\xff\xff\xd9")):  # fmt: skip
        if not isinstance(decode(file), Reject):
            found = decode_file(file)
            assert not isinstance(found, Reject)
            assert found.shape[:2] == (height, width)


@given(st.integers(0, 10_000), st.binary(max_size=64), st.integers(0, 64), st.sampled_from([(), RESTARTS, PROGRESSIVE]))  # fmt: skip
def test_damage_anywhere_is_told_or_the_picture_has_its_size(
    at: int, other: bytes, gone: int, how: tuple[int, ...]
) -> None:
    whole = jpeg(scene(), *how)
    at %= len(whole)
    data = whole[:at] + other + whole[at + gone :]
    found = decode_file(data)
    if not isinstance(found, Reject):
        told = size_of(data)
        assert told is not None
        assert sorted(found.shape[:2]) == sorted(told)
        if at > whole.index(b"\xff\xda"):  # all that tells a size is before it
            assert found.shape == (180, 320, 3)


@pytest.mark.parametrize("options", [(), RESTARTS, PROGRESSIVE], ids=["plain", "restarts", "progressive"])  # fmt: skip
def test_a_million_fill_bytes_are_read_in_one_go(options: tuple[int, ...]) -> None:
    """Tried from each of them to the last it takes hours, in which nothing else of a gateway runs."""
    whole = jpeg(scene(640, 480), *options)
    fill = b"\xff" * 1_000_000
    coded, end = whole.index(b"\xff\0", whole.index(b"\xff\xda")), whole.rindex(b"\xff\xd9")
    found = decode_file(whole[:coded] + fill + whole[coded:])
    assert not isinstance(found, Reject)
    assert found.shape == (480, 640, 3)
    found = decode_file(whole[:end] + fill + whole[end:])
    assert np.array_equal(found, decode(whole))
    if options != PROGRESSIVE:
        holed = whole[: end // 2] + fill + b"\0" + whole[end // 2 + 3000 :]
        assert decode_file(holed) is Reject.DAMAGED


def test_more_restarts_than_a_picture_has_blocks_are_not_counted_to_their_end() -> None:
    grey = np.full((64, 64), 128, np.uint8)
    whole = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
    assert np.array_equal(decode_file(whole), decode(whole))
    found: list[int] = []
    restarts = b"".join(bytes((0xFF, 0xD0 + i % 8)) for i in range(100_000)) + b"\xff\xd9"
    assert _through(restarts, 0, found, True, 16 * 64) is None
    assert len(found) < 1100
    at = whole.rindex(b"\xff\xda")
    at += 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
    assert decode_file(whole[:at] + restarts) is Reject.DAMAGED


@pytest.mark.parametrize("colours", [1, 3])
def test_a_picture_with_fewer_restarts_than_it_needs_is_damaged_although_they_follow_one_another(
    colours: int,
) -> None:
    whole = jpeg(scene()[:, :, :colours], *RESTARTS)
    interval = b"\xff\xdd\0\4\0\x08"
    scan = whole.index(b"\xff\xda")
    first = whole.index(b"\xff\xd0", scan)
    ninth = whole.index(b"\xff\xd0", first + 2)
    for spoilt in (
        whole[:first] + whole[ninth:],
        whole.replace(interval, interval[:-1] + b"\x04"),
        jpeg(scene()).replace(b"\xff\xda", interval + b"\xff\xda", 1),
    ):
        assert not isinstance(decode(spoilt), Reject), "the decoder takes it"
        assert decode_file(spoilt) is Reject.DAMAGED
    assert not isinstance(decode_file(whole), Reject)


def walked(data: bytes, at: int, restarts: bool) -> tuple[list[int], int | None]:
    """What `_through` finds, byte by byte."""
    ends: list[int] = []
    while at < len(data):
        first = at
        while data[at : at + 1] == b"\xff":
            at += 1
        marker = data[at] if first < at < len(data) else 0
        at += 1
        if not marker:
            continue
        ends.append(first)
        if not 0xD0 <= marker <= 0xD7:
            return ends, at - 2
        if not restarts or marker != 0xD0 + (len(ends) - 1) % 8:
            return ends, None
    return ends, None


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([0, 0, 0, 1, 0x7F, 0xD0, 0xD1, 0xD2, 0xD9, 0xDA, 0xFF]))),
    st.integers(0, 5),
    st.booleans(),
)  # fmt: skip
def test_markers_are_where_a_walk_byte_by_byte_finds_them(
    runs: list[tuple[int, int]], at: int, restarts: bool
) -> None:
    data = b"".join(b"\xff" * count + bytes([last]) for count, last in runs)
    found: list[int] = []
    last = _through(data, at, found, restarts, len(data))
    assert (found, last) == walked(data, at, restarts)


def test_no_real_picture_is_damaged_and_nearly_each_that_lost_512_bytes_is(
    shared_data: Path,
) -> None:
    files = sorted((shared_data / "fire-smoke" / "images").glob("*.jpg"))[::100]
    if not files:
        pytest.skip("no recordings; set TOCSIN_SHARED_DATA to their place")
    told = []
    for file in files:
        data = file.read_bytes()
        assert not isinstance(decode_file(data), Reject), file.name
        told.append(decode_file(damaged(data, "lost", 512)) is Reject.DAMAGED)
    assert np.mean(told) > 0.9
