"""A siren or relay behind a file: a GPIO's `value` file, or anything that watches a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from edge.config import OutputConfig
from edge.pipeline import sounding
from edge.pipeline.alarms import AlarmState

_log = logging.getLogger("edge.outputs")


class FileOutput:
    """Writes `on` or `off` when the alarms ask for a change. A failure is said once, counted, and tried again."""

    def __init__(self, config: OutputConfig) -> None:
        self._config = config
        self._written: bool | None = None
        self._failing = False
        self.held = False  # a permit wants it on, whatever the alarms say
        self.failures = 0

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._config.name

    @property
    def is_on(self) -> bool:
        """What was written last."""
        return bool(self._written)

    @property
    def config(self) -> OutputConfig:
        """What it does, and where."""
        return self._config

    def release(self) -> None:
        """It leaves the configuration: nobody would switch it off any more."""
        if self._written:
            self.follow(())

    def follow(self, states: Sequence[AlarmState]) -> None:
        """Set the output for these open alarms."""
        config = self._config
        wanted = self.held or sounding(
            states, min_level=config.min_level, until_ended=config.until == "ended"
        )
        if wanted == self._written:
            return
        try:
            _write(config.path, config.on if wanted else config.off)
        except OSError as exc:
            self.failures += 1
            if not self._failing:
                _log.error("output %s cannot be set: %s", config.name, exc)
            self._failing = True
            return
        if self._failing:
            _log.info("output %s works again", config.name)
        self._failing, self._written = False, wanted


def _write(path: Path, text: str) -> None:
    """Replace a regular file atomically; write into a device or sysfs file as it stands."""
    if path.exists() and (not path.is_file() or path.is_relative_to("/sys")):
        # a pipe that nobody reads must not stop the gateway: it is an error (fifo(7), ENXIO)
        opened = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK)
        try:
            os.write(opened, text.encode())
        finally:
            os.close(opened)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.replace(path)
