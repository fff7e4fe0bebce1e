"""What commands print: data on stdout, everything else on stderr; `--json` prints the documented object itself."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tocsin.errors import TocsinError


def to_json(value: object) -> str:
    """`value` as JSON on one line. Structs, pydantic models, dataclasses, paths and enums are understood."""
    import msgspec

    return msgspec.json.encode(value, enc_hook=_plain).decode()


def emit(value: object, *, as_json: bool, human: Callable[[], None] | str) -> None:
    """Print a command's result: the object itself as JSON, or for people."""
    if as_json:
        stream_line(value)
    elif isinstance(human, str):
        sys.stdout.write(human if human.endswith("\n") or not human else human + "\n")
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


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    return str(value)
