"""Takes configurations from the cloud: judged, kept, put in force on trial; without the cloud at its end, rolled back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import structs

from edge.remote.sources import Sources, Story, told
from edge.remote.store import RemoteState
from tocsin.config import Loaded
from tocsin.contract.messages import Command, Event
from tocsin.contract.remote import APPLY, MAX_TOML_BYTES, WITHDRAW
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    ConfigError,
    ConfigProblem,
    OutboxError,
    TocsinError,
)

if TYPE_CHECKING:
    from edge.app import Agent
    from edge.config import GatewayConfig

_log = logging.getLogger("edge.remote")
_LOOK_S = 0.5
_MOST_PROBLEMS = 50
NOT_FROM_AFAR = ("gateway.", "outbox.", "control.", "commands.")


class RemoteDesk:
    """One configuration at a time. Its results are events: `config.applied`, then `config.confirmed` or `config.rolled-back`; or `config.refused`."""

    def __init__(self, agent: Agent, sources: Sources) -> None:
        self._agent, self._sources = agent, sources
        self._coming: asyncio.Queue[Command] = asyncio.Queue(1)

    async def command(self, command: Command) -> None:
        """A checked command from the cloud; returns at once, its results follow as events.

        Raises:
            CommandRefusedError: not wanted here, no such command, older than what is known, or another is being taken.
        """
        options = self._agent.config.commands
        if not options.remote_config:
            text = "this gateway takes no configuration from the cloud (commands.remote_config)"
            raise CommandRefusedError(CommandRefusal.REFUSED, text)
        version, toml = command.args.get("version"), command.args.get("toml", "")
        if command.kind not in (APPLY, WITHDRAW) or type(version) is not int or version < 1:
            raise CommandRefusedError(
                CommandRefusal.UNKNOWN_KIND, f"no configuration {command.kind!r}"
            )
        seen = self._sources.store.state.seen
        if version <= seen:
            raise CommandRefusedError(
                CommandRefusal.OLD_VERSION, f"version {version}, and {seen} was taken already"
            )
        if not isinstance(toml, str) or len(toml.encode()) > MAX_TOML_BYTES:
            raise CommandRefusedError(CommandRefusal.REFUSED, f"more than {MAX_TOML_BYTES} bytes")
        try:
            self._coming.put_nowait(command)
        except asyncio.QueueFull:
            raise CommandRefusedError(
                CommandRefusal.REFUSED, "another configuration is being taken"
            ) from None

    async def run(self) -> None:
        """Take what comes, and end trials, until cancelled."""
        for story in self._sources.stories:
            await self._tell(story)
        async with asyncio.TaskGroup() as tasks:
            while True:
                trial = None
                if self._sources.store.state.state == "trial":
                    trial = tasks.create_task(self._trial(), name="remote-trial")
                command = await self._coming.get()
                if trial is not None:
                    trial.cancel()
                    await asyncio.wait({trial})
                await self._take(command)

    async def superseded(self) -> None:
        """The own file was changed and taken: it wins."""
        if self._sources.store.state.version:
            await self._tell(self._sources.superseded())

    async def _take(self, command: Command) -> None:
        version = int(command.args["version"])
        sources, before = self._sources, self._sources.store.state
        new = RemoteState(seen=version, id=command.id, actor=command.actor)
        try:
            if command.kind == WITHDRAW:
                loaded = await asyncio.to_thread(sources.load, 0)
            else:
                path = sources.store.keep(version, str(command.args["toml"]))
                loaded = await asyncio.to_thread(sources.load, version)
                _log.info("remote configuration %d by %s: %s", version, command.actor, path)
                base, tried = sources.base(), before.state == "trial"
                new = structs.replace(
                    new,
                    version=version,
                    state="trial",
                    base=base,
                    previous=before.previous if tried else before.version,
                    previous_base=before.previous_base if tried else before.base,
                )
            taken = await self._agent.reloader.take(
                loaded, fixed=NOT_FROM_AFAR, ready=lambda: sources.store.save(new)
            )
        except (TocsinError, OSError) as exc:
            await self._refuse(command, version, exc)
            return
        data = {
            **told(new),
            "version": version,
            "confirm_s": self._confirm_s,
            "changed": taken.text,
        }
        if command.kind == WITHDRAW:
            await self._tell(Story("config.withdrawn", f"{sources.path.name} is in force", data))
        else:
            text = f"version {version} is in force, on trial: {taken.text}"
            await self._tell(Story("config.applied", text, data))

    async def _refuse(self, command: Command, version: int, exc: Exception) -> None:
        problems = exc.problems if isinstance(exc, ConfigError) else []
        why = f"{len(problems)} mistakes" if problems else str(exc)
        text = f"version {version} is refused: {why}"
        self._sources.store.note(self._sources.store.state)  # and its file goes
        data: dict[str, object] = {
            "version": version,
            "id": command.id,
            "actor": command.actor,
            "problems": [_named(problem) for problem in problems[:_MOST_PROBLEMS]],
        }
        await self._tell(Story("config.refused", text, data))

    @property
    def _confirm_s(self) -> float:
        return self._agent.config.commands.confirm_s

    async def _trial(self) -> None:
        """The cloud has to commit an event of the second half of the time, and the session to stand at its end."""
        clock, state = self._agent.clock, self._sources.store.state
        half_ns = int(self._confirm_s * 5e8)
        began_ns, asked = clock.mono_ns(), None
        while (passed_ns := clock.mono_ns() - began_ns) < 2 * half_ns:
            await clock.sleep(min(_LOOK_S, max(0.01, (2 * half_ns - passed_ns) / 1e9)))
            if self._sources.store.state != state:
                return  # another configuration is in force meanwhile
            if asked is None and passed_ns >= half_ns:
                text = f"version {state.version}: does the cloud hear this?"
                asked = await self._tell(Story("config.on-trial", text, told(state)))
        if self._answered(asked):
            self._sources.store.note(structs.replace(state, state="confirmed", previous=0))
            text = f"version {state.version} is confirmed: the cloud still hears this gateway"
            await self._tell(Story("config.confirmed", text, told(state)))
        else:
            await self._roll_back()

    def _answered(self, asked: Event | None) -> bool:
        link = self._agent.link
        if asked is None or link is None or not link.connected:
            return False
        states = {s.stream: s for s in self._agent.outbox.stream_states()}
        return asked.stream in states and states[asked.stream].committed > asked.seq

    async def _roll_back(self) -> None:
        story = self._sources.roll_back("the cloud was not heard at the end of its trial")
        _log.error("remote configuration: %s", story.text)
        loaded = await asyncio.to_thread(self._fallback)
        try:
            await self._agent.reloader.take(loaded)
        except TocsinError as exc:  # the gateway's own file names another gateway by now
            _log.error("it cannot be put in force without a restart:\n%s", exc.message)
        await self._tell(story)

    def _fallback(self) -> Loaded[GatewayConfig]:
        from edge.config import load_right_sections

        version = self._sources.store.state.version
        if version:
            return self._sources.load(version, files=False)
        return load_right_sections(self._sources.path)

    async def _tell(self, story: Story) -> Event | None:
        _log.info("%s: %s", story.kind, story.text)
        try:
            return await self._agent.outbox.put_event(story.kind, "", story.text, story.data)
        except OutboxError as exc:
            _log.error("%s could not be journalled: %s", story.kind, exc.message)
            return None


def _named(problem: ConfigProblem) -> dict[str, object]:
    """A mistake as the sender of the file knows it, without where it lies here."""
    return {name: value for name, value in problem.as_dict().items() if name != "file"}
