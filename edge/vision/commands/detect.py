"""`tocsin vision detect`: what a model finds in a picture or video, drawn."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from edge.vision.commands.draft import refuse_source
from edge.vision.commands.drawing import DRAW, Writer, draw, save
from edge.vision.commands.options import DEFAULT_MODEL, Model, Numbers, Variant
from edge.vision.commands.progress import progress
from edge.vision.evaluate.looking import read_picture
from edge.vision.frame import Picture
from edge.vision.nn.load import load_detector
from edge.vision.nn.sight import Sight
from edge.vision.observation import Box
from edge.vision.pipeline.develop import MIN_SIDE, as_bgr
from edge.vision.sources.capture import Capture
from edge.vision.sources.picture_file import MAX_FILE_BYTES, SUFFIXES
from edge.vision.sources.source import Reject
from edge.vision.sources.video_file import open_video
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.errors import LinkError, PictureError

_FPS = 25.0  # of a file that does not say
_DEEP = "thermal pictures: tocsin vision watch FOLDER --kelvin 0.01 (or 0.04); others: save them with 8 bits"
_ANOTHER = "the path of a picture or a video"
_KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
_MEND = {
    "truncated": "its end is missing: copy the file again",
    "damaged": "bytes in its middle are missing or were overwritten: copy the file again",
    "too-large": f"at most 50 million px and {MAX_FILE_BYTES >> 20} MiB",
    "too-small": f"at least {MIN_SIDE} px a side",
    "unreadable": f"a picture ({', '.join(sorted(SUFFIXES))}) of 8 bits, or a video",
}


class FrameFound(msgspec.Struct, frozen=True):
    """One line of `--json`: one frame of a video, or the picture."""

    file: str
    frame: int
    at_s: float | None  # of a video
    width: int
    height: int
    scores: dict[str, float]
    boxes: tuple[Box, ...]
    model: str
    version: str
    skipped: str = ""  # why this frame was not looked at


class Look:
    """One file through one model."""

    def __init__(self, sight: Sight, file: Path, least: float) -> None:
        self._sight, self._file, self._least = sight, file, least

    def at(self, picture: Picture | str, index: int, at_s: float | None) -> FrameFound:
        """One frame, or why there is none."""
        model = self._sight.detector
        if not isinstance(picture, str) and min(picture.shape[:2]) < MIN_SIDE:
            picture = Reject.TOO_SMALL.value
        if isinstance(picture, str):
            return FrameFound(
                str(self._file), index, at_s, 0, 0, {}, (), model.name, model.version, picture
            )
        at_ns = round((index if at_s is None else at_s) * 1e9)
        found = self._sight.see(picture, at_ns, learn=False)  # nobody says here what may burn
        boxes = tuple(b for b in found.boxes if b.score >= self._least)
        height, width = picture.shape[:2]
        return FrameFound(
            str(self._file), index, at_s, width, height, found.scores, boxes, model.name, model.version
        )  # fmt: skip


def detect(
    file: Annotated[Path, typer.Argument(help="Picture or video.")],
    out: Annotated[
        Path | None,
        typer.Option("--draw", help="Write it with its boxes drawn: a picture, or a video (.mp4, .avi)."),
    ] = None,
    model: Model = DEFAULT_MODEL,
    variant: Variant = Numbers.AUTO,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="Least score of a box; the model's own least counts too.")
    ] = 0.0,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Look at each n-th frame of a video.")
    ] = 1,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Find what a model knows in a picture or video; --draw shows it. With --json one line a frame."""
    _demand_file(file)
    if out is not None:
        refuse_source(out, file, DRAW)
    still = file.suffix.lower() in SUFFIXES
    sight = Sight(load_detector(model, variant=variant.value), all_tiles=still)
    look = Look(sight, file, threshold)
    if still:
        _picture(look, file, out, as_json)
    else:
        _video(look, file, out, every, as_json)


