"""Labelled pictures, decoded once; and training samples: crops with what is procedural, made from a seed and a number."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import procedural
from numpy.typing import NDArray

from edge.vision.nn.fit import own_shape, resize
from edge.vision.nn.settings import InputTable
from edge.vision.reference import Reference

INPUT = InputTable(width=512, height=384, layout="nhwc", dtype="uint8", colour="bgr", fit="aspect")
"""Of training. Running, the network looks at 640 x 480, where a small plume has more cells; crops are zoomed by 0.7 to 1.5."""
HEIGHT, WIDTH, STRIDE = 192, 256, 8
IGNORED = 0.3
"""Weight of a cell where smoke may be that nobody labelled. With 0 the network learns that wherever fires were is always hot:
nothing tells it otherwise, and the measures, which leave out those regions in quiet frames, do not show it."""
Picture = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(slots=True)
class Item:
    """One labelled picture at the size of the network's input; boxes are (class, x1, y1, x2, y2), px of it."""

    file: str
    group: str
    source: str
    picture: Picture
    reference: Picture | None
    boxes: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    ignored: list[tuple[float, float, float, float]] = field(default_factory=list)


def load(folder: Path, cache: Path) -> list[Item]:
    """All of train.json and val.json, by camera and name, each with the reference that the running program would have."""
    images, notes = [], defaultdict(list)
    for name in ("train.json", "val.json"):
        file = json.loads((folder / name).read_text("utf-8"))
        for note in file["annotations"]:
            notes[name, note["image_id"]].append(note)
        images += [(name, image) for image in file["images"]]
    images.sort(key=lambda i: (i[1]["group"], i[1]["file_name"]))
    shapes = [own_shape(i["width"], i["height"], INPUT) for _, i in images]
    key = _key(folder / "images", [i["file_name"] for _, i in images])
    files = [cache / f"{what}-{key}.u8" for what in ("pictures", "references")]
    if not all(f.exists() for f in files):
        _decode(folder / "images", [i for _, i in images], shapes, files)
    pictures, references = (np.memmap(f, np.uint8, "r") for f in files)
    items, at = [], 0
    for (name, image), (w, h) in zip(images, shapes, strict=True):
        place = slice(at, at + w * h * 3)
        at = place.stop
        before = references[place].reshape(h, w, 3)
        item = Item(
            image["file_name"],
            image["group"],
            image["source"],
            pictures[place].reshape(h, w, 3),
            before if before[::16, ::16].any() else None,
        )
        sx, sy = w / image["width"], h / image["height"]
        for note in notes[name, image["id"]]:
            x, y, wide, tall = note["bbox"]
            box = (x * sx, y * sy, (x + wide) * sx, (y + tall) * sy)
            if note.get("iscrowd"):
                item.ignored.append(box)
            else:
                item.boxes.append((note["category_id"] - 1, *box))
        items.append(item)
    return items


def _key(folder: Path, names: list[str]) -> str:
    """Of these very files: a cache of other pictures of the same number and size must not be taken for theirs."""
    known = hashlib.sha256()
    for path in (folder / name for name in names):
        if not path.is_file():
            raise SystemExit(
                f"{path} is not there; file names of the COCO file start from {folder}"
            )
        state = path.stat()
        known.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return known.hexdigest()[:16]


def _decode(
    folder: Path, images: list[Any], shapes: list[tuple[int, int]], files: list[Path]
) -> None:
    """Pictures at the size of the network's input, and to each the reference that the running program would have."""
    files[0].parent.mkdir(parents=True, exist_ok=True)
    seen, group = Reference(), ""
    with tempfile.TemporaryDirectory(dir=files[0].parent) as made:  # another run may do the same
        parts = [Path(made) / f.name for f in files]
        with parts[0].open("wb") as out, parts[1].open("wb") as before:
            for number, (image, (w, h)) in enumerate(zip(images, shapes, strict=True)):
                read = cv2.imread(str(folder / image["file_name"]), cv2.IMREAD_COLOR)
                if read is None:
                    raise SystemExit(f"{folder / image['file_name']} cannot be read")
                picture = np.ascontiguousarray(resize(np.asarray(read, np.uint8), w, h))
                if image["group"] != group:
                    seen, group = Reference(), image["group"]
                known = seen.picture(picture)
                seen.add(picture, number * 1_000_000_000)
                out.write(picture.data)
                if known is None or known.shape != picture.shape:
                    known = np.zeros_like(picture)
                before.write(np.ascontiguousarray(known).data)
        for part, file in zip(parts, files, strict=True):
            part.rename(file)


def fold_of(items: list[Item], folds: int) -> dict[str, int]:
    """Cameras and scenes dealt out in the order of their names, forest cameras and scenes each by themselves."""
    out: dict[str, int] = {}
    for source in sorted({i.source for i in items}):
        groups = sorted({i.group for i in items if i.source == source})
        out |= {group: n % folds for n, group in enumerate(groups)}
    return out


