"""What commands print: data on stdout, everything else on stderr; `--json` prints the documented object itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from tocsin.errors import TocsinError

_SURROGATE = re.compile("[\ud800-\udfff]")  # a byte of a file's name that is not UTF-8


def to_json(value: object) -> str:
    """`value` as JSON on one line. Structs, pydantic models, dataclasses, paths and enums are understood.

    What is not UTF-8 in the name of a file is U+FFFD.
    """
    import msgspec

    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except UnicodeEncodeError:
        told = _all_utf8(msgspec.to_builtins(value, enc_hook=_plain, str_keys=True))
        return msgspec.json.encode(told).decode()


def emit(value: object, *, as_json: bool, human: Callable[[], None] | str) -> None:
    """Print a command's result: the object itself as JSON, or for people."""
    if as_json:
        stream_line(value)
    elif isinstance(human, str):
        sys.stdout.write(_utf8(human if human.endswith("\n") or not human else human + "\n"))
    else:
        human()


def stream_line(value: object) -> None:
    """Print one object of a stream (NDJSON) and flush."""
    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell a person something that is not data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(error: TocsinError, *, as_json: bool) -> int:
    """Print a failure: `{"error": ...}` on stdout with `--json`, else three lines on stderr. Its exit code."""
    if as_json:
        stream_line({"error": error.as_dict()})
    else:
        lines = [f"error: {error.message}"]
        if error.hint:
            lines.append(f"hint: {error.hint}")
        note("\n".join([*lines, error.code]))
    return error.exit_code


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Columns aligned with two spaces between; wide (CJK) characters count as two."""
    widths = [max(map(cell_width, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in (headings, *rows):
        cells = [c + " " * (w - cell_width(c)) for c, w in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def cell_width(text: str) -> int:
    """Columns a terminal needs for `text`."""
    from unicodedata import east_asian_width

    return len(text) + sum(east_asian_width(c) in "WF" for c in text)


def printable(text: str) -> str:
    """`text` from outside, for a terminal: no control characters, which could do anything there."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _utf8(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _all_utf8(value: object) -> object:
    match value:
        case str():
            return _utf8(value)
        case dict():
            return {_all_utf8(key): _all_utf8(item) for key, item in value.items()}
        case list() | tuple():
            return [_all_utf8(item) for item in value]
        case _:
            return value


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    return str(value)
