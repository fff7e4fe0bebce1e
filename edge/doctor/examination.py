"""The whole examination, in the order in which a technician would look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.control.client import ask, follow
from edge.doctor import clock, disk, installation, ports, secrets
from edge.doctor.findings import Finding, fail, ok, warn
from tocsin.cli.data import data_dir
from tocsin.errors import ConfigError, ControlError, TocsinError
from tocsin.sdk import Clock

if TYPE_CHECKING:
    from edge.config import GatewayConfig


def examine(path: Path, now: Clock) -> Iterator[Finding]:
    """Findings as they come; a connection that is tried may take seconds."""
    from edge.config import load_gateway

    yield from installation.look(_models())
    yield from ports.adapters()
    try:
        loaded = load_gateway(path, files=False)  # its models are findings of their own
    except ConfigError as exc:
        for problem in exc.problems:
            yield fail("config", str(problem), f"tocsin check -c {path}")
        return
    yield ok("config", f"{path} is right")
    for text in loaded.warnings:
        yield warn("config", text, "docs/reference/gateway-config.md")
    config = loaded.value
    yield from installation.models_of(config.drivers)
    yield from secrets.look(path, config.uplink.tls if config.uplink else None)
    status = agent_status(config)
    yield from _agent(status, config.socket)
    folder, runs = config.gateway.data_dir, status is not None
    yield from disk.look(folder, config.outbox.max_bytes, agent_runs=runs)
    yield from clock.look(now.now_ns(), disk.last_wall_ns(folder))
    yield from ports.look(config.drivers, agent_runs=runs)
    yield from _broker(config, status, now)


def agent_status(config: GatewayConfig) -> dict[str, Any] | None:
    """What the running agent says of itself; None when there is none."""
    try:
        found = ask(config.socket, "status")
    except ControlError:
        return None
    return found if isinstance(found, dict) else None


def _agent(status: dict[str, Any] | None, socket: Path) -> Iterator[Finding]:
    if status is None:
        yield warn("agent", "no agent runs here with this configuration", "tocsin edge run -c FILE")
        return
    yield ok("agent", f"runs since {status['uptime_s']:.0f} s, {status['readings']} readings kept")
    for device in status["devices"]:
        if device["state"] == "unavailable":
            text = f"{device['id']} is unavailable: {device.get('last_error', '')}"
            more = "trace" if _has_frames(socket, device["id"]) else "test"
            yield fail("device", text, f"tocsin {more} {device['id']}")
    for output in status["outputs"]:
        if output["failures"]:
            text = f"output {output['name']} failed {output['failures']} times"
            yield fail("output", text, "is its file there and writable?")


def _has_frames(socket: Path, device: str) -> bool:
    """Whether there is anything to trace: a camera has no frames, nor has a line that was never opened."""
    with suppress(TocsinError):
        return any(follow(socket, "trace", {"name": device, "last": "1"}))
    return False


def _broker(config: GatewayConfig, status: dict[str, Any] | None, now: Clock) -> Iterator[Finding]:
    if config.uplink is None:
        yield warn("broker", "no [uplink]: readings stay on this gateway", "add an [uplink] table")
        return
    from edge.doctor import broker

    if status is not None and status["connected"]:
        yield ok("broker", f"the agent is connected; {status['pending_rows']} rows wait")
    today = datetime.fromtimestamp(now.now_ns() / 1e9, UTC)
    yield from broker.look(config.uplink, config.gateway.site, config.gateway.id, today)


def _models() -> Path:
    with suppress(TocsinError):
        return data_dir("models")
    return Path("models")
