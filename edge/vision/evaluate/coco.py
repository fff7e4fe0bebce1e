"""Labelled pictures in the form of COCO (cocodataset.org, "data format"): which camera, what is where, what to ignore."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import msgspec

from edge.vision.observation import Box
from tocsin.errors import DatasetError

_FORM = 'a COCO file: {"images": [...], "annotations": [...], "categories": [...]}'
_EMPTY = "nothing is labelled here; `tocsin vision export` puts its pictures into train.json"
NO_GROUP = "all"
"""The camera of pictures that name none."""
_OFFSET = re.compile(r"\(byte (\d+)\)")


class _Category(msgspec.Struct):
    id: int
    name: str


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int
    group: str | int | None = None  # camera or scene
    source: str | None = None


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int | bool | None = 0
    id: int = 0


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class BadLabel(msgspec.Struct, frozen=True):
    """A box wholly outside its picture, or without an area: nobody knows what it marks."""

    file: str
    annotation: int  # its id
    label: str
    bbox: tuple[float, float, float, float]


class Labelled(msgspec.Struct, frozen=True):
    """One picture and the truth about it."""

    file: str
    group: str
    source: str
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()  # `iscrowd`: neither right nor wrong there
    bad: tuple[BadLabel, ...] = ()  # not among the boxes
    categories: frozenset[str] = frozenset()  # that the set knows

    @property
    def quiet(self) -> bool:
        """Nothing is labelled."""
        return not self.boxes


def read(path: Path) -> list[Labelled]:
    """All pictures, by group and file name.

    Raises:
        DatasetError: unreadable, not COCO, or it contradicts itself; with the place.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)  # Windows writes one
        file = msgspec.json.decode(data, type=_File)
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}", hint=_FORM) from exc
    except msgspec.ValidationError as exc:
        raise DatasetError(f"{path}: {exc}", hint=_FORM) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        _numbers(path, data)
        raise DatasetError(f"{path}{_line(str(exc), data)} is not JSON: {exc}", hint=_FORM) from exc
    _whole(path, file)
    names = {c.id: c.name for c in file.categories}
    images = {i.id: i for i in file.images}
    known = frozenset(names.values())
    boxes: dict[int, list[Box]] = {}
    ignored: dict[int, list[Box]] = {}
    bad: dict[int, list[BadLabel]] = {}
    for a in file.annotations:
        image, label = images[a.image_id], names[a.category_id]
        if _marks_nothing(a.bbox, image):
            bad.setdefault(image.id, []).append(BadLabel(image.file_name, a.id, label, a.bbox))
        else:
            where = ignored if a.iscrowd else boxes
            where.setdefault(image.id, []).append(Box(label, 1.0, *a.bbox))
    found = [
        Labelled(
            i.file_name, _group(i), i.source or "", i.width, i.height,
            tuple(boxes.get(i.id, ())), tuple(ignored.get(i.id, ())), tuple(bad.get(i.id, ())), known,
        )
        for i in file.images
    ]  # fmt: skip
    return sorted(found, key=lambda p: (p.group, p.file))


def spelled(pictures: Sequence[Labelled], classes: Sequence[str]) -> list[Labelled]:
    """With the names of categories as the model spells its classes: `Smoke` is `smoke`."""
    known = {name.casefold(): name for name in reversed(classes)}

    def of(box: Box) -> Box:
        name = box.label if box.label in classes else known.get(box.label.casefold(), box.label)
        return msgspec.structs.replace(box, label=name)

    return [
        msgspec.structs.replace(p, boxes=tuple(map(of, p.boxes)), ignored=tuple(map(of, p.ignored)))
        for p in pictures
    ]


def _group(image: _Image) -> str:
    return NO_GROUP if image.group in (None, "") else str(image.group)


def _marks_nothing(bbox: tuple[float, float, float, float], image: _Image) -> bool:
    x, y, width, height = bbox
    if width <= 0 or height <= 0:
        return True
    return x >= image.width or y >= image.height or x + width <= 0 or y + height <= 0


def _numbers(path: Path, data: bytes) -> None:
    """Python writes NaN and Infinity, which are no JSON; a box that has one is named."""
    try:
        notes = json.loads(data)["annotations"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    for i, note in enumerate(notes if isinstance(notes, list) else []):
        bbox = note.get("bbox") if isinstance(note, dict) else None
        if isinstance(bbox, list) and any(isinstance(v, float) and not math.isfinite(v) for v in bbox):  # fmt: skip
            raise _no_number(f"{path}: annotations[{i}] (id {note.get('id', 'none')})", bbox)


def _no_number(at: str, bbox: Sequence[object]) -> DatasetError:
    shown = ", ".join("NaN" if v != v else str(v) for v in bbox)
    return DatasetError(
        f"{at}: bbox [{shown}] has what is no number", hint="x, y, width, height in px, each finite"
    )


def _whole(path: Path, file: _File) -> None:
    for what, numbers in (
        ("images", [i.id for i in file.images]),
        ("categories", [c.id for c in file.categories]),
    ):
        number, times = Counter(numbers).most_common(1)[0] if numbers else (0, 0)
        if times != 1:
            trouble = f"has the id {number} {times} times" if times else "is empty"
            raise DatasetError(
                f"{path}: {what} {trouble}", hint="each id once" if times else _EMPTY
            )
    ids: dict[PurePosixPath, int] = {}
    for i, image in enumerate(file.images):
        first = ids.setdefault(PurePosixPath(image.file_name), image.id)
        if first != image.id:
            raise DatasetError(
                f"{path}: {image.file_name} is the picture of two images, id {first} and id {image.id}",
                hint="one image for each file, with all its annotations",
            )
        parts = PurePosixPath(image.file_name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise DatasetError(
                f"{path}: images[{i}].file_name {image.file_name!r} leads out of the folder",
                hint="a name within the folder of --images",
            )
    images, categories = {i.id for i in file.images}, {c.id for c in file.categories}
    for i, a in enumerate(file.annotations):
        at = f"{path}: annotations[{i}] (id {a.id})"
        if a.image_id not in images:
            raise DatasetError(f"{at}: image_id {a.image_id} is none of the images")
        if a.category_id not in categories:
            raise DatasetError(f"{at}: category_id {a.category_id} is none of the categories")
        if not all(map(math.isfinite, a.bbox)):
            raise _no_number(at, a.bbox)


def _line(message: str, data: bytes) -> str:
    found = _OFFSET.search(message)
    return f":{data.count(10, 0, int(found[1])) + 1}" if found else ""
