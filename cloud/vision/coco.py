"""Labelled pictures as a zip that is written while it is read: the pictures, then train.json and val.json (COCO)."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from cloud.vision.shelf import read_whole
from tocsin.errors import NotFoundError

FIRST = ("smoke", "fire")  # ids 1 and 2, as the trainer of smoke-fire takes them
_SUFFIX = {"image/jpeg": ".jpg", "image/png": ".png"}
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EPOCH = (1980, 1, 1, 0, 0, 0)


class LabelledZip:
    """`add` pictures one after another, then `end`; each gives the bytes that the zip grew by."""

    def __init__(self) -> None:
        self._out = _Pipe()
        self._zip = zipfile.ZipFile(cast("IO[bytes]", self._out), "w", zipfile.ZIP_STORED)
        self._images: list[dict[str, Any]] = []
        self._regions: list[tuple[int, str, list[float], bool]] = []
        self.left_out: Counter[str] = Counter()

    def add(self, told: Mapping[str, Any]) -> bytes:
        """One picture and its regions. What is not what its hash says is left out and counted."""
        try:
            data = read_whole(Path(told["path"]))
        except NotFoundError:
            return self._without("gone")
        if hashlib.sha256(data).hexdigest() != told["sha256"]:
            return self._without("wrong-hash")
        size = size_of(data)
        if size is None:
            return self._without("unreadable")
        group = f"{told['site']}/{told['device']}"
        when = datetime.fromtimestamp(told["t_ns"] / 1e9, UTC)
        name = f"{group}/{when:%Y%m%dT%H%M%S}{when.microsecond // 1000:03d}Z-{told['sha256'][:12]}"
        name += _SUFFIX[told["media"]]
        number = len(self._images) + 1
        self._images.append(
            {
                "id": number, "file_name": name, "width": size[0], "height": size[1],
                "group": group, "source": "tocsin", "sha256": told["sha256"],
                "detection": told["detection"], "verdict": told["verdict"],
            }
        )  # fmt: skip
        for region in told["regions"]:
            x, y, width, height = region["box"]
            box = [x * size[0], y * size[1], width * size[0], height * size[1]]
            if box[2] > 0 and box[3] > 0:
                self._regions.append((number, region["label"], box, region["ignored"]))
        t = when.timetuple()  # a zip knows 1980 to 2107; a clock may not have been set
        year = min(max(t.tm_year, 1980), 2107)
        dated = (year, t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec)
        self._zip.writestr(zipfile.ZipInfo(f"images/{name}", dated), data)
        return self._out.taken()

    def _without(self, why: str) -> bytes:
        self.left_out[why] += 1
        return b""

    @property
    def pictures(self) -> int:
        """Those that are in it."""
        return len(self._images)

    def end(self, info: dict[str, object]) -> bytes:
        """The labels, and the end of the zip."""
        names = sorted({label for _, label, _, _ in self._regions} - set(FIRST))
        ids = {name: i for i, name in enumerate((*FIRST, *names), 1)}
        notes = [
            {
                "id": i, "image_id": image, "category_id": ids[label],
                "bbox": [round(v, 2) for v in box], "area": round(box[2] * box[3], 2),
                "iscrowd": int(ignored),
            }
            for i, (image, label, box, ignored) in enumerate(self._regions, 1)
        ]  # fmt: skip
        categories = [{"id": i, "name": name} for name, i in ids.items()]
        info = {**info, "left_out": {k: n for k, n in self.left_out.items() if n}}
        for file, images, boxes in (("train.json", self._images, notes), ("val.json", [], [])):
            whole = {
                "info": info, "images": images, "annotations": boxes, "categories": categories
            }  # fmt: skip
            text = json.dumps(whole, ensure_ascii=False, indent=1)
            self._zip.writestr(zipfile.ZipInfo(file, _EPOCH), text, zipfile.ZIP_DEFLATED)
        self._zip.close()
        return self._out.taken()


class _Pipe(io.RawIOBase):
    """What a zip writes, until it is taken; no way back, so sizes follow their data."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """All that was written since the last time."""
        data = bytes(self._held)
        self._held.clear()
        return data


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) px from the header of a JPEG or PNG; None: it is neither."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        mark = data[at + 1]
        if mark == 0xFF:  # filling
            at += 1
            continue
        if mark in _FRAME_HEADERS:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return (width, height) if width and height else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
