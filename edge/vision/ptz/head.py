"""What is asked where a camera looks. A head belongs to one thread and may block it; another may end its question."""

from __future__ import annotations

from typing import Protocol

import msgspec

from edge.vision.pose import Turned


class Answer(msgspec.Struct, frozen=True):
    """`moving` None: it does not say."""

    turned: Turned
    moving: bool | None = None


class Head(Protocol):
    """One camera's."""

    def ask(self) -> Answer:
        """Where it looks now; connects when needed.

        Raises:
            DriverError: with the reason.
            MissingExtraError: the protocol's library is not installed.
        """
        ...

    def end(self) -> None:
        """From another thread: the question under way fails at once."""
        ...

    def close(self) -> None:
        """Frees everything; may be called in any state, and again."""
        ...