class Samples:
    """Sample `i` depends on the seed and `i` alone, whoever asks for it."""

    def __init__(self, items: list[Item], seed: int, first: int, count: int) -> None:
        self._items, self._seed, self._first, self._count = items, seed, first, count
        self._by_group: dict[str, list[int]] = defaultdict(list)
        for i, item in enumerate(items):
            self._by_group[item.group].append(i)
        self._burning = self._weights([bool(i.boxes) for i in items])
        self._quiet = self._weights([not i.boxes for i in items])

    def _weights(self, wanted: list[bool]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Groups count by the root of their size; forest cameras for two thirds."""
        index = np.nonzero(wanted)[0]
        size: dict[str, int] = defaultdict(int)
        for i in index:
            size[self._items[i].group] += 1
        weights = np.array([1 / math.sqrt(size[self._items[i].group]) for i in index])
        forest = np.array([self._items[i].source == "hpwren" for i in index])
        for chosen, share in ((forest, 0.7), (~forest, 0.3)):
            if chosen.any():
                weights[chosen] *= share / weights[chosen].sum()
        return index, np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Picture, Picture, Map, Map]:
        """Picture and reference (192, 256, 3) uint8 BGR; target and weight (2, 24, 32)."""
        rng = np.random.default_rng((self._seed, self._first + number))
        burning = rng.random() < 0.45
        index, shares = self._burning if burning else self._quiet
        item = self._items[index[min(int(np.searchsorted(shares, rng.random())), len(index) - 1)]]
        matrix = _window(item, rng)
        now = _warp(item.picture, matrix)
        then = (
            _warp(self._reference(item, rng), _shifted(matrix, rng)) if rng.random() > 0.2 else None
        )
        target, weight = _maps(item, matrix)
        now, then = self._disturb(now, then, rng)
        drawn = rng.random()
        ground = float((matrix[1, 2] + matrix[1, 1] * 0.36 * item.picture.shape[0]) / HEIGHT)
        if drawn < (0.12 if burning else 0.6):
            now, then = _add(now, then, target, weight, 0, min(max(ground, 0.0), 0.9), rng)
        elif drawn > 0.92:
            now, then = _add(now, then, target, weight, 1, 0.0, rng)
        now, then = _photometric(now, then, rng)
        return now, np.zeros_like(now) if then is None else then, target, weight

    def _reference(self, item: Item, rng: np.random.Generator) -> Picture:
        drawn = rng.random()
        if drawn < 0.12 or item.reference is None:
            group = self._by_group[item.group]
            return self._items[group[int(rng.integers(len(group)))]].picture
        return item.picture if drawn < 0.16 else item.reference

    def _disturb(
        self, now: Picture, then: Picture | None, rng: np.random.Generator
    ) -> tuple[Picture, Picture | None]:
        """What is harmless: new, or there before."""
        if rng.random() < 0.12:
            seed = int(rng.integers(1 << 31))
            now = procedural.harmless(now, np.random.default_rng(seed))
            if then is not None:
                then = procedural.harmless(then, np.random.default_rng(seed))
        if rng.random() < 0.35:
            now = procedural.harmless(now, rng)
        if then is not None and rng.random() < 0.1:
            then = procedural.harmless(then, rng)
        return now, then


def _window(item: Item, rng: np.random.Generator) -> Map:
    """(2, 3) from the picture to the crop: zoom, a little turn, mirror."""
    height, width = item.picture.shape[:2]
    zoom = math.exp(rng.uniform(math.log(0.7), math.log(1.5)))
    stretch = (
        math.exp(rng.uniform(-0.3, 0.3)) if item.source == "cctv" else math.exp(rng.normal(0, 0.06))
    )
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    if item.boxes:
        _, x1, y1, x2, y2 = item.boxes[int(rng.integers(len(item.boxes)))]
        zoom = max(min(zoom, 1.15 * WIDTH / (x2 - x1), 1.15 * HEIGHT / (y2 - y1)), 0.55)
        x = (x1 + x2) / 2 + rng.uniform(-0.45, 0.45) * WIDTH / zoom
        y = (y1 + y2) / 2 + rng.uniform(-0.45, 0.45) * HEIGHT / zoom
    sx, sy = zoom * stretch, zoom / stretch
    half_x, half_y = WIDTH / sx / 2, HEIGHT / sy / 2
    x = min(max(x, half_x), width - half_x) if 2 * half_x < width else width / 2
    y = min(max(y, half_y), height - half_y) if 2 * half_y < height else height / 2
    turn = float(rng.normal(0, 0.03))
    if rng.random() < 0.5:
        sx = -sx
    matrix = np.array(
        [
            [math.cos(turn) * sx, -math.sin(turn) * sy, 0],
            [math.sin(turn) * abs(sx), math.cos(turn) * sy, 0],
        ],
        np.float32,
    )
    matrix[:, 2] = np.array([WIDTH / 2, HEIGHT / 2], np.float32) - matrix[:, :2] @ np.array(
        [x, y], np.float32
    )
    return matrix


def _shifted(matrix: Map, rng: np.random.Generator) -> Map:
    """As a camera shakes."""
    out = matrix.copy()
    out[:, 2] += rng.normal(0, 0.6, 2) if rng.random() < 0.9 else rng.normal(0, 4, 2)
    return out


def _warp(picture: Picture, matrix: Map) -> Picture:
    return np.asarray(
        cv2.warpAffine(
            picture,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.uint8,
    )


def _cells(
    matrix: Map, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    corners = np.array([[x1, y1, 1], [x2, y1, 1], [x1, y2, 1], [x2, y2, 1]], np.float32) @ matrix.T
    low, high = corners.min(axis=0) / STRIDE, corners.max(axis=0) / STRIDE
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _maps(item: Item, matrix: Map) -> tuple[Map, Map]:
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    target = np.zeros((2, rows, columns), np.float32)
    weight = np.ones_like(target)
    for box in item.ignored:
        x1, y1, x2, y2 = _cells(matrix, box)
        place = (
            slice(max(0, int(y1)), max(0, math.ceil(y2))),
            slice(max(0, int(x1)), max(0, math.ceil(x2))),
        )
        weight[:, *place] = IGNORED
    for label, *box in item.boxes:
        mark(target, weight, label, _cells(matrix, (box[0], box[1], box[2], box[3])))
    return target, weight


def mark(target: Map, weight: Map, label: int, cells: tuple[float, float, float, float]) -> None:
    """An object: hot inside, neither hot nor cold in the cells around, of less weight a cell when large."""
    rows, columns = target.shape[1:]
    x1, y1, x2, y2 = cells
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(columns)), min(y2, float(rows))
    if x2 <= x1 or y2 <= y1:
        return
    left, top = min(round(x1), columns - 1), min(round(y1), rows - 1)
    right, bottom = max(left + 1, round(x2)), max(top + 1, round(y2))
    around = (slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1))
    inside = (slice(top, bottom), slice(left, right))
    weight[label][around] *= target[label][around]  # what is hot already stays
    weight[1 - label][inside] = np.minimum(weight[1 - label][inside], 0.3)
    area = (bottom - top) * (right - left)
    target[label][inside] = 1
    weight[label][inside] = min(2.0, 6 / area**0.75)


def _add(
    now: Picture,
    then: Picture | None,
    target: Map,
    weight: Map,
    label: int,
    ground: float,
    rng: np.random.Generator,
) -> tuple[Picture, Picture | None]:
    """Procedural smoke or fire; sometimes, younger, in the reference as well."""
    before = now
    seed = int(rng.integers(1 << 31))
    if label == 0:
        age = rng.uniform(0.2, 1.0)
        now, cover = procedural.smoke(now, np.random.default_rng(seed), ground, age)
        if then is not None and rng.random() < 0.2:
            then, _ = procedural.smoke(
                then, np.random.default_rng(seed), ground, age * rng.uniform(0.1, 0.7)
            )
    else:
        now, cover = procedural.flame(now, np.random.default_rng(seed))
    changed = cv2.absdiff(now, before).max(axis=2)
    seen = cover > 0.3 * float(cover.max()) if cover.max() > 0 else cover > 1
    strength = float(np.percentile(changed[seen], 80)) if seen.any() else 0.0
    rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
    if not len(rows) or strength < 1:
        return now, then
    cells = (
        columns[0] / STRIDE,
        rows[0] / STRIDE,
        (columns[-1] + 1) / STRIDE,
        (rows[-1] + 1) / STRIDE,
    )
    if strength < 5:  # nobody could tell
        weight[label, int(cells[1]) : math.ceil(cells[3]), int(cells[0]) : math.ceil(cells[2])] = 0
    else:
        mark(target, weight, label, cells)
    return now, then


def _photometric(
    now: Picture, then: Picture | None, rng: np.random.Generator
) -> tuple[Picture, Picture | None]:
    if rng.random() < 0.12:
        now = _as_grey(now)
        then = None if then is None else _as_grey(then)
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = math.exp(rng.normal(0, 0.25))
    gain = math.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.06, 3))
    curve = levels**gamma * gain + rng.normal(0, 0.03)
    own = levels**gamma * gain * math.exp(rng.normal(0, 0.08)) + rng.normal(0, 0.02)
    now = _through(now, curve)
    then = None if then is None else np.maximum(_through(then, own), 1)
    drawn = rng.random()
    if drawn < 0.12:
        now = np.asarray(cv2.GaussianBlur(now, (0, 0), rng.uniform(0.4, 1.3)), np.uint8)
    elif drawn < 0.3:
        grain = rng.normal(0, rng.uniform(1, 7), now.shape[:2]).astype(np.float32)
        now = np.clip(now + grain[..., None], 0, 255).astype(np.uint8)
    return now, then


def _as_grey(picture: Picture) -> Picture:
    return np.asarray(
        cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8
    )


def _through(picture: Picture, curve: NDArray[np.floating]) -> Picture:
    table = np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8).reshape(256, 1, 3)
    return np.asarray(cv2.LUT(picture, table), np.uint8)
