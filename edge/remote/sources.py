"""Which configuration is in force: the gateway's own file, or what the cloud sent after it was last changed."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from edge.config import GatewayConfig, load_gateway, load_right_sections
from edge.remote.store import RemoteState, RemoteStore
from tocsin.config import Loaded
from tocsin.errors import ConfigError

MOST_STARTS = 3  # of a version on trial
_log = logging.getLogger("edge.remote")


@dataclass(frozen=True, slots=True)
class Story:
    """Something about a remote configuration that the cloud must hear: an event's kind, text and data."""

    kind: str
    text: str
    data: dict[str, object]


class Sources:
    """The gateway's own file, which is never written, and the store of what the cloud sent.

    The rule: a change of the own file always wins over what was sent before it.
    """

    def __init__(self, path: Path, data_dir: Path) -> None:
        self.path = path
        self.store = RemoteStore(data_dir / "remote")
        self.stories: list[Story] = []  # of the start, for when events can be told

    @classmethod
    def at_start(cls, path: Path, *, strict: bool = False) -> tuple[Sources, Loaded[GatewayConfig]]:
        """What an agent starts with. A version from the cloud that cannot be used, or never came to an end of its trial, is left.

        Raises:
            ConfigError: as `load_right_sections`; with `strict`, for every mistake.
        """
        own = load_gateway(path) if strict else load_right_sections(path)
        sources = cls(path, own.value.gateway.data_dir)
        return sources, sources._begin(own)

    def _begin(self, own: Loaded[GatewayConfig]) -> Loaded[GatewayConfig]:
        state = self.store.state
        if not state.version:
            return own
        if not self.remote_in_force():
            self.stories.append(self.superseded())
            return own
        if state.state == "trial":
            if state.starts >= MOST_STARTS:
                self.stories.append(self.roll_back(f"{state.starts} starts without an end of it"))
                return self._begin(own)
            self.store.note(structs.replace(state, starts=state.starts + 1))
        try:
            return self.load(state.version, files=False)
        except ConfigError as exc:
            _log.error("remote configuration %d cannot be used:\n%s", state.version, exc.message)
            self.stories.append(self.roll_back("it cannot be used any more"))
            return self._begin(own)

    def remote_in_force(self) -> bool:
        """Whether what the cloud sent counts: the own file is as it was then."""
        state = self.store.state
        return state.version > 0 and state.base == self.base()

    def base(self) -> str:
        """SHA-256 of the gateway's own file; empty while it cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""

    def load(self, version: int, *, files: bool = True) -> Loaded[GatewayConfig]:
        """A version, 0 for the own file, if all of it is right. References and paths start at the folder of the own file.

        Without `files`, as for what is in force already, the models of cameras are not looked at.

        Raises:
            ConfigError: with every mistake in it.
        """
        if version == 0:
            return load_gateway(self.path, files=files)
        return load_gateway(self.store.file(version), folder=self.path.parent, files=files)

    def again(self, *, own: bool) -> Loaded[GatewayConfig]:
        """What is in force now; with `own` the own file in any case.

        Raises:
            ConfigError: with every mistake in it.
        """
        return self.load(self.store.state.version if self.remote_in_force() and not own else 0)

    def superseded(self) -> Story:
        """The own file wins from now on."""
        state = self.store.state
        self.store.note(RemoteState(seen=state.seen))
        text = f"{self.path.name} was taken at the gateway, later than version {state.version}: it wins"
        return Story("config.superseded", text, told(state))

    def roll_back(self, why: str) -> Story:
        """The version before is in force from now on."""
        state = self.store.state
        before = RemoteState(seen=state.seen)
        if state.previous and state.previous_base == self.base():
            before = RemoteState(
                seen=state.seen,
                version=state.previous,
                state="confirmed",
                base=state.previous_base,
            )
        self.store.note(before)
        to = f"version {before.version}" if before.version else self.path.name
        text = f"version {state.version} is rolled back to {to}: {why}"
        return Story("config.rolled-back", text, {**told(state), "to": before.version, "why": why})


def told(state: RemoteState) -> dict[str, object]:
    """What events say of a version."""
    return {"version": state.version, "id": state.id, "actor": state.actor}
