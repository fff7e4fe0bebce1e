"""`python -m tocsin.lab.chaos.clocked FILE COMMAND...`: `tocsin COMMAND...` with a wall clock that another process moves.

The first eight bytes of FILE are the nanoseconds by which it is off (little endian, signed); they may change at any time.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

from tocsin.sdk import SystemClock

_OFFSET = struct.Struct("<q")


def write_offset(path: Path, offset_ns: int) -> None:
    """Move the clock of whoever runs with this file."""
    path.touch()
    with path.open("r+b") as file:
        file.write(_OFFSET.pack(offset_ns))


def main() -> None:
    """Becomes the command."""
    path = Path(sys.argv[1])
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def now_ns(_clock: SystemClock) -> int:
        off_ns: int = _OFFSET.unpack_from(offset)[0]
        return time.time_ns() + off_ns

    SystemClock.now_ns = now_ns  # type: ignore[method-assign, assignment]
    sys.argv[1:] = sys.argv[2:]
    runpy.run_module("tocsin.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
