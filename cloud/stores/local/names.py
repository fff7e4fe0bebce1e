"""Names and SQL types of tables and columns."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

from tocsin.contract.catalogue import TypeCode

ColumnType = TypeCode | Literal["u"]  # u: uint64, only by line protocol
SQL_TYPES: dict[str, str] = {
    "f": "DOUBLE",
    "i": "BIGINT",
    "u": "UBIGINT",
    "b": "BOOLEAN",
    "s": "VARCHAR",
}
TYPE_WORDS: dict[str, str] = {
    "f": "float",
    "i": "integer",
    "u": "unsigned",
    "b": "boolean",
    "s": "string",
}
_FOREIGN = re.compile(r"[^\x00-\x1f\x7f\"/\\]{1,64}")


class Kind(StrEnum):
    """What a column is."""

    TAG = "tag"
    FIELD = "field"
    QUALITY = "quality"
    RAW = "raw"
    ORIGIN = "origin"  # gateway, stream, seq, source_time


FIXED: dict[str, tuple[str, Kind]] = {
    "site": ("VARCHAR", Kind.TAG),
    "device": ("VARCHAR", Kind.TAG),
    "gateway": ("VARCHAR", Kind.ORIGIN),
    "stream": ("VARCHAR", Kind.ORIGIN),
    "seq": ("BIGINT", Kind.ORIGIN),
    "source_time": ("TIMESTAMP_NS", Kind.ORIGIN),
}


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def is_foreign_name(name: str) -> bool:
    """Whether a name that came by line protocol may become a table or a column."""
    return _FOREIGN.fullmatch(name) is not None and name.strip() == name


def kind_of(name: str) -> Kind:
    """What a column is by its name alone."""
    if name in FIXED:
        return FIXED[name][1]
    if name.endswith("_q"):
        return Kind.QUALITY
    return Kind.RAW if name.endswith("_raw") else Kind.FIELD
