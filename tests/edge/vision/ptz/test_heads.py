"""Virtual cameras in processes of their own, asked where they look through their ports."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from itertools import pairwise

import onvif.client
import pytest
from aiohttp import ClientSession

from edge.onvif.camera import ClosingCamera
from edge.onvif.link import OnvifLink
from edge.vision.pose import Mount, Pose, Turned
from edge.vision.ptz.follower import Follower
from edge.vision.ptz.isapi import IsapiHead
from edge.vision.ptz.onvif import OnvifHead, Spaces, Target
from edge.vision.sources.address import Address
from edge.vision.sources.http_auth import authorization
from tocsin.config import Secret
from tocsin.errors import DriverError, DriverReason, TocsinError
from tocsin.sdk import SystemClock
from tocsin.testing import Process, free_port, run_process, wait_until, wait_until_sync

Start = Callable[..., tuple[Process, str]]
USER, PASSWORD = "operator", "s3cret-word"


@pytest.fixture
def start() -> Iterator[Start]:
    """(process, address) of an ISAPI camera."""
    with ExitStack() as stack:

        def begin(*args: str) -> tuple[Process, str]:
            argv = [sys.executable, "-m", "firmware_bridges.isapi.device", "--user", f"{USER}:{PASSWORD}", *args]  # fmt: skip
            process = stack.enter_context(run_process(argv))
            return process, json.loads(process.wait_line("ready"))["port"]

        yield begin


def _head(port: str, password: str = PASSWORD, **options: float) -> IsapiHead:
    return IsapiHead(Address(f"http://{port}", USER, password), **options)  # type: ignore[arg-type]


def _refusal(head: IsapiHead | OnvifHead) -> DriverError:
    with pytest.raises(DriverError) as caught:
        head.ask()
    head.close()
    said = f"{caught.value} {caught.value.hint}"
    assert PASSWORD not in said
    assert "wrong-word" not in said
    return caught.value


def _look(port: str, azimuth: float, elevation: float, zoom: float) -> None:
    """Another client turns it."""
    path = "/ISAPI/PTZCtrl/channels/1/absolute"
    body = (
        f"<PTZData><AbsoluteHigh><elevation>{elevation * 10:.0f}</elevation><azimuth>{azimuth * 10:.0f}</azimuth>"
        f"<absoluteZoom>{zoom * 10:.0f}</absoluteZoom></AbsoluteHigh></PTZData>"
    )
    line = HTTPConnection(port, timeout=10)
    line.request("PUT", path, body)
    answer = line.getresponse()
    answer.read()
    asked = answer.headers.get_all("WWW-Authenticate", [])
    line.request("PUT", path, body, {"Authorization": authorization(asked, "PUT", path, USER, PASSWORD)})  # fmt: skip
    assert line.getresponse().status == 200
    line.close()


def test_an_isapi_camera_proves_the_account_by_digest_and_tells_where_it_looks(start: Start) -> None:  # fmt: skip
    _, port = start("--elevation", "121", "--azimuth", "1117", "--zoom", "209")
    head = _head(port)
    for _ in range(12):  # a nonce is good for five
        assert head.ask().turned == Turned(111.7, -12.1, 20.9)
    head.close()
    upwards = _head(port, down=False)
    assert upwards.ask().turned.tilt_deg == 12.1
    upwards.close()


def test_what_an_isapi_camera_answers_instead_is_said_without_secrets(start: Start) -> None:
    _, port = start()
    wrong = _refusal(_head(port, "wrong-word"))
    assert (wrong.reason, wrong.hint) == (DriverReason.PERMISSION, "its password is wrong")
    missing = _refusal(_head(port, channel=7))
    assert missing.reason is DriverReason.BAD_FILE
    assert "`channel`" in missing.hint
    _, bad = start("--answers", "garbage")
    garbage = _refusal(_head(bad))
    assert garbage.reason is DriverReason.GARBAGE
    assert f"http://{bad}/ISAPI/PTZCtrl/channels/1/status: PTZ status: not XML" in garbage.message
    assert _refusal(_head(f"127.0.0.1:{free_port()}")).reason is DriverReason.REFUSED


@pytest.mark.parametrize("answers", ["silent", "drips"])
def test_a_camera_that_is_silent_or_drips_does_not_answer_in_time(start: Start, answers: str) -> None:  # fmt: skip
    _, port = start("--answers", answers)
    began_s = time.monotonic()
    late = _refusal(_head(port, timeout_s=0.5))
    assert late.reason is DriverReason.NO_ANSWER
    assert "within 0.5 s" in late.message
    assert time.monotonic() - began_s < 3.0


def test_an_onvif_camera_tells_where_it_looks_in_degrees_and_times() -> None:
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--user", f"{USER}:{PASSWORD}"]
    with run_process(argv) as process:
        host, _, port = json.loads(process.wait_line("ready"))["port"].rpartition(":")
        target = Target(host, int(port), username=USER, password=Secret(PASSWORD))
        assert PASSWORD not in repr(target)
        head = OnvifHead(target, Spaces((-180.0, 180.0), (-90.0, 0.0), 25.0))
        answers = [head.ask(), head.ask()]
        head.close()
        assert [a.turned for a in answers] == [Turned(0.0, -45.0, 1.0)] * 2
        assert [a.moving for a in answers] == [False, False]
        denied = Target(host, int(port), username=USER, password=Secret("wrong-word"))
        assert _refusal(OnvifHead(denied, Spaces())).reason is DriverReason.PERMISSION
    gone = Target("127.0.0.1", free_port())
    assert _refusal(OnvifHead(gone, Spaces())).reason is DriverReason.REFUSED


def test_a_camera_is_followed_while_it_turns_and_said_to_be_away_once(start: Start) -> None:
    process, port = start("--speed", "60")
    clock, said = SystemClock(), list[TocsinError | None]()
    mount = Mount(Pose(200.0, 0.0, 60.0, error_deg=0.5))
    follower = Follower("cam", _head(port), mount, clock, said.append, every_s=0.2)
    follower.start()

    def now() -> Pose | None:
        return follower.pose(clock.now_ns())

    def still(azimuth: float) -> bool:
        pose = now()
        return pose is not None and (pose.azimuth_deg, pose.error_deg) == (azimuth, 0.5)

    wait_until_sync(lambda: still(200.0), 20.0, "it stands still")
    assert follower.pose(clock.now_ns() - 3600 * 10**9) is None
    _look(port, azimuth=90.0, elevation=10.0, zoom=4.0)
    poses: list[Pose] = []

    def arrived() -> bool:
        pose = now()
        assert pose is not None
        poses.append(pose)
        return still(290.0)

    wait_until_sync(arrived, 20.0, "it looks there")
    assert max(p.error_deg for p in poses) > 3.0
    assert all(b.azimuth_deg >= a.azimuth_deg for a, b in pairwise(poses))
    assert poses[-1].elevation_deg == -10.0
    assert poses[-1].hfov_deg < 17.0
    assert said == []
    process.kill9()
    wait_until_sync(lambda: said, 20.0, "it is away")
    start("--listen", port, "--azimuth", "100")
    wait_until_sync(lambda: still(210.0), 20.0, "it is back")
    assert [e is None for e in said] == [False, True]
    follower.stop()
    follower.join(10.0)


@pytest.mark.parametrize("protocol", ["isapi", "onvif"])
def test_following_a_silent_camera_ends_at_once_and_without_a_word(protocol: str) -> None:
    said = list[TocsinError | None]()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        head: IsapiHead | OnvifHead = _head(f"{host}:{port}", timeout_s=60.0)
        if protocol == "onvif":
            head = OnvifHead(Target(host, port, timeout_s=60.0), Spaces())
        follower = Follower("cam", head, Mount(Pose(0.0, 0.0, 60.0)), SystemClock(), said.append)
        follower.start()
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(1)
            began_s = time.monotonic()
            follower.stop()
            follower.join(20.0)
            assert time.monotonic() - began_s < 5.0
    assert said == []


async def test_a_camera_that_is_given_up_while_its_service_is_made_leaves_no_session(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(onvif.client, "_DOCUMENT_CACHE", {})  # reading it takes time once
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--user", f"{USER}:{PASSWORD}"]
    with run_process(argv) as process:
        host, _, port = json.loads(process.wait_line("ready"))["port"].rpartition(":")
        before = set(map(id, _sessions()))
        link = OnvifLink(Target(host, int(port), username=USER, password=Secret(PASSWORD)))
        opening = asyncio.create_task(link.open())
        await wait_until(
            lambda: len([s for s in _sessions() if id(s) not in before]) == 2
        )  # its own, and the service's
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        made = [s for s in _sessions() if id(s) not in before]
        await link.close()
        assert [s.closed for s in made] == [True, True]


async def test_a_camera_whose_closing_is_cancelled_while_a_service_is_made_leaves_no_session(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--user", f"{USER}:{PASSWORD}"]
    with run_process(argv) as process:
        host, _, port = json.loads(process.wait_line("ready"))["port"].rpartition(":")
        before = _sessions()  # held, so that no other takes the address of one
        camera = ClosingCamera(host, int(port), USER, PASSWORD, no_cache=True, adjust_time=True)
        await camera.update_xaddrs()
        monkeypatch.setattr(onvif.client, "_DOCUMENT_CACHE", {})  # reading it takes time once
        known = _open(before)
        making = asyncio.create_task(camera.create_media_service())
        await wait_until(lambda: len(_open(before)) > len(known))
        closing = asyncio.create_task(camera.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert _open(before) == []
        await making


async def test_a_closing_that_is_cancelled_at_any_of_its_steps_leaves_no_session() -> None:
    argv = [sys.executable, "-m", "firmware_bridges.onvif.device", "--user", f"{USER}:{PASSWORD}"]
    with run_process(argv) as process:
        host, _, port = json.loads(process.wait_line("ready"))["port"].rpartition(":")
        before = _sessions()
        for steps in range(6):
            camera = ClosingCamera(host, int(port), USER, PASSWORD, no_cache=True, adjust_time=True)
            await camera.update_xaddrs()
            closing = asyncio.create_task(camera.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            left = _open(before) if steps else []  # what never began was never called
            await camera.close()
            assert left == [], f"cancelled at step {steps}"


def _open(before: list[ClientSession]) -> list[ClientSession]:
    return [s for s in _sessions() if s not in before and not s.closed]


def _sessions() -> list[ClientSession]:
    return [o for o in gc.get_objects() if type(o) is ClientSession]
