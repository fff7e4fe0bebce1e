"""Blocks -> line protocol. Tags are `site` and `device` only; every stamp is in nanoseconds.

Prefixes (measurement and tags) are cached, since escaping them costs more than all else in a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cloud.stores import NO_TIME, Block, Column

_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": " ", "\r": " ", "\t": " "})
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ ", "\n": " ", "\r": " "})
_MAX_PREFIXES = 50_000

Conflict = tuple[str, str, str]  # measurement, field, the type it cannot have there


class LineEncoder:
    """Keeps the prefixes it has made, up to a bound."""

    def __init__(self) -> None:
        self._prefixes: dict[tuple[str, str, str], str] = {}

    def encode(self, block: Block, without: frozenset[Conflict] = frozenset()) -> list[str]:
        """One line per row, "" for a row without a value. Fields in `without` are left out."""
        prefix = self._prefix(block)
        gateway, stream = text_field(block.gateway), text_field(block.stream)
        origin = f"gateway={gateway},stream={stream}"
        columns: list[list[str]] = []
        for name, column in block.columns.items():
            if (block.measurement, name, column.type) not in without:
                columns.append(_fields(name, column, with_quality=True))
                if name in block.raw:
                    columns.append(_fields(f"{name}_raw", block.raw[name], with_quality=False))
        times = block.time_ns.tolist()
        sources = [NO_TIME] * len(times) if block.source_ns is None else block.source_ns.tolist()
        lines: list[str] = []
        for row, (time_ns, seq, source) in enumerate(
            zip(times, block.seq.tolist(), sources, strict=True)
        ):
            cells = [column[row] for column in columns if column[row]]
            if source != NO_TIME:
                cells.append(f"source_time={source}i")
            lines.append(
                f"{prefix} {','.join(cells)},{origin},seq={seq}i {time_ns}" if cells else ""
            )
        return lines

    def _prefix(self, block: Block) -> str:
        key = (block.measurement, block.site, block.device)
        prefix = self._prefixes.get(key)
        if prefix is None:
            if len(self._prefixes) >= _MAX_PREFIXES:
                self._prefixes.clear()
            prefix = escape_measurement(block.measurement)
            for tag, value in (("device", block.device), ("site", block.site)):
                prefix += f",{tag}={escape_tag(value)}"
            self._prefixes[key] = prefix
        return prefix


def escape_measurement(name: str) -> str:
    """The name of a measurement."""
    return name.translate(_MEASUREMENT)


def escape_key(name: str) -> str:
    """The name of a tag or field."""
    return name.translate(_KEY)


def escape_tag(value: str) -> str:
    """A tag value without backslashes at its end, which would swallow the separator."""
    return value.rstrip("\\").translate(_KEY)


def text_field(value: str) -> str:
    """A string as the value of a field."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _fields(name: str, column: Column, *, with_quality: bool) -> list[str]:
    key = escape_key(name)
    write = _WRITERS[column.type]
    values = column.values.tolist()
    valid = [True] * len(values) if column.valid is None else column.valid.tolist()
    codes = [0] * len(values) if column.quality is None else column.quality.tolist()
    out: list[str] = []
    for value, present, code in zip(values, valid, codes, strict=True):
        text = write(value) if present else ""
        cell = f"{key}={text}" if text else ""
        if with_quality and (text or code):
            cell += f"{',' if cell else ''}{key}_q={code}i"
        out.append(cell)
    return out


def _real(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


_WRITERS: dict[str, Callable[[Any], str]] = {
    "f": _real,
    "i": lambda value: f"{value}i",
    "b": lambda value: "true" if value else "false",
    "s": text_field,
}
