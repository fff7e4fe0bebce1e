"""CSV files with declared columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from edge.drivers.replay.config import Column, CsvOptions
from edge.drivers.replay.record import Count, Record, bad_file
from edge.drivers.replay.times import reader
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_INT64 = 2**63


class CsvRecording:
    """One row of the file is one record; blank rows and columns that nobody asked for are passed over."""

    def __init__(self, path: Path, options: CsvOptions) -> None:
        self._path, self._options = path, options
        self._read_time = reader(options.time_format, options.time_zone)
        self._cells = tuple(_Cell(column, options) for column in options.columns)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            Channel(c.quantity, c.unit, c.type, c.scale, c.offset) for c in self._options.columns
        )

    def records(self, count: Count) -> Iterator[Record]:
        options = self._options
        try:
            with self._path.open(encoding=options.encoding, newline="") as file:
                rows = csv.reader(file, delimiter=options.delimiter)
                heading = next(rows, [])
                times = [self._find(heading, name) for name in options.time_columns]
                places = [
                    (cell, self._find(heading, cell.column.column), self._flag(heading, cell))
                    for cell in self._cells
                ]
                for row in rows:
                    record = self._record(row, times, places, count)
                    if record is not None:
                        yield record
        except (OSError, UnicodeError, LookupError, csv.Error) as exc:
            raise bad_file(self._path, exc) from exc

    def _find(self, heading: list[str], name: str) -> int:
        if name not in heading:
            raise bad_file(
                self._path, f"no column {name!r}", f"it has: {', '.join(filter(None, heading))}"
            )
        return heading.index(name)

    def _flag(self, heading: list[str], cell: _Cell) -> int | None:
        name = cell.column.flag_column
        return None if name is None else self._find(heading, name)

    def _record(
        self,
        row: list[str],
        times: list[int],
        places: list[tuple[_Cell, int, int | None]],
        count: Count,
    ) -> Record | None:
        if not any(row):
            count("replay.blank_rows", 1)
            return None
        try:
            time_ns = self._read_time(" ".join(row[i] for i in times))
        except (ValueError, IndexError):
            count("replay.bad_times", 1)
            return None
        values: list[Value] = []
        quality: list[int] = []
        for cell, at, flag_at in places:
            text = row[at] if at < len(row) else ""
            flags = "" if flag_at is None or flag_at >= len(row) else row[flag_at]
            value, code = cell.read(text, flags)
            if code == Quality.BAD:
                count("replay.bad_values", 1)
            values.append(value)
            quality.append(code)
        return Record(time_ns, tuple(values), tuple(quality) if any(quality) else None)


class _Cell:
    """How to read one column's cells."""

    def __init__(self, column: Column, options: CsvOptions) -> None:
        self.column = column
        self._decimal = options.decimal
        self._marks = frozenset({"", *options.missing, *column.missing})
        self._numeric_marks = frozenset(
            number for mark in self._marks if (number := _float(mark, options.decimal)) is not None
        )
        self._flag_missing = frozenset(column.flag_missing)
        self._flag_fault = frozenset(column.flag_fault)

    def read(self, text: str, flags: str) -> tuple[Value, int]:
        """The value and its quality; None where the file says missing or the text is none of the type."""
        text = text.strip()
        flagged = {flag.strip() for flag in flags.split(",")} if flags else set()
        if text in self._marks or flagged & self._flag_missing:
            return None, int(Quality.MISSING)
        value = self._value(text)
        if value is None:
            return None, int(Quality.BAD)
        if isinstance(value, float):
            if value in self._numeric_marks:
                return None, int(Quality.MISSING)
            if not math.isfinite(value):
                return None, int(Quality.NOT_FINITE)
        elif value in self._numeric_marks and not isinstance(value, bool):
            return None, int(Quality.MISSING)
        return value, int(Quality.DEVICE_FAULT) if flagged & self._flag_fault else 0

    def _value(self, text: str) -> Value:
        kind = self.column.type
        if kind == "f":
            return _float(text, self._decimal)
        if kind == "i":
            try:
                number = int(text)
            except ValueError:
                return None
            return number if "_" not in text and -_INT64 <= number < _INT64 else None
        if kind == "b":
            low = text.lower()
            return True if low in _TRUE else False if low in _FALSE else None
        return text


def _float(text: str, decimal: str) -> float | None:
    if "_" in text or (decimal == "," and "." in text):
        return None
    try:
        return float(text.replace(",", ".") if decimal == "," else text)
    except ValueError:
        return None
