"""What an agent counts and measures of itself: as Prometheus metrics, and as readings of a device of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import tocsin
from edge import vitals
from edge.prometheus import Metric, Point
from edge.summary import counts_of
from tocsin.contract.catalogue import Value
from tocsin.sdk import Channel, DeviceSpec, Sample

if TYPE_CHECKING:
    from edge.app import Agent
    from edge.config import GatewayConfig

SELF = "(gateway)"  # in the place of a driver's name, and no name a driver can have
_CHANNELS = (
    Channel("cpu", "%"),
    Channel("rss", "By", "i"),
    Channel("uptime", "s"),
    Channel("disk_free", "By", "i"),
    Channel("outbox", "By", "i"),
    Channel("pending", "1", "i"),
    Channel("waiting", "1", "i"),
    Channel("clock_error", "ms"),
    Channel("unavailable", "1", "i"),
    Channel("alarms", "1", "i"),
    Channel("driver_restarts", "1", "i"),
    Channel("dropped", "1", "i"),
)


def own_device(config: GatewayConfig) -> tuple[DeviceSpec, ...]:
    """The gateway as a device of itself, if `[metrics]` wants it."""
    options = config.metrics
    if options is None or not options.readings:
        return ()
    name = options.device or config.gateway.id
    return (DeviceSpec(name, "gateway", _CHANNELS, period_s=options.period_s, model="tocsin"),)


class SelfReader:
    """Reads the agent as its drivers read their devices."""

    def __init__(self, agent: Agent, spec: DeviceSpec) -> None:
        self._agent, self._spec = agent, spec
        self._cpu_s, self._at_ns = vitals.cpu_s(), agent.clock.mono_ns()

    async def run(self) -> None:
        """One row every period, until cancelled."""
        clock, period_s = self._agent.clock, self._spec.period_s or 60.0
        due_ns = clock.mono_ns()
        while True:
            due_ns += int(period_s * 1e9)
            await clock.sleep(max(0.0, (due_ns - clock.mono_ns()) / 1e9))
            await self._agent.flow.put(await self.sample())

    async def sample(self) -> Sample:
        """One row of the moment; the CPU share is that since the last one."""
        agent = self._agent
        stats, health = agent.outbox.stats(), agent.devices.health()
        free = await asyncio.to_thread(vitals.disk_free_bytes, agent.config.gateway.data_dir)
        cpu_s, now_ns = vitals.cpu_s(), agent.clock.mono_ns()
        share = 100e9 * (cpu_s - self._cpu_s) / max(1, now_ns - self._at_ns)
        self._cpu_s, self._at_ns = cpu_s, now_ns
        values: dict[str, Value] = {
            "cpu": round(share, 2),
            "rss": vitals.rss_bytes(),
            "uptime": round(agent.uptime_s(), 1),
            "disk_free": free,
            "outbox": stats.bytes,
            "pending": stats.pending_rows,
            "waiting": agent.flow.waiting,
            "clock_error": agent.timekeeper.state.error_ms,
            "unavailable": sum(d.state == "unavailable" for d in health),
            "alarms": len(agent.pipeline.board.active()),
            "driver_restarts": agent.counters["driver_restarts"],
            "dropped": stats.dropped_rows,
        }
        row = tuple(values[channel.quantity] for channel in _CHANNELS)
        return Sample(self._spec, agent.clock.now_ns(), row)


def metrics(agent: Agent) -> list[Metric]:
    """Everything, for a Prometheus to scrape."""
    return [*_process(agent), *_outbox(agent), *_parts(agent)]


def _process(agent: Agent) -> Iterator[Metric]:
    gateway, state = agent.config.gateway, agent.timekeeper.state
    labels = {"gateway": gateway.id, "site": gateway.site, "version": tocsin.__version__}
    yield _gauge("info", "Who this is; always 1.", 1, labels)
    yield _gauge("uptime_seconds", "Time since the agent started.", agent.uptime_s())
    text = "CPU time, user and system."
    yield Metric("process_cpu_seconds_total", "counter", text, [Point({}, vitals.cpu_s())])
    text = "Resident memory."
    yield Metric("process_resident_memory_bytes", "gauge", text, [Point({}, vitals.rss_bytes())])
    text = "What is known of the clock: 1 for the state it is in."
    states = [Point({"state": s}, float(s == state.state)) for s in ("ntp", "gps", "free", "unset")]
    yield Metric("tocsin_clock_state", "gauge", text, states)
    if state.error_ms is not None:
        yield _gauge("clock_error_seconds", "Bound of the clock's error.", state.error_ms / 1000)
    if agent.link is not None:
        yield _gauge("uplink_connected", "Whether there is a session.", agent.link.connected)
    yield _gauge("alarms_open", "Open alarms.", len(agent.pipeline.board.active()))
    left_out = len(agent.loaded.left_out)
    yield _gauge("left_out_sections", "Wrong sections that the agent goes without.", left_out)


def _outbox(agent: Agent) -> Iterator[Metric]:
    stats = agent.outbox.stats()
    data_dir = agent.config.gateway.data_dir
    free = vitals.disk_free_bytes(data_dir)
    yield _gauge("disk_free_bytes", "Free space where the outbox lies.", free)
    yield _gauge("outbox_bytes", "Size of the outbox.", stats.bytes)
    yield _gauge("outbox_capacity_bytes", "Largest size of the outbox.", stats.cap_bytes)
    yield _gauge("outbox_pending_rows", "Rows the cloud has not committed.", stats.pending_rows)
    yield _gauge("outbox_pending_alarms", "Alarms likewise.", stats.pending_alarms)
    yield _gauge("waiting_samples", "Samples that wait to be judged.", agent.flow.waiting)
    yield _counter("samples", "Samples judged.", agent.flow.processed)
    yield _counter("readings", "Values committed to the outbox.", stats.readings)
    yield _counter("outbox_commits", "Commits.", stats.commits)
    yield _counter("outbox_commit_failures", "Commits the disk refused.", stats.commit_failures)
    yield _counter("outbox_written_bytes", "Bytes written to the disk.", stats.written_bytes)
    yield _counter("outbox_dropped_rows", "Rows thinned out for want of room.", stats.dropped_rows)
    text = "Rows larger than any message, given up."
    yield _counter("outbox_oversized_rows", text, stats.oversized_rows)


def _parts(agent: Agent) -> Iterator[Metric]:
    health = agent.devices.health()
    yield _each(
        "device_up", "gauge", "Whether a device answers.",
        (({"device": d.id, "driver": d.driver}, d.state == "ok") for d in health),
    )  # fmt: skip
    yield _each(
        "device_reads_total", "counter", "Samples of a device.",
        (({"device": d.id}, d.reads) for d in health),
    )  # fmt: skip
    yield _each(
        "device_errors_total", "counter", "Failed reads of a device.",
        (({"device": d.id}, d.errors) for d in health),
    )  # fmt: skip
    yield _each(
        "device_last_ok_timestamp_seconds", "gauge", "When a device last gave a value.",
        (({"device": d.id}, d.last_ok_ns / 1e9) for d in health if d.last_ok_ns is not None),
    )  # fmt: skip
    yield _each(
        "driver_running", "gauge", "Whether a driver runs.",
        (({"driver": d.name, "type": d.type}, d.state == "running") for d in agent.drivers),
    )  # fmt: skip
    yield _each(
        "driver_restarts_total", "counter", "Restarts after a failure.",
        (({"driver": d.name}, d.restarts) for d in agent.drivers),
    )  # fmt: skip
    outputs = agent.desk.outputs
    yield _each(
        "output_on", "gauge", "Whether a siren or relay is on.",
        (({"output": o.name}, o.is_on) for o in outputs),
    )  # fmt: skip
    yield _each(
        "output_failures_total", "counter", "Times it could not be set.",
        (({"output": o.name}, o.failures) for o in outputs),
    )  # fmt: skip
    yield _each(
        "counter_total", "counter", "Every other counter, as in `tocsin edge status`.",
        (({"counter": name}, n) for name, n in counts_of(agent).items()),
    )  # fmt: skip


def _gauge(name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> Metric:
    return Metric(f"tocsin_{name}", "gauge", text, [Point(dict(labels or {}), float(value))])


def _counter(name: str, text: str, value: float) -> Metric:
    return Metric(f"tocsin_{name}_total", "counter", text, [Point({}, float(value))])


def _each(
    name: str, kind: str, text: str, points: Iterable[tuple[dict[str, str], float]]
) -> Metric:
    found = [Point(labels, float(value)) for labels, value in points]
    return Metric(f"tocsin_{name}", kind, text, found)