def _demand_file(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as exc:
        why = "no such file" if isinstance(exc, FileNotFoundError) else exc.strerror or str(exc)
        raise PictureError(f"{file}: {why}", hint=_ANOTHER) from exc
    if stat.S_ISDIR(mode):
        text = f"{file} is a folder"
        raise PictureError(text, hint="its frames as a camera: tocsin vision watch")
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "device")
        raise PictureError(f"{file} is a {kind}, not a file", hint=_ANOTHER)


def _picture(look: Look, file: Path, out: Path | None, as_json: bool) -> None:
    picture = read_picture(file, upright=True)
    if isinstance(picture, str):
        if picture == Reject.SIXTEEN_BIT:
            raise PictureError(f"{file}: 16-bit, and a model looks at 8 bits", hint=_DEEP)
        raise PictureError(f"{file}: {picture}", hint=_MEND[picture])
    found = look.at(picture, 0, None)
    if out is not None:
        save(out, draw(picture, found.boxes))
    scores = ", ".join(f"{name} {score:.2f}" for name, score in found.scores.items())
    lines = [f"{found.width} x {found.height} px: {scores}"]
    lines += [
        f"{b.label} {b.score:.2f} at {b.x:.0f},{b.y:.0f} size {b.width:.0f} x {b.height:.0f}"
        for b in found.boxes
    ]
    output.emit(found, as_json=as_json, human="\n".join(lines))


def _video(look: Look, file: Path, out: Path | None, every: int, as_json: bool) -> None:
    try:
        capture = open_video(file)
    except LinkError as exc:
        raise PictureError(exc.message, hint=exc.hint or _MEND["unreadable"]) from exc
    writer: Writer | None = None
    tally = Tally()
    try:
        with progress(file.name, capture.frames or None) as step:
            fps = capture.fps or _FPS
            shown: tuple[Box, ...] = ()
            for index, picture in _frames(capture, step):
                if index % every == 0:
                    found = look.at(picture, index, index / fps)
                    tally.count(found)
                    shown = found.boxes
                    if as_json:
                        output.stream_line(found)
                if out is not None and not isinstance(picture, str):
                    writer = writer or Writer(out, fps, picture)
                    writer.add(draw(picture, shown))
    except BaseException:
        if tally.looked and not as_json:
            output.note(f"stopped after {tally.text()}")
        if writer is not None:
            output.note(f"stopped: {writer.stop()}")
        raise
    finally:
        capture.close()
    if tally.looked == 0:
        if writer is not None:
            writer.drop()
        raise PictureError(f"{file} has no frame that can be looked at", hint=_MEND["unreadable"])
    if writer is not None:
        writer.keep()
    if not as_json:
        output.emit(None, as_json=False, human=tally.text())


def _frames(capture: Capture, step: Callable[[], None]) -> Iterator[tuple[int, Picture | str]]:
    index = 0
    while capture.grab():
        raw = capture.retrieve()
        if isinstance(raw, Reject):
            yield index, raw.value
        else:
            yield index, as_bgr(raw) if raw.dtype == np.uint8 else Reject.UNREADABLE.value
        index += 1
        step()


class Tally:
    """Of a video, for people."""

    def __init__(self) -> None:
        self.looked = self._skipped = self._boxes = 0
        self._best: dict[str, tuple[float, FrameFound]] = {}

    def count(self, found: FrameFound) -> None:
        """One frame."""
        self._skipped += bool(found.skipped)
        self.looked += not found.skipped
        self._boxes += len(found.boxes)
        for name, score in found.scores.items():
            if name not in self._best or score > self._best[name][0]:
                self._best[name] = (score, found)

    def text(self) -> str:
        """The summary."""
        lines = [f"{self.looked} frames, {self._boxes} boxes, {self._skipped} frames skipped"]
        lines += [
            f"{name}: highest score {score:.2f} in frame {found.frame} at {found.at_s:.1f} s"
            for name, (score, found) in self._best.items()
        ]
        return "\n".join(lines)
