"""The outlets of one agent: begun, changed and counted together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.outlets.forms import Origin
from edge.outlets.options import OutletConfig
from edge.outlets.outlet import Outlet
from tocsin.contract.columns import Layout, Row

if TYPE_CHECKING:
    from edge.app import Agent


class Outlets:
    """Each hears every stored row. Their MQTT library is loaded only where one is configured."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._running: dict[str, Outlet] = {}

    def begin(self) -> None:
        """Run those of the configuration, anew; what waited for one of the same name and form goes on waiting."""
        agent, before = self._agent, self._running
        self._running = {}
        for config in agent.config.outlets:
            outlet = self._make(config)
            if (old := before.pop(config.name, None)) is not None:
                outlet.take_over(old)
            self._running[config.name] = outlet
            agent.crew.replace(f"outlet:{config.name}", outlet.run)
        for name in before:
            agent.crew.end(f"outlet:{name}")
        agent.flow.unlisten(self.hear)
        if self._running:
            agent.flow.listen(self.hear)

    def hear(self, row: Row) -> None:
        """A row was judged; one whose time is not known yet is not told."""
        if row.time_ns >= self._agent.timekeeper.earliest_ns:
            for outlet in self._running.values():
                outlet.hear(row)

    def counts(self) -> dict[str, int]:
        """`NAME.sent`, `NAME.dropped`, `NAME.refused`, in rows."""
        found: dict[str, int] = {}
        for name, outlet in self._running.items():
            found[f"{name}.sent"] = outlet.sent
            found[f"{name}.dropped"] = outlet.waiting.dropped
            found[f"{name}.refused"] = outlet.refused
        return found

    def _make(self, config: OutletConfig) -> Outlet:
        agent = self._agent
        origin = Origin(agent.config.gateway.site, agent.config.gateway.id)
        if config.http is not None:
            from edge.outlets.http_line import HttpLine

            return HttpLine(config, agent.clock, origin)
        from edge.outlets.mqtt import MqttOutlet, SparkplugOutlet

        def units(layout: Layout) -> tuple[str, ...] | None:
            try:
                judge = agent.pipeline.judge(layout.device)
            except KeyError:
                return None
            return judge.units if judge.layout == layout else None

        if config.form != "sparkplug":
            return MqttOutlet(config, agent.clock, origin, units)
        judges = [agent.pipeline.judge(spec.id) for spec in agent.found.devices]
        layouts = [(judge.layout, judge.units) for judge in judges]
        return SparkplugOutlet(config, agent.clock, origin, units, layouts)
