"""What InfluxDB 1, 2 and 3 say of a write, read from their answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAX_MESSAGE_CHARS = 500
MAX_RETRY_AFTER_S = 300.0
_NUMBERED = re.compile(r"\bline (\d+)\b")
_QUOTED = re.compile(r"unable to parse '(.+?)': ", re.S)
_DROPPED = re.compile(r"\bdropped=(\d+)\b")


@dataclass(frozen=True, slots=True)
class Answer:
    """2xx is stored. `numbers` (from 1) and `texts` are lines the message names, `dropped` how many it says it lost."""

    status: int
    message: str = ""
    retry_after_s: float | None = None
    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    dropped: int = 0
    foreign: bool = False  # a web page: something else answers in InfluxDB's place

    def suspects(self, lines: list[str]) -> list[int]:
        """Indices of the lines that are named. A hint only: each is to be tried alone before it is believed."""
        found = {n - 1 for n in self.numbers if 0 < n <= len(lines)}
        if self.texts:
            wanted = set(self.texts)
            found |= {i for i, line in enumerate(lines) if line in wanted}
        return sorted(found)


def read_answer(status: int, raw: bytes | str | None, retry_after: str | None = None) -> Answer:
    """The answer with this status, body and `Retry-After` header."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")
    message, numbers = text.strip(), []
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        message = str(told.get("message") or told.get("error") or text)
        numbers = [told.get("line"), *(part.get("line_number") for part in _parts(told))]
        if why := next((part.get("error_message") for part in _parts(told)), ""):
            message = f"{message}: {why}"
    dropped = _DROPPED.search(message)
    return Answer(
        status,
        message.strip()[:MAX_MESSAGE_CHARS],
        _seconds(retry_after),
        tuple(n for n in numbers if isinstance(n, int))
        or tuple(map(int, _NUMBERED.findall(message))),
        tuple(_QUOTED.findall(message)),
        int(dropped[1]) if dropped else 0,
        foreign=told is None and text.lstrip().startswith("<"),
    )


def _parts(told: dict[str, object]) -> list[dict[str, object]]:
    """InfluxDB 3 names each refused line in `data`, a list; where it refuses all for one, an object."""
    data = told.get("data")
    parts = data if isinstance(data, list) else [data]
    return [part for part in parts if isinstance(part, dict)]


def _seconds(text: str | None) -> float | None:
    try:
        return min(max(0.0, float(text)), MAX_RETRY_AFTER_S) if text else None
    except ValueError:
        return None  # an HTTP date; the caller's own back-off is good enough
