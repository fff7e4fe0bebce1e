"""GPX tracks (topografix.com/GPX/1/0 and 1/1); the name spaces are not looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from edge.drivers.replay.record import Count, Record, bad_file
from edge.drivers.replay.times import reader
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel

_CHUNK = 65_536
_FIELDS = {"ele": "alt", "speed": "speed", "course": "course"}
_CHANNELS = (
    Channel("lat", "deg"),
    Channel("lon", "deg"),
    Channel("alt", "m"),
    Channel("speed", "m/s"),
    Channel("course", "deg"),
)
_LIMITS = {"lat": 90.0, "lon": 180.0}


class _NoDoctype(ElementTree.TreeBuilder):
    """GPX has no document type; one is how entity-expansion attacks begin."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise ValueError("a document type declaration is not allowed")


class GpxRecording:
    """Each track point is one record, in the order of the file; segments and tracks follow one another."""

    channels = _CHANNELS

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_time = reader("iso", "UTC")

    def records(self, count: Count) -> Iterator[Record]:
        for point in self._root().iter():
            if _local(point.tag) == "trkpt":
                yield self._record(point, count)

    def _root(self) -> ElementTree.Element:
        parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - refuses document types
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    parser.feed(chunk)
            root: ElementTree.Element = parser.close()
        except (OSError, ValueError, LookupError, ElementTree.ParseError) as exc:
            raise bad_file(self._path, exc) from exc
        return root

    def _record(self, point: ElementTree.Element, count: Count) -> Record:
        texts: dict[str, str | None] = {"lat": point.get("lat"), "lon": point.get("lon")}
        time_ns: int | None = None
        for child in point.iter():
            name = _local(child.tag)
            if name in _FIELDS and child.text:
                texts[_FIELDS[name]] = child.text
            elif name == "time" and child.text:
                try:
                    time_ns = self._read_time(child.text)
                except ValueError:
                    count("replay.bad_times", 1)
        values: list[float | None] = []
        quality: list[int] = []
        for channel in _CHANNELS:
            text = texts.get(channel.quantity)
            value = None if text is None else _number(text, _LIMITS.get(channel.quantity))
            bad = text is not None and value is None
            if bad:
                count("replay.bad_values", 1)
            values.append(value)
            quality.append(int(Quality.BAD) if bad else 0)
        return Record(time_ns, tuple(values), tuple(quality) if any(quality) else None)


def _local(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _number(text: str, limit: float | None) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or (limit is not None and abs(value) > limit):
        return None
    return value
