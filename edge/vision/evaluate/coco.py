"""Labelled pictures in the form of COCO (cocodataset.org, "data format"): which camera, what is where, what to ignore."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import msgspec

from edge.vision.observation import Box
from tocsin.errors import DatasetError

_FORM = 'a COCO file: {"images": [...], "annotations": [...], "categories": [...]}'
_OFFSET = re.compile(r"\(byte (\d+)\)")


class _Category(msgspec.Struct):
    id: int
    name: str


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int
    group: str = ""  # camera or scene
    source: str = ""


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    id: int = 0


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class Labelled(msgspec.Struct, frozen=True):
    """One picture and the truth about it."""

    file: str
    group: str
    source: str
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()  # `iscrowd`: neither right nor wrong there

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
        data = path.read_bytes()
        file = msgspec.json.decode(data, type=_File)
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}", hint=_FORM) from exc
    except msgspec.ValidationError as exc:
        raise DatasetError(f"{path}: {exc}", hint=_FORM) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{path}{_line(str(exc), data)} is not JSON: {exc}", hint=_FORM) from exc
    _whole(path, file)
    names = {c.id: c.name for c in file.categories}
    boxes: dict[int, list[Box]] = {}
    ignored: dict[int, list[Box]] = {}
    for a in file.annotations:
        where = ignored if a.iscrowd else boxes
        where.setdefault(a.image_id, []).append(Box(names[a.category_id], 1.0, *a.bbox))
    found = [
        Labelled(
            i.file_name, i.group or "all", i.source, i.width, i.height,
            tuple(boxes.get(i.id, ())), tuple(ignored.get(i.id, ())),
        )
        for i in file.images
    ]  # fmt: skip
    return sorted(found, key=lambda p: (p.group, p.file))


def _whole(path: Path, file: _File) -> None:
    for what, numbers in (
        ("images", [i.id for i in file.images]),
        ("categories", [c.id for c in file.categories]),
    ):
        number, times = Counter(numbers).most_common(1)[0] if numbers else (0, 0)
        if times != 1:
            trouble = f"has the id {number} {times} times" if times else "is empty"
            raise DatasetError(f"{path}: {what} {trouble}", hint="each id once")
    for i, image in enumerate(file.images):
        parts = PurePosixPath(image.file_name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise DatasetError(
                f"{path}: images[{i}].file_name {image.file_name!r} leads out of the folder",
                hint="a name within the folder of --images",
            )
    images, categories = {i.id for i in file.images}, {c.id for c in file.categories}
    for i, a in enumerate(file.annotations):
        at = f"{path}: annotations[{i}]"
        if a.image_id not in images:
            raise DatasetError(f"{at}.image_id {a.image_id} is none of the images")
        if a.category_id not in categories:
            raise DatasetError(f"{at}.category_id {a.category_id} is none of the categories")
        if a.bbox[2] <= 0 or a.bbox[3] <= 0:
            raise DatasetError(
                f"{at}.bbox {list(a.bbox)} is empty", hint="x, y, width, height in px, as floats"
            )


def _line(message: str, data: bytes) -> str:
    found = _OFFSET.search(message)
    return f":{data.count(10, 0, int(found[1])) + 1}" if found else ""
