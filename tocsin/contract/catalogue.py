"""The shipped catalogue: canonical unit and type of each quantity of each measurement."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal, cast

import msgspec

TypeCode = Literal["f", "i", "b", "s"]
Value = float | int | bool | str | None

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = frozenset({"time", "site", "device", "gateway", "stream", "seq", "source_time"})
RESERVED_SUFFIXES = ("_q", "_raw")


class Quantity(msgspec.Struct, frozen=True):
    """One quantity of one measurement, in its canonical unit."""

    measurement: str
    name: str
    unit: str
    type: TypeCode = "f"
    en: str = ""
    zh: str = ""


class Measurement(msgspec.Struct, frozen=True):
    """A kind of device and its quantities."""

    name: str
    en: str
    zh: str
    quantities: dict[str, Quantity]


@cache
def catalogue() -> dict[str, Measurement]:
    """Every measurement by name."""
    raw = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text("utf-8"))
    out: dict[str, Measurement] = {}
    for name, table in raw.items():
        label = table.pop("label")
        out[name] = Measurement(
            name,
            label["en"],
            label["zh"],
            {
                q: Quantity(
                    name, q, v["unit"], cast(TypeCode, v.get("type", "f")), v["en"], v["zh"]
                )
                for q, v in table.items()
            },
        )
    return out


def find(measurement: str, quantity: str) -> Quantity | None:
    """The catalogue's entry, or None when the quantity is not in it."""
    entry = catalogue().get(measurement)
    return entry.quantities.get(quantity) if entry else None


def is_identifier(name: str) -> bool:
    """Whether `name` may name a quantity: it becomes a column (a field) in both stores."""
    return (
        _NAME.fullmatch(name) is not None
        and name not in RESERVED
        and not name.endswith(RESERVED_SUFFIXES)
    )


def is_measurement(name: str) -> bool:
    """Whether `name` may name a measurement: it becomes a table in both stores."""
    return _NAME.fullmatch(name) is not None
