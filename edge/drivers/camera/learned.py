"""What each camera learned and what it follows, kept over a restart: one file a camera."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.sealed import HEAD, sealed, unsealed
from edge.vision.judge.settings import Mask
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from tocsin.contract.evidence import Detection

MAX_KNOWN = 64  # detections of one camera whose verdict may still come
MAX_BYTES = 16 << 20  # of one file
EVERY_NS = 600_000_000_000  # so often what only grows is written; detections and verdicts at once
_KIND, _VERSION = "camera-memory", 1
Paths = Callable[[str], Path | None]


class Known(msgspec.Struct, frozen=True):
    """A detection and the track it was of."""

    track: int
    told: Detection
    since_ns: int = 0  # when it was confirmed


class Learned(msgspec.Struct, frozen=True):
    """Of one camera. `masks` None: those of the configuration; else what people drew since."""

    watch: Watch = Watch()
    known: dict[str, Known] = {}  # by detection
    masks: tuple[Mask, ...] | None = None
    heat: dict[str, Packed] = {}  # of its places while nothing burns, by spectrum


def paths(state_dir: Path | None, folder: Callable[[str], Path | None]) -> Paths:
    """Where each camera's file lies: in `state_dir`, else in the folder that the gateway has for the camera."""

    def path(camera: str) -> Path | None:
        if state_dir is not None:
            return state_dir / f"{camera}.json"
        own = folder(camera)
        return None if own is None else own / "learned.json"

    return path


class LearnedFiles:
    """Each written as a whole. A camera without a path keeps nothing. `count` adds to a counter."""

    def __init__(self, path: Paths, log: logging.Logger, count: Callable[[str, int], None]) -> None:
        self._path, self._log, self._count = path, log, count
        self._said = False
        self._written: dict[str, tuple[int, dict[str, Known]]] = {}

    def read(self, camera: str) -> tuple[Learned, str]:
        """Of the last run, and why not: a broken file is set aside (`.broken`), and the camera begins anew."""
        path = self._path(camera)
        if path is None:
            return Learned(), ""
        try:
            return _decoded(_bytes_of(path)), ""
        except FileNotFoundError:
            return Learned(), ""
        except OSError as exc:
            why = f"{path} cannot be read: {exc.strerror or exc}"
        except (ValueError, msgspec.MsgspecError) as exc:
            why = f"{path} {exc}"
            with suppress(OSError):
                path.replace(path.with_name(f"{path.name}.broken"))
        self._count("memory-unreadable", 1)
        self._log.error("camera %s learns anew: %s", camera, why)
        return Learned(), why

    def due(self, camera: str, learned: Learned, now_ns: int) -> bool:
        """Whether there is so much news that it must be written."""
        then_ns, known = self._written.get(camera, (now_ns - EVERY_NS, {}))
        return not 0 <= now_ns - then_ns < EVERY_NS or dict(learned.known) != known

    def write(self, camera: str, learned: Learned, now_ns: int) -> None:
        """On the disk when it returns; a disk that refuses is said once."""
        path = self._path(camera)
        if path is None:
            return
        known = dict(list(learned.known.items())[-MAX_KNOWN:])
        body = msgspec.json.encode(msgspec.structs.replace(learned, known=known))
        data = sealed(_KIND, _VERSION, body)
        try:
            if len(data) > MAX_BYTES:
                raise OSError(f"{len(data)} bytes of camera {camera}, and {MAX_BYTES} are the most")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, data)
        except OSError as exc:
            self._count("memory-not-kept", 1)
            if not self._said:
                self._log.error("what cameras learn cannot be kept: %s", exc)
            self._said = True
        else:
            self._written[camera] = now_ns, known
            self._said = False


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    return path.read_bytes()


def _decoded(data: bytes) -> Learned:
    """Files without a first line of their own are those of an earlier version."""
    body = unsealed(data, _KIND, _VERSION) if data.startswith(HEAD) else data
    try:
        return msgspec.json.decode(body, type=Learned)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ValueError(f"does not hold what it should: {exc}") from exc
