"""The file of `tocsin vision watch --state`: what a camera taught, for the next run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.sealed import sealed, unsealed
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from edge.vision.packed_heat import PackedHeat
from tocsin.errors import FolderError, UsageError

_KIND, _VERSION = "vision-watch", 1
_HINT = "another path for --state, or remove it: the camera is then learned anew"


class Kept(msgspec.Struct, frozen=True):
    """Thresholds and what goes with them, and what is usual: by spectrum for a model, by the hour for a thermal camera."""

    watch: Watch = Watch()
    heat: dict[str, Packed] = {}
    warmth: PackedHeat | None = None


def write_kept(path: Path, kept: Kept) -> None:
    """Replaces the file as a whole.

    Raises:
        FolderError: it cannot be written.
    """
    try:
        write_durably(path, sealed(_KIND, _VERSION, msgspec.json.encode(kept)))
    except OSError as exc:
        raise FolderError(
            f"{path} cannot be written: {exc.strerror or exc}", hint="another path for --state"
        ) from exc


def read_kept(path: Path) -> Kept | None:
    """None: it is not there yet.

    Raises:
        UsageError: it is no such file, of another version, or damaged.
    """
    try:
        body = unsealed(path.read_bytes(), _KIND, _VERSION)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint=_HINT) from exc
    except ValueError as exc:
        raise UsageError(f"{path} {exc}", hint=_HINT) from exc
    try:
        return msgspec.json.decode(body, type=Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} does not hold what it should: {exc}", hint=_HINT) from exc
