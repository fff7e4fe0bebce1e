"""How a camera fares, counted by its thread and the workers, read by anybody."""

from __future__ import annotations

import threading
from collections import Counter, deque
from enum import StrEnum

import msgspec

from edge.vision.observation import Quality
from edge.vision.pipeline.pace import Attention
from edge.vision.sources.damage import Damage
from tocsin.errors import TocsinError

STALLED_S = 5.0
_WINDOW_NS = 10_000_000_000
_LATENCIES = 256
_NS = 1_000_000_000
UNJUDGED_AFTER = 5
"""Frames in a row that were refused, or that looking failed at, until the camera counts as one that cannot be judged."""
NO_PICTURE, FAILED = "no-picture", "failed"


class CameraState(StrEnum):
    """Stable; shown to people."""

    OPENING = "opening"  # for the first time
    ONLINE = "online"
    STALLED = "stalled"  # connected, no frame for 5 s
    OFFLINE = "offline"  # it failed and is tried again
    ENDED = "ended"  # a file that was seen to its end


class CameraHealth(msgspec.Struct, frozen=True):
    """One camera at one moment. Counters run from the start of the pipeline."""

    camera: str
    state: CameraState
    attention: Attention
    fps: float  # frames that came, over 10 s
    looked_fps: float  # of them looked at
    age_s: float | None  # of the newest frame; None: none yet
    width: int  # of the last picture, px; 0: none yet
    height: int
    quality: Quality | None  # of the last picture
    frames: int
    looked: int
    passed_over: int  # came while nobody wanted one; by design
    rejected: dict[str, int]  # by reason
    failed_looks: int  # a model or detector refused them, or broke
    unjudged: str  # why the newest cannot be judged: a `Quality`, a `Reject`, `NO_PICTURE`, `FAILED`; empty when it can
    unjudged_why: str  # of `FAILED`: what was said
    suspect: Damage | None  # how all its pictures are written wrong, which are taken all the same
    reconnects: int
    resolution_changes: int
    moved: int
    latency_p50_ms: float | None  # frame there to looked at, of the last 256
    latency_p99_ms: float | None
    error: str  # why it is not online; empty when it is


class Health:
    """Of one camera. All methods may be called from any thread."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._lock = threading.Lock()
        self._state = CameraState.OPENING
        self._error = ""
        self._newest_ns: int | None = None
        self._came: deque[int] = deque(maxlen=2048)
        self._looks: deque[int] = deque(maxlen=2048)
        self._latencies_ns: deque[int] = deque(maxlen=_LATENCIES)
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._size = (0, 0)
        self._quality: Quality | None = None
        self._resolution_changes = 0
        self._is_failing = False
        self._in_a_row = 0  # refused, or failed
        self._unjudged, self._why = NO_PICTURE, ""
        self._suspect: Damage | None = None

    def online(self) -> bool:
        """The first picture since it was opened that can be looked at; True when it was not online before."""
        with self._lock:
            changed = self._state is not CameraState.ONLINE
            self._state, self._error = CameraState.ONLINE, ""
            return changed

    def offline(self, error: TocsinError, *, opened: bool) -> bool:
        """It failed, once it was opened or before; True when that is news, or why it failed is."""
        told = f"{error.message} ({error.hint})" if error.hint else error.message
        with self._lock:
            self._counts["reconnects"] += opened
            changed = self._state is not CameraState.OFFLINE or self._error != told
            self._state, self._error = CameraState.OFFLINE, told
            return changed

    def ended(self) -> None:
        """A file has no more frames."""
        with self._lock:
            self._state = CameraState.ENDED

    def came(self, mono_ns: int, wanted: bool) -> int:
        """A frame is there; its index."""
        with self._lock:
            self._newest_ns = mono_ns
            self._came.append(mono_ns)
            self._counts["frames"] += 1
            self._counts["passed_over"] += not wanted
            return self._counts["frames"] - 1

    def rejected(self, reason: str) -> None:
        """It cannot be looked at."""
        with self._lock:
            self._rejected[reason] += 1
            self._not_judged(reason, "")

    def takes(self, suspect: Damage | None) -> None:
        """Pictures that are written wrong in this way are looked at from now on; None: none are."""
        with self._lock:
            self._suspect = suspect

    def developed(self, size: tuple[int, int], quality: Quality, moved: bool, changes: int) -> None:
        """What it looks like."""
        with self._lock:
            self._size, self._quality, self._resolution_changes = size, quality, changes
            self._counts["moved"] += moved
            if quality is not Quality.GOOD:
                self._rejected[quality.value] += 1
                self._unjudged, self._why = quality.value, ""

    def looked(self, came_ns: int, now_ns: int) -> None:
        """It was looked at."""
        with self._lock:
            self._looks.append(now_ns)
            self._latencies_ns.append(now_ns - came_ns)
            self._counts["looked"] += 1
            self._is_failing = False
            self._in_a_row = 0
            if self._quality is Quality.GOOD:
                self._unjudged, self._why = "", ""

    def failed(self, why: str) -> bool:
        """Looking at it failed; True when that is news."""
        with self._lock:
            news, self._is_failing = not self._is_failing, True
            self._counts["failed_looks"] += 1
            self._not_judged(FAILED, why)
            return news

    def _not_judged(self, reason: str, why: str) -> None:
        self._in_a_row += 1
        if self._in_a_row >= UNJUDGED_AFTER:
            self._unjudged, self._why = reason, why

    def snapshot(self, mono_ns: int, attention: Attention) -> CameraHealth:
        """All of it."""
        with self._lock:
            age_s = None if self._newest_ns is None else (mono_ns - self._newest_ns) / _NS
            stalled = self._state is CameraState.ONLINE and age_s is not None and age_s > STALLED_S
            state = CameraState.STALLED if stalled else self._state
            sorted_ns = sorted(self._latencies_ns)
            return CameraHealth(
                camera=self._camera,
                state=state,
                attention=attention,
                fps=_rate(self._came, mono_ns),
                looked_fps=_rate(self._looks, mono_ns),
                age_s=age_s,
                width=self._size[0],
                height=self._size[1],
                quality=self._quality,
                frames=self._counts["frames"],
                looked=self._counts["looked"],
                passed_over=self._counts["passed_over"],
                rejected=dict(self._rejected),
                failed_looks=self._counts["failed_looks"],
                unjudged=self._unjudged,
                unjudged_why=self._why,
                suspect=self._suspect,
                reconnects=self._counts["reconnects"],
                resolution_changes=self._resolution_changes,
                moved=self._counts["moved"],
                latency_p50_ms=_at(sorted_ns, 0.5),
                latency_p99_ms=_at(sorted_ns, 0.99),
                error=self._error or (f"no frame for {age_s:.0f} s" if stalled and age_s else ""),
            )


def _rate(moments: deque[int], now_ns: int) -> float:
    """Over the last 10 s, or since the first of them; rarer ones count 0.1 a second each."""
    recent = sum(1 for moment in moments if now_ns - moment <= _WINDOW_NS)
    return round(recent * _NS / _WINDOW_NS, 2)


def _at(sorted_ns: list[int], share: float) -> float | None:
    if not sorted_ns:
        return None
    return round(sorted_ns[min(len(sorted_ns) - 1, int(share * len(sorted_ns)))] / 1e6, 2)
