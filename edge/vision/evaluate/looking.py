"""Every labelled picture through a model, each camera's frames in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from edge.vision.evaluate.coco import Labelled
from edge.vision.evaluate.halves import LEAST_QUIET, for_calibration
from edge.vision.evaluate.recorded import Recorded, Region
from edge.vision.frame import Picture
from edge.vision.nn.detector import Detector, Found
from edge.vision.nn.fit import Mask
from edge.vision.nn.odds import Odds
from edge.vision.nn.sight import Sight
from edge.vision.pipeline.develop import MIN_SIDE, as_bgr
from edge.vision.sources.picture_file import decode_file, read_file
from edge.vision.sources.source import Reject
from tocsin.errors import DatasetError

MISSING = "missing"
FOLDER = "--images is the folder that the file names of the COCO file start from"
_SECOND_NS = 1_000_000_000


class Seen(msgspec.Struct, frozen=True):
    """A labelled picture and what the model found in it; `skipped` says why it was not looked at."""

    truth: Labelled
    found: Found | None = None
    skipped: str = ""


def missing(pictures: Sequence[Labelled], folder: Path) -> list[str]:
    """Files that are not there; `look` skips them.

    Raises:
        DatasetError: none is there.
    """
    absent = [p.file for p in pictures if not _is_file(folder / p.file)]
    if absent and len(absent) == len(pictures):
        raise DatasetError(
            f"not one of {len(pictures)} pictures is in {folder}; the first is {absent[0]}",
            hint=FOLDER,
        )
    return absent


def look(
    detector: Detector,
    pictures: Sequence[Labelled],
    folder: Path,
    *,
    threads: int,
    step: Callable[[], None],
) -> list[Seen]:
    """In the order of `pictures` (by group and name). `step` is called for each, from several threads.

    Raises:
        ModelError: the graph failed.
    """
    cameras = [list(frames) for _, frames in groupby(pictures, key=lambda p: p.group)]
    with ThreadPoolExecutor(threads, "vision-eval") as pool:
        each = pool.map(lambda frames: _camera(detector, frames, folder, step), cameras)
        return [seen for camera in each for seen in camera]


def _camera(
    detector: Detector, frames: Sequence[Labelled], folder: Path, step: Callable[[], None]
) -> list[Seen]:
    # Pictures of a labelled set are taken as far apart as the model wants them.
    table = detector.settings.reference
    apart_ns = int(max(1.0, table.every_s if table else 0.0) * _SECOND_NS)
    usual, taught, out = *_usual(detector, frames, folder, apart_ns), []
    sight = Sight(detector, all_tiles=True)
    for i, truth in enumerate(frames):
        picture = _picture(truth, folder)
        if isinstance(picture, str):
            out.append(Seen(truth, skipped=picture))
        else:
            limit = usual.limit(without=taught.get(i))
            found = sight.see(picture, i * apart_ns, mask_of(truth), learn=False, usual=limit)
            out.append(Seen(truth, msgspec.structs.replace(found, odds=None)))
        step()
    return out


def _usual(
    detector: Detector, frames: Sequence[Labelled], folder: Path, apart_ns: int
) -> tuple[Recorded, dict[int, int]]:
    """Heat maps of the frames that teach, and the number of each; a frame is never compared with itself."""
    if sum(t.quiet for t in frames) < LEAST_QUIET:
        return Recorded(), {}
    usual, sight, out = Recorded(), Sight(detector, all_tiles=True), dict[int, int]()
    for i, truth in enumerate(frames):
        picture = _picture(truth, folder)
        if not isinstance(picture, str):
            found = sight.see(picture, i * apart_ns, learn=False)
            if found.odds is None:
                return usual, {}
            if for_calibration(truth.file, truth.quiet):
                unsure = _unsure(detector, picture, truth, found.odds)
                number = usual.add(found.odds, unsure)
                if number is not None:
                    out[i] = number
    return usual, out


def _unsure(detector: Detector, picture: Picture, truth: Labelled, odds: Odds) -> Region | None:
    """Places of the heat map in ignored regions."""
    mask = mask_of(truth)
    if mask is None:
        return None
    _, rows, columns = odds.shape
    fitted, stride = detector.fit(picture), detector.settings.head.stride
    return ~fitted.shown(rows, columns, stride, mask) & fitted.shown(rows, columns, stride, None)


def _picture(truth: Labelled, folder: Path) -> Picture | str:
    path = folder / truth.file
    if not _is_file(path):
        return MISSING
    picture = read_picture(path)
    if not isinstance(picture, str) and picture.shape[:2] != (truth.height, truth.width):
        return "another-size"
    return picture


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can have such a name, or nobody may look
        return False


def read_picture(path: Path, *, upright: bool = False) -> Picture | str:
    """(H, W, 3) uint8 BGR, or why not: `too-small`, `too-large`, `truncated`, `damaged`, `unreadable`, `16-bit`.

    `upright`: turned as its EXIF data says; else as its pixels lie, which is what COCO files mean.
    """
    data = read_file(path)
    raw = data if isinstance(data, Reject) else decode_file(data, upright=upright)
    if isinstance(raw, Reject):
        return raw.value
    if raw.dtype != np.uint8:
        deep = raw.dtype == np.uint16
        return (Reject.SIXTEEN_BIT if deep else Reject.UNREADABLE).value
    if min(raw.shape[:2]) < MIN_SIDE:
        return Reject.TOO_SMALL.value
    return as_bgr(raw)


def mask_of(truth: Labelled) -> Mask | None:
    """(H, W) True in the ignored regions, but not where something is labelled."""
    if not truth.ignored:
        return None
    mask = np.zeros((truth.height, truth.width), np.bool_)
    for regions, value in ((truth.ignored, True), (truth.boxes, False)):
        for r in regions:
            x, y = max(0, int(r.x)), max(0, int(r.y))
            mask[y : int(np.ceil(r.y + r.height)), x : int(np.ceil(r.x + r.width))] = value
    return mask
