"""One camera's thread that asks where it looks, again and again. Frames take what is known: they never wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from edge.vision.pipeline.retry import Retry
from edge.vision.pose import Mount, Pose
from edge.vision.ptz.course import Told, pose_at, told
from edge.vision.ptz.head import Head
from tocsin.errors import DriverError, DriverReason, LinkError, TocsinError
from tocsin.sdk import Clock

_KEPT = 64
_KNOWN_S, _KNOWN_PERIODS = 10.0, 3


class Follower:
    """`tell` is called in its thread, once when the head fails and once (with None) when it answers again."""

    def __init__(
        self,
        camera: str,
        head: Head,
        mount: Mount,
        clock: Clock,
        tell: Callable[[TocsinError | None], object],
        *,
        every_s: float = 1.0,
    ) -> None:
        self._camera, self._head, self._mount = camera, head, mount
        self._clock, self._tell, self._every_s = clock, tell, every_s
        self._known_s = max(_KNOWN_S, _KNOWN_PERIODS * every_s)
        self._course: deque[Told] = deque(maxlen=_KEPT)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._retry, self._well = Retry(), True
        self._log = logging.getLogger("tocsin.vision")
        self._thread = threading.Thread(target=self._run, name=f"ptz-{camera}", daemon=True)

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Asks no more; a question under way ends."""
        self._stop.set()
        self._head.end()

    def join(self, timeout_s: float) -> None:
        """Waits for its end."""
        self._thread.join(timeout_s)

    def pose(self, ts_ns: int, *, moved: bool = False) -> Pose | None:
        """Of a frame taken then; None: not known. From any thread, at once."""
        with self._lock:
            course = tuple(self._course)
        return pose_at(course, ts_ns, self._mount, known_s=self._known_s, moved=moved)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                began_ns = self._clock.mono_ns()
                failed_s = self._turn()
                spent_s = (self._clock.mono_ns() - began_ns) / 1e9
                self._stop.wait(max(failed_s, self._every_s - spent_s, 0.0))
        finally:
            self._head.close()

    def _turn(self) -> float:
        """One question; after how many seconds at the soonest the next may come."""
        asked_ns = (
            self._clock.now_ns()
        )  # it was there then or later: the age is never told too small
        try:
            answer = self._head.ask()
        except TocsinError as exc:
            return self._failed(exc)
        except Exception as exc:  # noqa: BLE001 - this is the thread's supervisor
            if self._well:
                self._log.exception("asking camera %s where it looks failed by a mistake", self._camera)  # fmt: skip
            return self._failed(LinkError(DriverReason.GARBAGE, f"{type(exc).__name__} by a mistake of ours"))  # fmt: skip
        with self._lock:
            before = self._course[-1] if self._course else None
            if before is not None and asked_ns - before.ts_ns > self._known_s * 1e9:
                before = None
            self._course.append(told(before, asked_ns, answer.turned, answer.moving))
        if not self._well:
            self._well = True
            self._tell(None)
        return 0.0

    def _failed(self, error: TocsinError) -> float:
        self._head.close()
        if self._well and not self._stop.is_set():
            self._well = False
            self._tell(error)
        reason = error.reason if isinstance(error, DriverError) else DriverReason.PERMISSION
        return max(self._retry.next_delay_s(reason), self._every_s)
