"""RTSP cameras in a process of their own, and a pipeline that runs while a test watches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from edge.vision.frame import Frame
from edge.vision.observation import Observation
from edge.vision.pipeline.camera import Camera, Change
from edge.vision.pipeline.health import CameraHealth
from edge.vision.pipeline.pace import Rates
from edge.vision.pipeline.pipeline import Pipeline
from edge.vision.pipeline.worker import Look, Looked, Result
from edge.vision.sources.address import Address
from edge.vision.sources.rtsp import RtspSource
from tests.edge.vision.scenes import number_of
from tocsin.sdk import SystemClock
from tocsin.testing import Process, run_process

EVERY = Rates(idle_fps=1000.0)


class Server:
    """The other side."""

    def __init__(self, process: Process, ports: list[int]) -> None:
        self._process, self.ports = process, ports

    def url(self, camera: int = 0) -> str:
        return f"rtsp://127.0.0.1:{self.ports[camera]}/live"

    def turn(self, mode: str, camera: int = 0) -> None:
        before = len(self._process.stdout)
        self._process.write_line(f"{camera} {mode}")
        self._process.wait_line(f'"{camera} {mode}"')
        del self._process.stdout[before:]

    @property
    def pid(self) -> int:
        return self._process.pid


@contextmanager
def rtsp_server(*args: str) -> Iterator[Server]:
    with run_process([sys.executable, "-m", "tests.edge.vision.rtsp_server", *args]) as process:
        yield Server(process, json.loads(process.wait_line("ready", 60.0))["ports"])


def rtsp_camera(name: str, url: str, username: str = "", password: str = "", rates: Rates = EVERY) -> Camera:  # fmt: skip
    return Camera(name, lambda _: RtspSource(Address(url, username, password)), rates)


def read_number(frame: Frame) -> Looked:
    """Tells the number in the picture as a score."""
    assert frame.picture is not None
    width, height = frame.size
    score = {"number": float(number_of(frame.picture))}
    seen = Observation(frame.camera, frame.index, frame.ts_ns, width, height, score)
    return Looked((seen,))


class Watched:
    """What came out so far."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.results: dict[str, list[Result]] = defaultdict(list)
        self.changes: list[Change] = []
        self.over = asyncio.Event()

    def health(self, camera: str) -> CameraHealth:
        return next(h for h in self.pipeline.health() if h.camera == camera)

    def numbers(self, camera: str) -> list[int]:
        return [round(r.looked.observations[0].scores["number"]) for r in self.results[camera] if r.looked.observations]  # fmt: skip

    async def take_results(self) -> None:
        while (result := await self.pipeline.result()) is not None:
            self.results[result.frame.camera].append(result)
        self.over.set()

    async def take_changes(self) -> None:
        while (change := await self.pipeline.change()) is not None:
            self.changes.append(change)


@asynccontextmanager
async def watched(cameras: Sequence[Camera], look: Look = read_number, workers: int = 2) -> AsyncIterator[Watched]:  # fmt: skip
    async with Pipeline(cameras, look, SystemClock(), workers=workers) as pipeline:
        seen = Watched(pipeline)
        tasks = [asyncio.create_task(seen.take_results()), asyncio.create_task(seen.take_changes())]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
