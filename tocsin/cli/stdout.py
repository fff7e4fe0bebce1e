"""Standard output that remembers why it took no more: an `OSError` of a command may as well be about a file of its own."""

from __future__ import annotations

import io
import sys


class Watched(io.TextIOWrapper):
    """Standard output in the place of `stream`."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        how = (stream.encoding, stream.errors, "\n", stream.line_buffering, stream.write_through)
        # `stream` stays as it was: a terminal is measured by `sys.__stdout__`
        super().__init__(stream.buffer, *how)
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as exc:
            self.failure = exc
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as exc:
            self.failure = exc
            raise


def failure() -> OSError | None:
    """Why standard output took no more, if it did not."""
    return sys.stdout.failure if isinstance(sys.stdout, Watched) else None


def watch() -> None:
    """Begin to remember."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = Watched(sys.stdout)
