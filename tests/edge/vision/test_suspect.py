"""Cameras that write each of their JPEGs wrong: by HTTP snapshot, MJPEG and ONVIF, looked at in the end if the pictures are whole, and never if they are not."""

from __future__ import annotations

import json
import random
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.pipeline import camera as camera_module
from edge.vision.pipeline.camera import Camera
from edge.vision.pipeline.health import CameraState
from edge.vision.pipeline.leniency import OPENINGS
from edge.vision.sources.damage import FIX, HABITS, Damage
from edge.vision.sources.jpeg_mend import lacks_restarts, mend
from edge.vision.sources.options import SourceOptions, opener
from edge.vision.sources.picture_file import MAX_PIXELS, decode, decode_file, decode_sent
from edge.vision.sources.source import Reject, Suspect
from tests.edge.vision.cameras import EVERY, Watched, watched
from tests.edge.vision.scenes import number_of, numbered, oriented, scene
from tests.edge.vision.web_camera import (  # fmt: skip
    ENDLESS,
    EOI,
    RESTARTS,
    WRONG,
    before_scan,
    coded_at,
    cut,
    encoded,
    web_camera,
    whole,
    wrong,
)
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import SystemClock
from tocsin.testing import run_process, wait_until

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera none of whose pictures can be read is opened anew after 0.1 s of them."""
    monkeypatch.setattr(camera_module, "_BAD_NS", 100_000_000)


def a_camera(url: str) -> Camera:
    return Camera("cam", opener(SourceOptions(source=url, fps=100.0), SystemClock()), EVERY)


def reasons(seen: Watched) -> set[DriverReason]:
    return {c.error.reason for c in seen.changes if isinstance(c.error, LinkError)}


@pytest.mark.parametrize("how", WRONG)
def test_a_whole_picture_that_is_written_wrong_comes_with_what_is_wrong(how: str) -> None:
    options, spoil, damage = WRONG[how]
    data = encoded(scene(), *options)
    found = decode_sent(spoil(data))
    assert isinstance(found, Suspect)
    assert found.damage is damage
    assert found.reject is decode_file(spoil(data))
    assert np.array_equal(found.picture, decode(data))


def test_it_is_turned_as_its_exif_data_say() -> None:
    lying = oriented(encoded(np.ascontiguousarray(np.rot90(numbered(77)))), 6)
    found = decode_sent(before_scan(lying, b"abc"))
    assert isinstance(found, Suspect)
    assert number_of(found.picture) == 77


def test_what_a_camera_appends_is_not_its_picture() -> None:
    data = encoded(scene()) + b"\xff\xda of its own"
    assert decode_file(data) is Reject.TRUNCATED
    found = decode_sent(data)
    assert not isinstance(found, Reject | Suspect)
    assert np.array_equal(found, decode(data[: data.rindex(EOI) + 2]))


@pytest.mark.parametrize("options", [(), RESTARTS, PROGRESSIVE], ids=["plain", "restarts", "progressive"])  # fmt: skip
@pytest.mark.parametrize("tail", [b"", EOI, b"\xff\xd0" + EOI, b"\xff\x02\0\4ab" + EOI])
def test_a_picture_that_is_not_whole_is_none_wherever_it_ends(
    options: tuple[int, ...], tail: bytes
) -> None:
    grey = scene()
    grey[90:] = 128
    for picture in (scene(), grey):
        data = encoded(picture, *options)
        least = 4 if options == PROGRESSIVE else 3
        lost = [*range(least, 40), *random.Random(4).sample(range(40, len(data) * 3 // 4), 20)]
        for count in lost:
            assert not isinstance(decode_sent(data[:-count] + tail), Suspect), count


@pytest.mark.parametrize("how", ["a stretch", "its marker too", "eight of them", "no interval", "other interval"])  # fmt: skip
def test_with_restarts_missing_a_picture_is_not_whole_however_they_are_numbered(how: str) -> None:
    data = encoded(scene(), *RESTARTS)
    first, second = data.index(b"\xff\xd0", 600), data.index(b"\xff\xd1", 600)
    last = data.index(b"\xff\xd0", second)
    spoilt = {
        "a stretch": data[: first + 2] + data[second:],
        "its marker too": data[:first] + data[second:],
        "eight of them": data[:first] + data[last:],
        "no interval": data.replace(b"\xff\xdd\0\4\0\x08", b""),
        "other interval": data.replace(b"\xff\xdd\0\4\0\x08", b"\xff\xdd\0\4\0\x07"),
    }[how]
    assert spoilt != data
    for tail in (EOI, b"", b"\xff\xd5" + EOI):
        assert not isinstance(decode_sent(spoilt[:-2] + tail), Suspect)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    ("how", "path"),
    [("bytes in the header", "snapshot"), ("all restarts of one number", "mjpeg")],
)  # fmt: skip
async def test_a_camera_that_writes_all_its_jpegs_wrong_is_looked_at_after_three_openings(
    how: str, path: str
) -> None:
    damage = WRONG[how][2]
    with web_camera() as web:
        web.picture = wrong(how)
        async with watched([a_camera(f"{web.url}/{path}")]) as seen:
            await wait_until(lambda: len(seen.numbers("cam")) >= 5)
            health = seen.health("cam")
            assert (health.suspect, health.reconnects) == (damage, OPENINGS)
            assert sum(health.rejected.values()) >= 3 * OPENINGS
            assert reasons(seen) == {DriverReason.NOT_TO_STANDARD}
            said = next(str(c.error) for c in seen.changes if c.error)
            assert HABITS[damage][0] in said
            assert FIX[0] in said

            web.picture = cut
            await wait_until(lambda: seen.health("cam").reconnects > OPENINGS)
            web.picture = wrong(how)
            before = len(seen.numbers("cam"))
            await wait_until(lambda: len(seen.numbers("cam")) >= before + 5)


@pytest.mark.usefixtures("_soon")
async def test_the_first_jpeg_as_it_should_be_makes_the_others_damage_again() -> None:
    def odd(number: int) -> bytes:
        return wrong("a start in the header")(number % 100)

    with web_camera() as web:
        web.picture = odd
        async with watched([a_camera(f"{web.url}/snapshot")]) as seen:
            await wait_until(lambda: len(seen.numbers("cam")) >= 3)
            web.picture = lambda number: whole(100 + number % 100)
            await wait_until(lambda: any(n >= 100 for n in seen.numbers("cam")))
            assert seen.health("cam").suspect is None
            web.picture = odd
            refused = seen.health("cam").reconnects
            await wait_until(lambda: seen.health("cam").reconnects >= refused + OPENINGS + 2)
            numbers = seen.numbers("cam")
            first = next(i for i, n in enumerate(numbers) if n >= 100)
            assert all(n >= 100 for n in numbers[first:])
            told = [str(c.error) for c in seen.changes if c.error]
            assert "until the next start" in told[-1]
            assert seen.health("cam").suspect is None


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    "picture", [cut, lambda number: cut(number) + EOI], ids=["cut short", "half grey"]
)
@pytest.mark.parametrize("path", ["snapshot", "mjpeg"])
async def test_pictures_that_are_not_whole_are_never_taken(
    picture: Callable[[int], bytes], path: str
) -> None:
    with web_camera() as web:
        web.picture = picture
        async with watched([a_camera(f"{web.url}/{path}")]) as seen:
            await wait_until(lambda: seen.health("cam").reconnects >= OPENINGS + 3)
            assert seen.results["cam"] == []
            assert seen.health("cam").suspect is None
            assert reasons(seen) == {DriverReason.GARBAGE}


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    "behind", [b"", bytes(200_000), b"\xaa" * 200_000, whole(200)[700:-2], whole(200)],
    ids=["nothing", "zeros", "a pattern", "another's data", "another"],
)  # fmt: skip
@pytest.mark.parametrize("share", [2, 1], ids=["half", "all of it"])
async def test_without_its_end_none_is_taken_whatever_fills_its_buffer(
    behind: bytes, share: int
) -> None:
    def filled(number: int) -> bytes:
        data = whole(number % 100)[:-2]
        return data[: len(data) // share] + behind

    with web_camera() as web:
        web.picture = filled
        async with watched([a_camera(f"{web.url}/snapshot")]) as seen:
            await wait_until(lambda: seen.health("cam").reconnects >= OPENINGS + 2)
            assert all(n >= 100 for n in seen.numbers("cam"))
            assert seen.health("cam").suspect is None
            assert reasons(seen) == {DriverReason.GARBAGE}


@pytest.mark.parametrize("how", ENDLESS)
def test_a_picture_without_its_end_is_refused_as_it_was_read(how: str) -> None:
    options, spoil = ENDLESS[how]
    data = spoil(encoded(scene(), *options))
    assert isinstance(decode_sent(data), Reject)
    assert decode_sent(data) is decode_file(data)


@pytest.mark.usefixtures("_soon")
async def test_a_camera_none_of_whose_pictures_can_be_read_is_said_to_fail_once_and_to_be_back_once() -> None:  # fmt: skip
    with web_camera() as web:
        web.picture = cut
        async with watched([a_camera(f"{web.url}/snapshot")]) as seen:
            await wait_until(lambda: seen.health("cam").reconnects >= 4)
            assert [c.error is None for c in seen.changes] == [False]
            assert seen.health("cam").state is CameraState.OFFLINE
            assert "nothing tells whole ones from those cut short" in seen.health("cam").error
            web.picture = whole
            await wait_until(lambda: seen.health("cam").state is CameraState.ONLINE)
            await wait_until(lambda: len(seen.changes) == 2)
            assert seen.changes[-1].error is None
            assert seen.health("cam").error == ""


def test_a_frame_of_more_pixels_than_we_read_is_not_mended_however_its_header_hides_it() -> None:
    data = before_scan(encoded(scene(), *RESTARTS), b"abc")
    at = data.index(b"\xff\xc0")
    huge = (
        data[:at] + b"abc" + data[at : at + 5] + struct.pack(">HH", 65535, 65535) + data[at + 9 :]
    )
    assert mend(data, MAX_PIXELS) is not None
    assert mend(huge, MAX_PIXELS) is None
    assert mend(data, 64) is None
    assert isinstance(decode_sent(huge), Reject)


def test_restarts_are_counted_no_further_than_two_with_nothing_between_them() -> None:
    data = encoded(scene(), *RESTARTS)
    first = data.index(b"\xff\xd0", coded_at(data))
    assert not lacks_restarts(data)
    assert lacks_restarts(data[:first] + b"\xff\xd0" * 2 + data[first:])


def test_over_onvif_it_comes_with_what_is_wrong_too(tmp_path: Path) -> None:
    file = tmp_path / "now.jpg"
    file.write_bytes(wrong("restarts from 1")(42))
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--snapshot", str(file)]
    with run_process(argv) as process:
        port = json.loads(process.wait_line("ready"))["port"]
        given = SourceOptions.model_validate({"source": f"onvif://{port}", "username": "tocsin", "password": "camera"})  # fmt: skip
        source = opener(given, SystemClock())(threading.Event().wait)
        source.open()
        assert source.grab()
        found = source.retrieve()
        source.close()
    assert isinstance(found, Suspect)
    assert (found.damage, number_of(found.picture)) == (Damage.RESTARTS, 42)
