"""What the recordings hold, read by the standard library alone and by no code of the project."""

from __future__ import annotations

import csv
import re
from calendar import timegm
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from xml.dom import minidom

MISSING, DEVICE_FAULT, NO_FIX = 69, 67, 14
SECOND = 1_000_000_000


class Reading(NamedTuple):
    """One row of a recording in canonical units; `marks` holds the quality codes the file itself demands."""

    source_ns: int | None
    values: dict[str, float | None]
    marks: dict[str, int]


def _seconds(text: str, form: str) -> int:
    return timegm(datetime.strptime(text, form).timetuple()) * SECOND  # noqa: DTZ007


def air(path: Path) -> list[Reading]:
    """Roadside sensor; -200 is missing, the trailing rows are blank."""
    names = {
        "CO(GT)": "co",
        "PT08.S1(CO)": "s1",
        "NMHC(GT)": "nmhc",
        "C6H6(GT)": "c6h6",
        "PT08.S2(NMHC)": "s2",
        "NOx(GT)": "nox",
        "PT08.S3(NOx)": "s3",
        "NO2(GT)": "no2",
        "PT08.S4(NO2)": "s4",
        "PT08.S5(O3)": "s5",
        "T": "temperature",
        "RH": "humidity",
        "AH": "abs_humidity",
    }
    out = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if not row["Date"]:
                continue
            numbers = {q: float(row[name]) for name, q in names.items()}
            out.append(
                Reading(
                    _seconds(f"{row['Date']} {row['Time']}", "%m/%d/%Y %H:%M:%S"),
                    {q: None if x == -200 else x for q, x in numbers.items()},
                    {q: MISSING for q, x in numbers.items() if x == -200},
                )
            )
    return out


def temperature(path: Path) -> list[Reading]:
    """Industrial temperature, Fahrenheit to Celsius."""
    with path.open(newline="") as file:
        return [
            Reading(
                _seconds(row["timestamp"], "%Y-%m-%d %H:%M:%S"),
                {"temperature": (float(row["value"]) - 32) * 5 / 9},
                {},
            )
            for row in csv.DictReader(file)
        ]


def river(path: Path) -> list[Reading]:
    """Stream gauge, feet to metres, with qualifiers."""
    out = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, float | None] = {
                "temperature": float(row["temperature_c"]),
                "flow": float(row["discharge_ft3s"]) * 0.028316846592,
                "level": float(row["gage_height_ft"]) * 0.3048,
                "conductance": float(row["conductance_uS_cm"]),
                "turbidity": float(row["turbidity_fnu"]),
            }
            marks = {}
            for quantity, qualifier in (("level", "gage_height_q"), ("turbidity", "turbidity_q")):
                if "hf.missing" in row[qualifier]:
                    values[quantity] = None
                    marks[quantity] = MISSING
                elif "Eqp" in row[qualifier]:
                    marks[quantity] = DEVICE_FAULT
            out.append(Reading(_seconds(row["time_utc"], "%Y-%m-%dT%H:%M:%SZ"), values, marks))
    return out


def rain(path: Path) -> list[Reading]:
    """Hourly rain, metres to millimetres."""
    with path.open(newline="") as file:
        next(file)
        return [
            Reading(_seconds(when, "%Y-%m-%d %H:%M:%S"), {"rain": float(x) * 1000}, {})
            for when, x in csv.reader(file)
        ]


def level(path: Path) -> list[Reading]:
    """Daily river level."""
    with path.open(newline="") as file:
        next(file)
        return [
            Reading(_seconds(when, "%Y-%m-%d"), {"level": float(x)}, {})
            for when, x in csv.reader(file)
        ]


def gpx(path: Path) -> list[Reading]:
    """Track points in the order of the file."""

    def text(point: minidom.Element, name: str) -> str | None:
        for node in point.getElementsByTagName(name):
            child = node.firstChild
            return child.nodeValue if isinstance(child, minidom.Text) else None
        return None

    out = []
    with minidom.parse(str(path)) as document:  # noqa: S318 - our own recordings
        for point in document.getElementsByTagName("trkpt"):
            when, ele = text(point, "time"), text(point, "ele")
            speed, course = text(point, "speed"), text(point, "course")
            out.append(
                Reading(
                    None if when is None else _seconds(when, "%Y-%m-%dT%H:%M:%SZ"),
                    {
                        "lat": float(point.getAttribute("lat")),
                        "lon": float(point.getAttribute("lon")),
                        "alt": None if ele is None else float(ele),
                        "speed": None if speed is None else float(speed),
                        "course": None if course is None else float(course),
                    },
                    {},
                )
            )
    return out


CSV_TRUTH: dict[str, Callable[[Path], list[Reading]]] = {
    "air-1": air,
    "ambient-1": temperature,
    "machine-1": temperature,
    "river-1": river,
    "rain-1": rain,
    "level-1": level,
}


class Stated(NamedTuple):
    """What the position sentences of one time of day say: the positions given, in their order."""

    clock: str
    positions: list[tuple[float, float]]


def nmea(path: Path) -> list[Stated]:
    """The stated positions of a receiver's log, one entry for each run of sentences of one time of day."""
    place = {"RMC": (1, 3, 2, "AD"), "GGA": (1, 2, 6, "12345678"), "GLL": (5, 1, 6, "A")}
    out: list[Stated] = []
    for raw in path.read_text("latin-1").splitlines():
        line = raw.strip()
        if not line.startswith("$") or line[3:6] not in place:
            continue
        body, _, given = line[1:].partition("*")
        total = 0
        for char in body:
            total ^= ord(char)
        if f"{total:02X}" != given.upper():
            continue
        fields = body.split(",")
        time_at, lat_at, valid_at, good = place[line[3:6]]
        clock = fields[time_at]
        if not re.fullmatch(r"\d{6}(\.\d+)?", clock):
            continue  # absent or torn
        key = f"{float(clock):.3f}"
        if not out or out[-1].clock != key:
            out.append(Stated(key, []))
        if fields[valid_at] and fields[valid_at] in good and fields[lat_at]:
            lat = int(fields[lat_at][:2]) + float(fields[lat_at][2:]) / 60
            lon = int(fields[lat_at + 2][:3]) + float(fields[lat_at + 2][3:]) / 60
            out[-1].positions.append(
                (
                    -lat if fields[lat_at + 1] == "S" else lat,
                    -lon if fields[lat_at + 3] == "W" else lon,
                )
            )
    return out
