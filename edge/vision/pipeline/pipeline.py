"""Cameras in, results out on the event loop: starts the threads, watches over them, ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from edge.vision.pipeline.board import Board
from edge.vision.pipeline.camera import Camera, CameraRun, Change
from edge.vision.pipeline.develop import Developer
from edge.vision.pipeline.handover import Handover, Newest
from edge.vision.pipeline.health import CameraHealth, Health
from edge.vision.pipeline.worker import Look, Result, Worker
from tocsin.sdk import Clock

WAITING_RESULTS = 16  # for the event loop; each holds its picture
_CLOSE_S = 10.0  # a read that waits for a camera ends after its own time-out
_CRASHED_WAIT_S = 1.0
_CAMERA = "camera-"


class Pipeline:
    """An async context; call `result` and `change` in tasks of their own.

    `workers`: threads that look, by default one a core. `share_of_core`: of each of them, the rest is left to others.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        look: Look,
        clock: Clock,
        *,
        workers: int | None = None,
        share_of_core: float = 1.0,
    ) -> None:
        self._cameras, self._look, self._clock = cameras, look, clock
        self._workers = workers or len(os.sched_getaffinity(0))
        self._share = share_of_core
        self._board, self._stop = Board(clock), threading.Event()
        self._healths = {c.name: Health(c.name) for c in cameras}
        self._developers = {
            c.name: Developer(c.name, radiometry=c.radiometry, frozen_after_s=c.frozen_after_s)
            for c in cameras
        }
        self._threads: list[threading.Thread] = []
        self._lock, self._running = threading.Lock(), len(cameras)
        self._log = logging.getLogger("tocsin.vision")
        self.crashes = 0

    async def __aenter__(self) -> Self:
        self._results: Handover[Result] = Handover(WAITING_RESULTS)
        self._changes: Newest[Change] = Newest()
        for camera in self._cameras:
            self._board.add(camera.name, camera.rates)
        for camera in self._cameras:
            run = CameraRun(
                camera, self._board, self._healths[camera.name], self._clock, self._tell, self._stop,
            )  # fmt: skip
            self._begin(_CAMERA + camera.name, run.run, self._one_ended)
        for number in range(self._workers):
            worker = Worker(
                self._board, self._developers, self._healths, self._look, self._results.put, self._clock,
                self._stop, self._share,
            )  # fmt: skip
            self._begin(f"vision-{number}", worker.run, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._stop.set()
        self._board.close()
        self._results.close()
        self._changes.close()
        deadline_ns = self._clock.mono_ns() + int(_CLOSE_S * 1e9)
        for thread in self._threads:
            left_s = max(0.0, (deadline_ns - self._clock.mono_ns()) / 1e9)
            await asyncio.to_thread(thread.join, left_s)

    async def result(self) -> Result | None:
        """The next one; None after the end of the last file, or of the pipeline. While nobody asks, at most 16 wait and cameras pass frames over."""
        return await self._results.get()

    async def change(self) -> Change | None:
        """The next time that a camera comes or goes, the newest of each camera; None after the end."""
        return await self._changes.get()

    def health(self) -> list[CameraHealth]:
        """Of every camera, now."""
        now_ns = self._clock.mono_ns()
        return [
            self._healths[c.name].snapshot(now_ns, self._board.attention(c.name))
            for c in self._cameras
        ]

    def cpu_s(self) -> tuple[float, float]:
        """CPU seconds so far of the threads that live: cameras (receiving and decoding), workers (looking)."""
        spent = {True: 0.0, False: 0.0}
        for thread in self._threads:
            if thread.ident is not None and thread.is_alive():
                clock = time.pthread_getcpuclockid(thread.ident)
                spent[thread.name.startswith(_CAMERA)] += time.clock_gettime(clock)
        return spent[True], spent[False]

    def _begin(self, name: str, work: Callable[[], None], after: Callable[[], None] | None) -> None:
        thread = threading.Thread(
            target=self._supervised, args=(name, work, after), name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _supervised(
        self, name: str, work: Callable[[], None], after: Callable[[], None] | None
    ) -> None:
        """A mistake in one camera's code, or in a model's, ends nobody else's work: it is told once, counted, and tried again."""
        done, said = False, False
        while not done and not self._stop.is_set():
            try:
                work()
                done = True
            except Exception as exc:  # noqa: BLE001 - this is the threads' supervisor
                self.crashes += 1
                if not said:
                    self._log.exception("%s failed by a mistake (%s); it is tried again", name, exc)
                said = True
                self._stop.wait(_CRASHED_WAIT_S if after is not None else 0.0)
        if after is not None:
            after()

    def _tell(self, change: Change) -> None:
        self._changes.put(change.camera, change)

    def _one_ended(self) -> None:
        """A camera's thread is over; the last one ends the results."""
        with self._lock:
            self._running -= 1
            if self._running > 0:
                return
        self._results.close()
