"""A local acknowledge button behind a file: each change of its content is one press."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge.config import InputConfig
from tocsin.sdk import Clock

_LONGEST = 4096


class FileButton:
    """Looks at the file every `poll_ms`. What it holds at start is no press, nor is its absence."""

    def __init__(self, config: InputConfig) -> None:
        self._config = config
        self._before = self._read()

    @property
    def name(self) -> str:
        """Recorded as the one who acknowledged."""
        return self._config.name

    def pressed(self) -> bool:
        """Whether the content changed since the last look."""
        now = self._read()
        changed = now is not None and now != self._before
        if now is not None or self._before is None:
            self._before = now
        return changed

    async def run(self, clock: Clock, on_press: Callable[[str], Awaitable[None]]) -> None:
        """Watch until cancelled."""
        while True:
            await clock.sleep(self._config.poll_ms / 1000)
            if self.pressed():
                await on_press(self.name)

    def _read(self) -> bytes | None:
        try:
            with self._config.path.open("rb") as source:
                return source.read(_LONGEST)
        except OSError:
            return None
