"""What each camera learned and what it follows, kept over a restart: one small file a camera."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.vision.judge.settings import Mask
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from tocsin.contract.evidence import Detection

MAX_KNOWN = 64  # detections of one camera whose verdict may still come


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


class LearnedFiles:
    """In `folder`, or nowhere. A file that cannot be read is set aside, said, and learned anew."""

    def __init__(self, folder: Path | None, log: logging.Logger) -> None:
        self._folder, self._log = folder, log
        self._said = False

    def read(self, camera: str) -> Learned:
        """Of the last run."""
        if self._folder is None:
            return Learned()
        path = self._path(camera)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Learned)
        except FileNotFoundError:
            return Learned()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
            self._log.error(
                "what camera %s learned cannot be read (%s); it learns anew", camera, exc
            )
            return Learned()

    def write(self, camera: str, learned: Learned) -> None:
        """On the disk when it returns; a disk that refuses is said once."""
        if self._folder is None:
            return
        known = dict(list(learned.known.items())[-MAX_KNOWN:])
        data = msgspec.json.encode(msgspec.structs.replace(learned, known=known))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_durably(self._path(camera), data)
        except OSError as exc:
            if not self._said:
                self._log.error("what cameras learn cannot be kept in %s: %s", self._folder, exc)
            self._said = True
        else:
            self._said = False

    def _path(self, camera: str) -> Path:
        assert self._folder is not None  # noqa: S101 - asked before
        return self._folder / f"{camera}.json"
