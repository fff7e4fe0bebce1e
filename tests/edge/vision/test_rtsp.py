"""Cameras over RTSP that fail in every way, on a real server in another process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge.vision.frame import Frame
from edge.vision.observation import Quality
from edge.vision.pipeline.health import CameraState
from edge.vision.pipeline.worker import Looked
from edge.vision.sources.address import Address
from edge.vision.sources.rtsp import RtspSource
from tests.edge.vision.cameras import Server, read_number, rtsp_camera, rtsp_server, watched
from tests.edge.vision.rtsp_server import GOP, SKIPPED
from tests.edge.vision.scenes import number_of
from tocsin.errors import DriverReason, LinkError
from tocsin.testing import free_port, wait_until

ACCOUNT = ("operator", "s3cret/pass@word")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(rtsp_server(*args))


def _refusal(url: str, username: str = "", password: str = "") -> LinkError:
    source = RtspSource(Address(url, username, password))
    with pytest.raises(LinkError) as caught:
        source.open()
    return caught.value


@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_a_camera_comes_back_after_every_way_to_fail(serve: Callable[..., Server], codec: str) -> None:  # fmt: skip
    server = serve("--codec", codec)
    async with watched([rtsp_camera("cam", server.url())]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 5)
        assert (seen.health("cam").width, seen.health("cam").height) == (320, 180)
        for mode in ("stall", "drop", "refuse", "mute"):
            server.turn(mode)
            if mode == "drop":
                await wait_until(lambda: seen.health("cam").reconnects == 2)
            else:
                await wait_until(lambda: seen.changes[-1].error is not None)
            server.turn("play")
            before = seen.health("cam").looked
            await wait_until(lambda: seen.health("cam").looked >= before + 10)  # noqa: B023
            assert seen.health("cam").state is CameraState.ONLINE
        health = seen.health("cam")
        assert health.reconnects == 4
        assert health.age_s is not None
        told = [str(change.error or "") for change in seen.changes]
        assert told[0] == told[-1] == ""
        assert all(before != now for before, now in pairwise(told))  # once each
    indexes = [r.frame.index for r in seen.results["cam"]]
    assert indexes == sorted(set(indexes))


async def test_eight_cameras_are_not_disturbed_by_a_dead_and_a_flapping_one(serve: Callable[..., Server]) -> None:  # fmt: skip
    server = serve("--cameras", "8")
    server.turn("mute", 0)
    server.turn("flap", 1)
    cameras = [rtsp_camera(f"cam-{i}", server.url(i)) for i in range(8)]
    async with watched(cameras) as seen:
        well = [f"cam-{i}" for i in range(2, 8)]
        await wait_until(lambda: all(seen.health(c).looked for c in well), 60)
        await wait_until(lambda: seen.health("cam-1").reconnects >= 5, 60)
        await wait_until(lambda: all(seen.health(c).looked >= 60 for c in well), 60)
        for camera in well:
            now = seen.health(camera)
            assert now.state is CameraState.ONLINE
            assert (now.reconnects, now.failed_looks) == (0, 0)
            results = seen.results[camera]
            pairs = zip(results, seen.numbers(camera), strict=True)
            assert (
                len({(number - r.frame.index) % 50 for r, number in pairs}) == 1
            )  # no frame lost, doubled or late
        looked = [seen.health(c).looked for c in well]
        assert min(looked) >= 0.3 * max(looked)  # each gets its turn
        assert seen.health("cam-0").looked == 0
        assert seen.health("cam-0").error


@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_hurt_pictures_end_nothing_and_a_picture_that_stands_still_is_told(serve: Callable[..., Server], codec: str) -> None:  # fmt: skip
    server = serve("--codec", codec)
    camera = replace(rtsp_camera("cam", server.url()), frozen_after_s=0.5)
    async with watched([camera]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 3)
        for mode in ("corrupt", "gaps"):
            server.turn(mode)
            before = seen.health("cam").frames
            await wait_until(lambda: seen.health("cam").frames >= before + 30)  # noqa: B023
        server.turn("still")
        await wait_until(lambda: seen.health("cam").quality is Quality.FROZEN)
        assert seen.health("cam").state is CameraState.ONLINE
        server.turn("play")
        after = len(seen.results["cam"])
        await wait_until(lambda: len(seen.results["cam"]) >= after + 25)
        assert seen.pipeline.crashes == 0
        assert set(seen.numbers("cam")[-10:]) <= set(range(50))


async def test_a_key_frame_with_a_hole_and_the_pictures_after_it_are_not_judged(serve: Callable[..., Server]) -> None:  # fmt: skip
    server = serve()
    server.turn("holes")
    async with watched([rtsp_camera("cam", server.url())]) as seen:
        await wait_until(lambda: len(seen.results["cam"]) >= 2 * GOP)
        told = {r.frame.quality for r in seen.results["cam"]}
        assert told == {Quality.HALF_GREY}
        assert seen.health("cam").unjudged == "half-grey"
        server.turn("play")
        await wait_until(lambda: {n % GOP for n in seen.numbers("cam")[-GOP:]} == set(range(GOP)))
        assert seen.health("cam").reconnects == 0
    qualities = [r.frame.quality for r in seen.results["cam"]]
    assert set(qualities[qualities.index(Quality.GOOD) :]) == {Quality.GOOD}  # once whole, for good


async def test_h265_pictures_that_refer_to_one_that_is_missing_are_left_out(serve: Callable[..., Server]) -> None:  # fmt: skip
    server = serve("--codec", "h265")
    async with watched([rtsp_camera("cam", server.url())]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 20)
        server.turn("skip")
        await wait_until(lambda: all(n % GOP < SKIPPED for n in seen.numbers("cam")[-5:]))
        after = len(seen.numbers("cam"))
        await wait_until(lambda: len(seen.numbers("cam")) >= after + 30)
        assert {n % GOP for n in seen.numbers("cam")[after:]} == set(range(SKIPPED))
        assert seen.health("cam").reconnects == 0
        server.turn("play")
        await wait_until(lambda: {n % GOP for n in seen.numbers("cam")[-20:]} == set(range(GOP)))


async def test_a_jpeg_by_rtsp_of_which_packets_are_missing_is_left_out(serve: Callable[..., Server]) -> None:  # fmt: skip
    server = serve("--codec", "mjpeg")
    server.turn("holes")
    async with watched([rtsp_camera("cam", server.url())]) as seen:
        await wait_until(lambda: len(seen.numbers("cam")) >= 3 * GOP)
        assert {n % GOP for n in seen.numbers("cam")} == set(range(1, GOP))
        assert seen.health("cam").rejected == {}


async def test_what_a_camera_never_made_of_a_jpeg_by_rtsp_is_what_another_had_there_and_nothing_tells(serve: Callable[..., Server]) -> None:  # fmt: skip
    """A limit, of FFmpeg: docs/vision.md says so."""
    server = serve("--codec", "mjpeg")
    server.turn("short")
    pairs: list[tuple[int, int]] = []

    def read(frame: Frame) -> Looked:
        assert frame.picture is not None
        pairs.append((number_of(frame.picture), number_of(np.flipud(frame.picture))))
        return read_number(frame)

    async with watched([rtsp_camera("cam", server.url())], read) as seen:
        await wait_until(lambda: sum(top % GOP == 0 for top, _ in pairs) >= 3)
        assert {r.frame.quality for r in seen.results["cam"]} == {Quality.GOOD}
        assert seen.health("cam").rejected == {}
    assert all((top == bottom) is (top % GOP != 0) for top, bottom in pairs)


async def test_a_camera_that_changes_its_resolution_goes_on_and_voids_its_references(serve: Callable[..., Server]) -> None:  # fmt: skip
    server = serve()
    async with watched([rtsp_camera("cam", server.url())]) as seen:
        await wait_until(lambda: seen.health("cam").looked >= 5)
        server.turn("resize")  # in the stream: OpenCV brings it to the size that it opened with
        await wait_until(lambda: len(seen.numbers("cam")) > 20 and max(seen.numbers("cam")[-12:]) <= 9)  # fmt: skip
        assert (seen.health("cam").width, seen.health("cam").reconnects) == (320, 0)
        server.turn("drop")
        server.turn("resize")
        await wait_until(lambda: seen.health("cam").width == 160)
        assert (seen.health("cam").resolution_changes, seen.pipeline.crashes) == (1, 0)
    sizes = [(r.frame.size, r.frame.moved) for r in seen.results["cam"]]
    assert sizes[[size for size, _ in sizes].index((160, 90))][1]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_camera_without_parameter_sets_in_its_description_opens_in_the_middle_of_a_group(serve: Callable[..., Server], codec: str) -> None:  # fmt: skip
    source = RtspSource(Address(serve("--bare", "--codec", codec).url()))
    source.open()
    assert source.grab()
    source.close()


def test_why_a_camera_does_not_open_is_said_without_its_password(
    serve: Callable[..., Server], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    server = serve("--account", ":".join(ACCOUNT))
    caplog.set_level(logging.DEBUG)
    without = _refusal(server.url() + "?token=s3cret")
    assert (without.reason, without.hint) == (DriverReason.PERMISSION, "it wants a username and password")  # fmt: skip
    wrong = _refusal(server.url(), "operator", "s3cret-wrong")
    assert (wrong.reason, wrong.hint) == (DriverReason.PERMISSION, "its password is wrong")
    source = RtspSource(Address(server.url(), *ACCOUNT))
    source.open()
    source.close()
    server.turn("missing")
    missing = _refusal(server.url(), *ACCOUNT)
    assert missing.reason is DriverReason.BAD_FILE
    nobody = _refusal(f"rtsp://operator:s3cret@127.0.0.1:{free_port()}/live")
    assert nobody.reason is DriverReason.REFUSED
    unknown = _refusal("rtsp://camera.invalid/live", *ACCOUNT)
    assert unknown.reason is DriverReason.NO_PORT
    told = "".join(map(str, (without, wrong, missing, nobody, unknown))) + caplog.text
    told += "".join(capfd.readouterr())
    assert "s3cret" not in told
    assert f"rtsp://127.0.0.1:{server.ports[0]}/live" in told
