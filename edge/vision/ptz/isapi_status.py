"""Hikvision's PTZStatus (ISAPI 2.0, `GET /ISAPI/PTZCtrl/channels/<n>/status`). Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import msgspec

from tocsin.errors import DriverReason, LinkError

MAX_BYTES = 65_536
_NUMBER = re.compile(r"-?[0-9]{1,5}")


class Status(msgspec.Struct, frozen=True):
    """AbsoluteHigh, whose numbers are tenths."""

    azimuth_deg: float  # 0 to 360, clockwise
    elevation_deg: float  # -90 to 270; domes count it downwards from the horizon, beyond 90 their picture is turned over
    zoom: float | None  # 0 to 100 times; None: it does not zoom


class _NoDoctype(ElementTree.TreeBuilder):
    """No status has a document type; one is how entity-expansion attacks begin."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise ValueError("a document type")


def read(data: bytes) -> Status:
    """Whatever its namespace: firmware differs in it.

    Raises:
        LinkError: `GARBAGE`, with what is wrong.
    """
    if len(data) > MAX_BYTES:
        raise _garbage(f"over {MAX_BYTES} bytes")
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - refuses document types
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ValueError, LookupError, ElementTree.ParseError) as exc:
        raise _garbage("not XML") from exc
    if _local(root) != "PTZStatus":
        raise _garbage(f"{_shown(_local(root), 40)} instead of 'PTZStatus'")
    high = next((part for part in root if _local(part) == "AbsoluteHigh"), None)
    if high is None:
        raise _garbage("no AbsoluteHigh in it: does this camera tell where it looks?")
    azimuth = _tenths(high, "azimuth", 0, 3600)
    elevation = _tenths(high, "elevation", -900, 2700)
    if azimuth is None or elevation is None:
        missing = "azimuth" if azimuth is None else "elevation"
        raise _garbage(f"no {missing} in AbsoluteHigh: does this camera tell where it looks?")
    return Status(azimuth, elevation, _tenths(high, "absoluteZoom", 0, 1000))


def _tenths(high: ElementTree.Element, name: str, low: int, most: int) -> float | None:
    text = next((part.text or "" for part in high if _local(part) == name), None)
    if text is None:
        return None
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise _garbage(f"{name} is {_shown(text, 20)}, not a whole number")
    if not low <= int(text) <= most:
        raise _garbage(f"{name} is {text}, not {low} to {most}")
    return int(text) / 10


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _shown(text: str, most: int) -> str:
    """So many characters of it at most as they are shown: one that cannot be printed is up to ten."""
    return repr(text[:most])[: most + 2]


def _garbage(why: str) -> LinkError:
    return LinkError(DriverReason.GARBAGE, f"PTZ status: {why}")
