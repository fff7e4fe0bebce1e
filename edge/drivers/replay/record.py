"""One row of any recording, and what a recording can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from tocsin.contract.catalogue import Value
from tocsin.errors import DriverError, DriverReason
from tocsin.sdk import Channel

Count = Callable[[str, int], None]


class Record(msgspec.Struct, frozen=True):
    """Values in the order of the recording's channels; `time_ns` UTC, None where the row has no time."""

    time_ns: int | None
    values: tuple[Value, ...]
    quality: tuple[int, ...] | None = None


class Recording(Protocol):
    """A file as rows. Reading is lazy; a row that cannot be used is counted and the next one taken."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Known without opening the file."""
        ...

    def records(self, count: Count) -> Iterator[Record]:
        """From the start of the file.

        Raises:
            DriverError: it cannot be opened or is not what it should be.
        """
        ...


def bad_file(path: Path, why: object, hint: str = "") -> DriverError:
    """The error of a file that cannot be replayed."""
    return DriverError(DriverReason.BAD_FILE, f"{path}: {why}", hint=hint)
