"""The driver against a virtual camera in another process, which a second client turns."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from onvif import ONVIFCamera
from pydantic import ValidationError

from edge.drivers.onvif.config import OnvifConfig
from edge.drivers.onvif.driver import OnvifDriver
from edge.drivers.onvif.values import time_of, values_of
from tocsin.contract.quality import Quality
from tocsin.errors import DriverError, DriverReason, LinkError
from tocsin.testing import Process, free_port, run_process, wait_until
from tocsin.testing.conformance.surroundings import Surroundings

Start = Callable[..., tuple[Process, int]]
MISSING = int(Quality.MISSING)


@pytest.fixture
def start() -> Iterator[Start]:
    """Cameras as processes of their own; (process, port)."""
    with ExitStack() as stack:

        def begin(*args: str) -> tuple[Process, int]:
            argv = [sys.executable, "-m", "firmware_bridges.onvif.device", *args]
            process = stack.enter_context(run_process(argv))
            port = json.loads(process.wait_line("ready"))["port"]
            return process, int(port.rpartition(":")[2])

        yield begin


def _config(port: int, **options: object) -> OnvifConfig:
    raw: dict[str, object] = {
        "type": "onvif",
        "name": "camera",
        "host": "127.0.0.1",
        "port": port,
        "username": "tocsin",
        "password": "camera",
        "device": "cam-01",
        "period_s": 0.05,
    }
    return OnvifConfig.model_validate({**raw, **options})


@asynccontextmanager
async def _running(config: OnvifConfig) -> AsyncIterator[tuple[Surroundings, asyncio.Task[None]]]:
    around = Surroundings("camera")
    task = asyncio.create_task(OnvifDriver(config, around.context).run())
    try:
        yield around, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DriverError):
            await task


async def test_a_camera_is_followed_while_it_turns(start: Start) -> None:
    _, port = start("--speed", "1.0")
    other = ONVIFCamera("127.0.0.1", port, "tocsin", "camera", no_cache=True)
    try:
        async with _running(_config(port)) as (around, _):
            await wait_until(lambda: around.samples)
            await other.update_xaddrs()
            ptz = await other.create_ptz_service()
            where = {"PanTilt": {"x": 0.5, "y": -0.25}, "Zoom": {"x": 0.25}}
            await ptz.AbsoluteMove({"ProfileToken": "main", "Position": where})
            await wait_until(lambda: around.samples[-1].values == (0.5, -0.25, 0.25, False))
    finally:
        await other.close()
    values = [sample.values for sample in around.samples]
    assert values[0] == (0.0, 0.0, 0.0, False)
    moving = [v for v in values if v[3]]
    assert moving
    pans = [float(v[0] or 0) for v in values]
    assert pans == sorted(pans)
    times = [s.source_ns for s in around.samples if s.source_ns is not None]
    assert times == sorted(set(times))
    assert times
    assert around.up == {"cam-01"}


async def test_a_camera_that_dies_is_told_marked_in_the_data_and_found_again(start: Start) -> None:
    process, port = start()
    config = _config(port, timeout_s=1.0)
    async with _running(config) as (around, task):
        await wait_until(lambda: around.samples)
        process.kill9()
        with pytest.raises(LinkError) as caught:
            await asyncio.wait_for(task, 20)
    assert caught.value.reason in (DriverReason.CLOSED, DriverReason.REFUSED)
    assert around.samples[-1].quality == (int(Quality.COMMS),) * 4
    start("--listen", f"127.0.0.1:{port}")
    async with _running(config) as (again, _):
        await wait_until(lambda: again.up)


async def test_why_a_camera_cannot_be_read_is_named(start: Start) -> None:
    async def why(config: OnvifConfig) -> LinkError:
        with pytest.raises(LinkError) as caught:
            await OnvifDriver(config, Surroundings("camera").context).run()
        lines = await OnvifDriver(config, Surroundings("camera").context).probe()
        assert [(line.device, line.ok) for line in lines] == [("cam-01", False)]
        return caught.value

    _, port = start()
    denied = await why(_config(port, password="wrong"))
    assert denied.reason is DriverReason.PERMISSION
    assert "wrong" not in str(denied)
    _, fixed = start("--fixed")
    assert "cannot be turned" in str(await why(_config(fixed)))
    assert (await why(_config(free_port()))).reason is DriverReason.REFUSED


async def test_the_probe_tells_where_the_camera_looks(start: Start) -> None:
    _, port = start()
    config = _config(port, pan={"unit": "deg", "scale": 180.0, "offset": 10.0})
    lines = await OnvifDriver(config, Surroundings("camera").context).probe()
    assert [line.ok for line in lines] == [True]
    assert lines[0].text == "pan 10 deg, tilt 0 1, zoom 0 1, moving False"


def _status(**parts: object) -> Any:
    return SimpleNamespace(**parts)


def test_what_a_camera_does_not_tell_is_missing() -> None:
    assert values_of(_status()) == ((None,) * 4, (MISSING,) * 4)
    only_zoom = _status(
        Position=_status(PanTilt=None, Zoom=_status(x=0.5)),
        MoveStatus=_status(PanTilt="UNKNOWN", Zoom="MOVING"),
    )
    assert values_of(only_zoom) == ((None, None, 0.5, True), (MISSING, MISSING, 0, 0))
    unknown = _status(MoveStatus=_status(PanTilt="UNKNOWN", Zoom=None))
    assert values_of(unknown)[0][3] is None
    odd = _status(Position=_status(PanTilt=_status(x=float("nan"), y="1"), Zoom=None))
    assert values_of(odd)[0] == (None,) * 4


def test_the_cameras_time_is_utc_to_the_microsecond() -> None:
    at = datetime(2026, 11, 25, 12, 0, 0, 123_456, tzinfo=UTC)
    assert time_of(_status(UtcTime=at)) == 1_795_608_000_123_456_000
    assert time_of(_status(UtcTime=at.replace(tzinfo=None))) == 1_795_608_000_123_456_000
    assert time_of(_status(UtcTime=None)) is time_of(_status()) is None


def test_an_account_has_a_name_and_a_password() -> None:
    with pytest.raises(ValidationError, match="go together"):
        _config(80, password=None)


def test_without_the_extra_one_line_names_the_command_that_installs_it() -> None:
    code = (
        "import sys\nsys.modules['onvif'] = None\n"
        "from tocsin.sdk import load_driver\nfrom tocsin.errors import TocsinError\n"
        "try: load_driver('onvif')\n"
        "except TocsinError as exc: print(exc.message, '|', exc.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "pip install 'tocsin[onvif]'" in done.stdout
