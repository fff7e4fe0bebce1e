"""What goes over the control socket: one JSON object a line. A stream ends with `{"end": true}`."""

from __future__ import annotations

from typing import Any

import msgspec

LONGEST_LINE = 1 << 20


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operation and its arguments."""

    op: str
    args: dict[str, str] = {}


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `TocsinError` on its way to the asker."""

    code: str
    message: str
    hint: str = ""
    reason: str = ""
    exit_code: int = 1
    problems: list[dict[str, Any]] = []


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one of the fields counts: a result, an item of a stream, its end, or a failure."""

    result: object = None
    item: object = None
    end: bool = False
    error: Failure | None = None
