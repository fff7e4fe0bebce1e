"""A new configuration for a running agent: only what differs is touched, and never the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from edge.changes import AT_RESTART, FIXED, Part, compare, said
from edge.config import GatewayConfig
from edge.pipeline import VehicleRule
from edge.survey import Survey, survey
from tocsin.config import Loaded
from tocsin.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from edge.app import Agent

_log = logging.getLogger("edge")


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload came to. `restarted`: drivers that were run anew; the other changed ones took it as they ran.

    `at_restart`: keys that differ and count only when the agent is started again.
    """

    file: str
    sections: list[Part]
    restarted: list[str]
    uplink_reconnected: bool
    at_restart: list[str]
    alarms_without_rule: list[str]
    warnings: list[str]

    @property
    def text(self) -> str:
        """In one line."""
        later = f"; only after a restart: {', '.join(self.at_restart)}" if self.at_restart else ""
        return said(self.sections) + later


class Reloader:
    """One reload at a time. The file is judged first; while it holds a mistake the old configuration runs on."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._turn = asyncio.Lock()
        self._started_with = agent.config
        self.at_restart: list[str] = []

    async def again(self, *, own: bool = False) -> Reloaded:
        """Take what is in force as it is now: the own file once it is changed, and with `own` in any case.

        Raises:
            ConfigError: with every mistake in it, and every key that cannot change while the agent runs.
        """
        agent, sources = self._agent, self._agent.sources
        async with self._turn:
            agent.reloading(ended=False)
            try:
                loaded = await asyncio.to_thread(sources.again, own=own)
                done = await self._take(loaded)
                if loaded.path == sources.path:
                    await agent.remote.superseded()
            except ConfigError as exc:
                self._refused(exc)
                raise
            finally:
                agent.reloading(ended=True)
        return done

    async def take(
        self,
        loaded: Loaded[GatewayConfig],
        *,
        fixed: tuple[str, ...] = FIXED,
        ready: Callable[[], None] = lambda: None,
    ) -> Reloaded:
        """Put a right configuration in force. `ready` is called when nothing but the switch itself is left to do.

        Raises:
            ConfigError: it changes a key that begins with one of `fixed`.
        """
        async with self._turn:
            self._agent.reloading(ended=False)
            try:
                return await self._take(loaded, fixed, ready)
            finally:
                self._agent.reloading(ended=True)

    def _refused(self, exc: ConfigError) -> None:
        problems = [problem.as_dict() for problem in exc.problems]
        text = f"{len(problems)} mistakes; the old configuration runs on"
        _log.error("the new configuration is refused: %s:\n%s", text, exc.message)
        self._agent.events.say("config.refused", "", text, {"problems": problems[:50]})

    async def _take(
        self,
        loaded: Loaded[GatewayConfig],
        fixed: tuple[str, ...] = FIXED,
        ready: Callable[[], None] = lambda: None,
    ) -> Reloaded:
        agent, config = self._agent, loaded.value
        found = await asyncio.to_thread(survey, loaded)
        parts = compare(agent.config, agent.found, config, found)
        refused = list(_fixed(parts["settings"], loaded, fixed))
        if refused:
            raise ConfigError(refused)
        ready()
        old_link = agent.config.uplink
        restarted = self._switch(loaded, found, parts)
        reconnected = config.uplink != old_link
        if reconnected:
            await agent.relink()
        elif agent.link is not None:
            agent.link.set_command_key(agent.command_key)
        await agent.desk.revise()
        lost = [f"{s.device} {s.rule}" for s in agent.pipeline.board.orphans]
        for alarm in lost:
            _log.warning("alarm %s is open and has no rule any more", alarm)
        started = compare(self._started_with, agent.found, config, found)["settings"]
        self.at_restart = [key for key in started.touched if key.startswith(AT_RESTART)]
        done = Reloaded(
            str(loaded.path),
            list(parts.values()),
            restarted,
            reconnected,
            self.at_restart,
            lost,
            list(loaded.warnings),
        )
        _log.info("new configuration: %s", done.text)
        told = {p.section: {"added": p.added, "changed": p.changed, "removed": p.removed}
                for p in done.sections if p.touched}  # fmt: skip
        agent.events.say(
            "config.reloaded",
            "",
            done.text,
            {"file": done.file, "sections": told, "at_restart": self.at_restart},
        )
        return done

    def _switch(
        self, loaded: Loaded[GatewayConfig], found: Survey, parts: dict[str, Part]
    ) -> list[str]:
        """The moment itself, in which no sample passes. Names of the drivers that are run anew."""
        agent, config, crew = self._agent, loaded.value, self._agent.crew
        running = {driver.name: driver for driver in agent.drivers}
        for name in parts["drivers"].removed:
            crew.end(f"driver:{name}")
            agent.models.leave(name)
        agent.drivers, restarted = [], []
        for wanted in config.drivers:
            driver = running.get(wanted.name)
            changed = driver is None or driver.config != wanted
            if driver is None or (
                changed and not driver.reconfigure(wanted, agent.builder(wanted))
            ):
                driver = agent.supervised(wanted)
                crew.replace(f"driver:{wanted.name}", driver.run)
                restarted.append(wanted.name)
            agent.drivers.append(driver)
        agent.loaded, agent.config, agent.found = loaded, config, found
        agent.pipeline.replace(
            found.devices,
            found.checks,
            found.alarms,
            vehicle=VehicleRule(max_speed_m_s=config.pipeline.max_vehicle_speed_m_s),
        )
        agent.flow.resize(config.pipeline.queue_samples)
        agent.orders.guards = found.guards
        for spec in agent.take_devices():
            agent.events.say("device.removed", spec.id, "no longer in the configuration", {})
        news = parts["devices"]
        agent.announce([s for s in found.devices if s.id in {*news.added, *news.changed}])
        agent.desk.replace_outputs(config.outputs)
        for name in parts["inputs"].removed:
            crew.end(f"input:{name}")
        for wanted_input in config.inputs.acknowledge:
            if wanted_input.name in {*parts["inputs"].added, *parts["inputs"].changed}:
                agent.start_button(wanted_input)
        if parts["outlets"].touched or (config.outlets and parts["devices"].touched):
            agent.outlets.begin()
        if any(key.startswith("metrics.") for key in parts["settings"].touched):
            agent.start_metrics()
        return restarted


def _fixed(
    settings: Part, loaded: Loaded[GatewayConfig], fixed: tuple[str, ...]
) -> Iterator[ConfigProblem]:
    for key in settings.touched:
        if key.startswith(fixed):
            text = "cannot change while the agent runs: it is who this gateway is; stop it first"
            if not key.startswith(FIXED):
                text = "cannot be changed from the cloud, only at the gateway"
            yield loaded.problem(tuple(key.split(".")), text)
