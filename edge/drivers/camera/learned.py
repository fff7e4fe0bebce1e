"""What each camera learned and what it follows, kept over a restart: one file a camera, and one more of a thermal one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.durable import write_durably
from edge.sealed import HEAD, sealed, unsealed
from edge.vision.judge.settings import Mask
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from edge.vision.packed_heat import PackedHeat
from edge.vision.watch.answer import Answer
from tocsin.contract.evidence import Detection

MAX_KNOWN = 64  # detections of one camera whose verdict may still come
MAX_BYTES = 16 << 20  # of one file
EVERY_NS = 600_000_000_000  # so often what only grows is written; detections and verdicts at once
WARMTH_EVERY_NS = 3_600_000_000_000
_KIND, _VERSION = "camera-memory", 1
_WARMTH_KIND, _WARMTH_VERSION = "camera-warmth", 1
_T = TypeVar("_T")


class Known(msgspec.Struct, frozen=True):
    """A detection and the track it was of."""

    track: int
    told: Detection
    since_ns: int = 0  # when it was confirmed


class Learned(msgspec.Struct, frozen=True):
    """Of one camera. `masks`: what people drew, besides those of the configuration; None: nothing yet."""

    watch: Watch = Watch()
    known: dict[str, Known] = {}  # by detection
    masks: tuple[Mask, ...] | None = None
    heat: dict[str, Packed] = {}  # of its places while nothing burns, by spectrum
    answers: tuple[Answer, ...] = ()  # of people, that no look has taken yet


class Places(msgspec.Struct, frozen=True):
    """The two files of a camera."""

    learned: Path
    warmth: Path


Where = Callable[[str], Places | None]


def places(state_dir: Path | None, folder: Callable[[str], Path | None]) -> Where:
    """In `state_dir`, else in the folder that the gateway has for each camera."""

    def where(camera: str) -> Places | None:
        if state_dir is not None:
            return Places(state_dir / f"{camera}.json", state_dir / f"{camera}.warmth")
        own = folder(camera)
        return None if own is None else Places(own / "learned.json", own / "warmth")

    return where


class LearnedFiles:
    """Each written as a whole. A camera without a place keeps nothing. `count` adds to a counter."""

    def __init__(
        self, where: Where, log: logging.Logger, count: Callable[[str, int], None]
    ) -> None:
        self._where, self._log, self._count = where, log, count
        self._said = False
        self._written: dict[str, tuple[int, dict[str, Known], dict[str, int]]] = {}
        self._warmth_written: dict[str, tuple[int, bool]] = {}

    def read(self, camera: str) -> tuple[Learned, str]:
        """Of the last run, and why not: a broken file is set aside (`.broken`), and the camera begins anew."""
        found, why = self._read(camera, "learned", _learned)
        return found or Learned(), why

    def read_warmth(self, camera: str) -> tuple[PackedHeat | None, str]:
        """As `read`, of a thermal camera."""
        return self._read(camera, "warmth", _warmth)

    def _read(self, camera: str, what: str, decode: Callable[[bytes], _T]) -> tuple[_T | None, str]:
        where = self._where(camera)
        if where is None:
            return None, ""
        path: Path = getattr(where, what)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES} bytes")
            return decode(path.read_bytes()), ""
        except FileNotFoundError:
            return None, ""
        except OSError as exc:
            why = f"{path} cannot be read: {exc.strerror or exc}"
        except ValueError as exc:
            why = f"{path} {exc}"
            with suppress(OSError):
                path.replace(path.with_name(f"{path.name}.broken"))
        self._count("memory-unreadable", 1)
        self._log.error("camera %s learns anew: %s", camera, why)
        return None, why

    def due(self, camera: str, learned: Learned, now_ns: int) -> bool:
        """Whether there is so much news that it must be written: detections, or what is usual was forgotten."""
        then_ns, known, frames = self._written.get(camera, (now_ns - EVERY_NS, {}, {}))
        now = _frames(learned)
        fewer = any(now.get(spectrum, 0) < count for spectrum, count in frames.items())
        return fewer or not 0 <= now_ns - then_ns < EVERY_NS or dict(learned.known) != known

    def write(self, camera: str, learned: Learned, now_ns: int) -> None:
        """On the disk when it returns; a disk that refuses is said once."""
        where = self._where(camera)
        known = dict(list(learned.known.items())[-MAX_KNOWN:])
        body = msgspec.json.encode(msgspec.structs.replace(learned, known=known))
        if where is not None and self._write(camera, where.learned, sealed(_KIND, _VERSION, body)):
            self._written[camera] = now_ns, known, _frames(learned)

    def warmth_due(self, camera: str, knows: bool, now_ns: int) -> bool:
        """A map of an hour is as good an hour later; one that was forgotten must not come back."""
        then_ns, knew = self._warmth_written.setdefault(camera, (now_ns, True))
        return knew != knows or (knows and not 0 <= now_ns - then_ns < WARMTH_EVERY_NS)

    def write_warmth(self, camera: str, warmth: PackedHeat | None, now_ns: int) -> None:
        """As `write`; None: there is none any more."""
        where = self._where(camera)
        if where is None:
            return
        data = b""
        if warmth is not None:
            data = sealed(_WARMTH_KIND, _WARMTH_VERSION, msgspec.msgpack.encode(warmth))
        if self._write(camera, where.warmth, data):
            self._warmth_written[camera] = now_ns, warmth is not None

    def _write(self, camera: str, path: Path, data: bytes) -> bool:
        try:
            if len(data) > MAX_BYTES:
                raise OSError(f"{len(data)} bytes of camera {camera}, and {MAX_BYTES} are the most")
            if data:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_durably(path, data)
            else:
                path.unlink(missing_ok=True)
        except OSError as exc:
            self._count("memory-not-kept", 1)
            if not self._said:
                self._log.error("what cameras learn cannot be kept: %s", exc)
            self._said = True
            return False
        self._said = False
        return True


def _frames(learned: Learned) -> dict[str, int]:
    return {spectrum: packed.frames for spectrum, packed in learned.heat.items()}


def _learned(data: bytes) -> Learned:
    """Files without a first line of their own are those of an earlier version."""
    body = unsealed(data, _KIND, _VERSION) if data.startswith(HEAD) else data
    try:
        return msgspec.json.decode(body, type=Learned)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ValueError(f"does not hold what it should: {exc}") from exc


def _warmth(data: bytes) -> PackedHeat:
    try:
        return msgspec.msgpack.decode(
            unsealed(data, _WARMTH_KIND, _WARMTH_VERSION), type=PackedHeat
        )
    except msgspec.MsgspecError as exc:
        raise ValueError(f"does not hold what it should: {exc}") from exc
