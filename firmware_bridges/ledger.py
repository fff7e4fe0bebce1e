"""The ground truth of a virtual device: one line for everything its port answered, written before the answer leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tocsin.contract.catalogue import Value


class Ledger:
    """An NDJSON file that is only appended to; each line is one write, so a killed device leaves whole lines."""

    def __init__(self, path: Path | None) -> None:
        self._fd: int | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def values(self, device: str, t_ns: int, values: Mapping[str, Value]) -> None:
        """The canonical values that one answer encodes."""
        self._write({"device": device, "t_ns": t_ns, "values": values})

    def mark(self, mark: str, device: str, t_ns: int, **details: Value) -> None:
        """Something that happened beside the answers: a limit crossed, a fault played."""
        self._write({"mark": mark, "device": device, "t_ns": t_ns, **details})

    def _write(self, line: Mapping[str, object]) -> None:
        if self._fd is not None:
            os.write(self._fd, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Frees the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
