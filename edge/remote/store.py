"""What the cloud sent, on disk: `data_dir/remote/<version>.toml` and which of them is in force."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from edge.durable import write_durably

_log = logging.getLogger("edge.remote")
State = Literal["none", "trial", "confirmed"]


class RemoteState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which version is in force; 0 is the gateway's own file.

    `seen` is the highest version ever taken: no lower one comes again. `base` is the SHA-256 of the gateway's own file
    when `version` was taken; once that file is another, it wins. `starts` counts starts of the agent while on trial.
    """

    seen: int = 0
    version: int = 0
    state: State = "none"
    base: str = ""
    id: str = ""
    actor: str = ""
    previous: int = 0
    previous_base: str = ""
    starts: int = 0


class RemoteStore:
    """The folder. Reads it once; every change is durable before it counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.state = self._read()

    def file(self, version: int) -> Path:
        """Where a version lies."""
        return self._folder / f"{version}.toml"

    def keep(self, version: int, toml: str) -> Path:
        """Make a version durable, before it is in force.

        Raises:
            OSError: the disk refuses.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may hold secrets
        write_durably(self.file(version), toml.encode())
        return self.file(version)

    def save(self, state: RemoteState) -> None:
        """This is so from now on; versions that nobody can go back to are removed.

        Raises:
            OSError: the disk refuses.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may hold secrets
        write_durably(self._folder / "state.json", msgspec.json.encode(state))
        self.state = state
        kept = {self.file(state.version), self.file(state.previous)}
        for path in self._folder.glob("*.toml"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def note(self, state: RemoteState) -> None:
        """As `save`, but it is so from now on even if the disk refuses."""
        self.state = state
        try:
            self.save(state)
        except OSError as exc:
            _log.error("what is in force cannot be kept in %s: %s", self._folder, exc)

    def _read(self) -> RemoteState:
        path = self._folder / "state.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=RemoteState)
        except FileNotFoundError:
            return RemoteState()
        except (OSError, msgspec.DecodeError) as exc:
            aside = path.with_suffix(".unreadable")
            _log.error("%s cannot be read (%s); kept as %s", path, exc, aside.name)
            with suppress(OSError):
                path.replace(aside)
            return RemoteState()
