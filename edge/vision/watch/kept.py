"""The file of `tocsin vision watch --state`: what a camera taught, for the next run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from tocsin.errors import FolderError, UsageError

_KIND, _VERSION = "vision-watch", 1
_HINT = "another path for --state, or remove it: the camera is then learned anew"


class Kept(msgspec.Struct, frozen=True):
    """Thresholds and what goes with them, and what is usual by spectrum."""

    watch: Watch = Watch()
    heat: dict[str, Packed] = {}


class _Head(msgspec.Struct, frozen=True):
    """The first line; `sha256` is that of all after it."""

    tocsin: str
    version: int
    sha256: str


def write_kept(path: Path, kept: Kept) -> None:
    """Replaces the file as a whole.

    Raises:
        FolderError: it cannot be written.
    """
    body = msgspec.json.encode(kept)
    head = _Head(_KIND, _VERSION, hashlib.sha256(body).hexdigest())
    try:
        write_durably(path, msgspec.json.encode(head) + b"\n" + body + b"\n")
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
        first, _, rest = path.read_bytes().partition(b"\n")
        head = msgspec.json.decode(first, type=_Head)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint=_HINT) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} is no state of `tocsin vision watch`: {exc}", hint=_HINT) from exc
    if head.tocsin != _KIND:
        raise UsageError(f"{path} is a file of another kind: {head.tocsin!r}", hint=_HINT)
    if head.version != _VERSION:
        text = f"{path} has version {head.version} of its form; version {_VERSION} is read here"
        raise UsageError(text, hint=_HINT)
    body = rest.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest() != head.sha256:
        raise UsageError(f"{path} is damaged: its SHA-256 is not the one it names", hint=_HINT)
    try:
        return msgspec.json.decode(body, type=Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} does not hold what it should: {exc}", hint=_HINT) from exc
