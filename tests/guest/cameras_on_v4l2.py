"""Cameras of this machine on the kernel's V4L2, given by its test driver vivid; run by scripts/v4l2-guest inside its virtual machine.

What the driver hands out is known by its patterns and, bit for bit, by v4l2-ctl, which asks it on its own.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.vision.pipeline.camera import Camera
from edge.vision.pipeline.health import CameraState
from edge.vision.sources.options import SourceOptions, opener
from edge.vision.sources.source import Raw, Reject, Source, Suspect
from tests.edge.vision.cameras import EVERY, watched
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]
DRIVER = Path("/sys/bus/platform/drivers/vivid")
COLOUR, HEAT = "/dev/video0", "/dev/video1"
TOUCH = "/dev/v4l-touch0"  # a sensor that gives numbers, but no Y16
WISHED: dict[str, Any] = {"width": 320, "height": 180, "fps": 10.0}
HOT: dict[str, Any] = {**WISHED, "kelvin_per_count": 0.01}
WHITE = 65_024  # vivid puts its 8 bits, here 254, into the upper byte
BACK_S = 15.0  # 3 s on a machine that is not emulated


def control(device: str, **values: int) -> None:
    given = ",".join(f"{name}={value}" for name, value in values.items())
    subprocess.run(["v4l2-ctl", "-d", device, "-c", given], check=True)


def source(path: str, **given: Any) -> Source:
    return opener(SourceOptions(source=path, **given), SystemClock())(lambda _s: False)


def camera(path: str, **given: Any) -> Camera:
    return Camera("cam", opener(SourceOptions(source=path, **given), SystemClock()), EVERY)


def one_picture(path: str, **given: Any) -> Raw:
    opened = source(path, **given)
    opened.open()
    try:
        assert opened.grab()
        raw = opened.retrieve()
        assert not isinstance(raw, Reject | Suspect)
        return raw.copy()
    finally:
        opened.close()


def refusal(path: str, **given: Any) -> LinkError:
    with pytest.raises(LinkError) as caught:
        source(path, **given).open()
    return caught.value


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """No text over the pattern, nothing broken."""
    for device in (COLOUR, HEAT):
        control(device, osd_text_mode=2, test_pattern=1, percentage_of_dropped_buffers=0)
    yield
    if not (DRIVER / "vivid.0").exists():
        (DRIVER / "bind").write_text("vivid.0")


def test_a_colour_camera_gives_its_colours_at_the_size_wished() -> None:
    picture = one_picture(COLOUR, **WISHED)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    bars = [picture[90, 20 + 40 * bar].astype(int).tolist() for bar in range(8)]
    of_b, of_g, of_r = [1, 0, 1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0]
    for told, b, g, r in zip(bars, of_b, of_g, of_r, strict=True):
        assert np.allclose(told, [255 * b, 255 * g, 255 * r], atol=8), bars


def test_a_camera_without_wishes_opens_as_it_stands() -> None:
    assert one_picture(COLOUR).shape[2] == 3


@pytest.mark.parametrize("pattern", [1, 6, 20])  # bars, all white, noise
def test_counts_come_as_the_driver_gave_them(pattern: int, tmp_path: Path) -> None:
    control(HEAT, test_pattern=pattern)
    counts = one_picture(HEAT, **HOT)
    assert counts.shape == (180, 320)
    assert counts.dtype == np.uint16
    file = tmp_path / "one.raw"
    subprocess.run(
        ["v4l2-ctl", "-d", HEAT, "--set-fmt-video=width=320,height=180,pixelformat=Y16 ",
         "--stream-mmap", "--stream-count=1", f"--stream-to={file}"], check=True, capture_output=True,
    )  # fmt: skip
    told = np.fromfile(file, "<u2").reshape(180, 320)
    if pattern == 20:
        assert len(np.unique(counts)) > 100
        assert abs(float(counts.mean()) - float(told.mean())) < 2000
        assert counts.max() > 60_000
    else:
        assert np.array_equal(counts, told)
        assert counts.max() == WHITE


async def test_frames_come_at_the_rate_wished_and_one_that_is_broken_ends_nothing() -> None:
    control(COLOUR, osd_text_mode=0)
    async with watched([camera(COLOUR, **WISHED)]) as seen:
        await wait_until(lambda: seen.health("cam").frames >= 60, 60)
        before = seen.health("cam")
        for _ in range(3):
            control(COLOUR, inject_v4l2_buf_flag_error=1)
        await wait_until(lambda: seen.health("cam").frames >= before.frames + 60, 60)
        now = seen.health("cam")
        assert (now.width, now.height) == (320, 180)
        assert 0 < now.fps <= 11  # an emulated machine may not keep up
        assert (now.state, now.reconnects) == (CameraState.ONLINE, 0)
        assert [c.error for c in seen.changes] == [None]


async def test_an_unplugged_camera_is_told_once_and_comes_back() -> None:
    async with watched([camera(COLOUR, **WISHED)]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 3, 60)
        (DRIVER / "unbind").write_text("vivid.0")
        await wait_until(lambda: seen.health("cam").state is CameraState.OFFLINE, 15)
        await wait_until(lambda: "plugged in" in seen.health("cam").error, 15)
        (DRIVER / "bind").write_text("vivid.0")
        before = seen.health("cam").looked
        await wait_until(lambda: seen.health("cam").looked > before, BACK_S)
        ups = [change.error is None for change in seen.changes]
        assert ups == [True, False, True]


@pytest.mark.parametrize("how", ["stands-still", "ends"])
async def test_a_camera_whose_stream_fails_is_opened_anew(how: str) -> None:
    async with watched([camera(COLOUR, **WISHED)]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 3, 60)
        if how == "ends":
            control(COLOUR, inject_fatal_streaming_error=1)
        else:
            control(COLOUR, percentage_of_dropped_buffers=100)
        await wait_until(lambda: seen.health("cam").reconnects == 1, 30)
        control(COLOUR, percentage_of_dropped_buffers=0)
        before = seen.health("cam").looked
        await wait_until(lambda: seen.health("cam").looked > before, 30)
        assert seen.health("cam").state is CameraState.ONLINE
        assert seen.health("cam").reconnects == 1


def test_why_a_device_does_not_open_is_said(tmp_path: Path) -> None:
    absent = refusal("/dev/video99")
    assert (absent.reason, absent.hint) == (DriverReason.NO_PORT, "is the camera plugged in?")
    Path("/dev/plain").touch()
    assert "is not a device" in refusal("/dev/plain").message
    other_data = next(p for p in map(str, Path("/dev").glob("video*")) if p not in (COLOUR, HEAT))
    assert "gives no pictures" in refusal(other_data).message
    grey = refusal(TOUCH, kelvin_per_count=0.01)
    assert "gives no Y16, but TD16" in grey.message
    other = refusal("/dev/null")
    assert (other.reason, "no camera" in other.message) == (DriverReason.REFUSED, True)
    taker = subprocess.Popen(
        ["v4l2-ctl", "-d", COLOUR, "--stream-mmap", f"--stream-to={tmp_path / 'taken'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        began = time.monotonic()
        while not (tmp_path / "taken").exists() or not (tmp_path / "taken").stat().st_size:
            assert time.monotonic() < began + 30
            time.sleep(0.1)
        for wishes in ({}, WISHED):
            busy = refusal(COLOUR, **wishes)
            assert "another program" in f"{busy.message} {busy.hint}", busy
    finally:
        taker.terminate()
        taker.wait(10)
    assert one_picture(COLOUR).size
