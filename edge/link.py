"""The uplink as the agent runs it, and what the agent tells the cloud of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import tocsin
from edge import vitals
from edge.summary import counts_of
from tocsin.contract import evidence, rollout
from tocsin.contract.messages import VERSION, Command, Health
from tocsin.contract.orders import ORDER_KINDS
from tocsin.grants import lock_messages
from tocsin.permits import messages as permit_messages

if TYPE_CHECKING:
    from edge.app import Agent
    from edge.uplink import Uplink

_POLL_S = 0.02


def open_link(agent: Agent) -> Uplink | None:
    """The configured uplink; its MQTT library is loaded only now."""
    options = agent.config.uplink
    if options is None:
        return None
    from edge.uplink import Uplink

    return Uplink(
        options,
        agent.outbox,
        site=agent.config.gateway.site,
        gateway=agent.config.gateway.id,
        clock=agent.clock,
        on_command=partial(_command, agent),
        on_config=agent.remote.command,
        others=_others(agent),
        command_key=agent.command_key,
        health=lambda: health(agent),
        evidence=agent.evidence.run,
    )


def _others(agent: Agent) -> dict[str, Callable[[bytes], Awaitable[None]]]:
    """What comes on classes of their own, each with a signature of its own."""
    found: dict[str, Callable[[bytes], Awaitable[None]]] = {
        lock_messages.DOWN: agent.orders_to_locks.take,
        evidence.DOWN: agent.evidence.take,
        rollout.DOWN: agent.models.take_offer,
        rollout.DOWN_PART: agent.models.take_part,
    }
    if agent.permits is not None:
        found[permit_messages.DOWN] = agent.permits.take
        found[permit_messages.SIGNS] = agent.permits.take_signs
    return found


async def _command(agent: Agent, command: Command) -> str | None:
    """To the alarms, or to the devices, whose results are events of their own."""
    if command.kind in ORDER_KINDS:
        await agent.orders.command(command)
        return None
    return await agent.desk.command(command)


def health(agent: Agent) -> Health:
    """The gateway about itself, now."""
    stats = agent.outbox.stats()
    return Health(
        v=VERSION,
        site=agent.config.gateway.site,
        gateway=agent.config.gateway.id,
        t=agent.clock.now_ns(),
        boot=agent.boot,
        version=tocsin.__version__,
        uptime_s=round(agent.uptime_s(), 3),
        clock=agent.timekeeper.state,
        streams=agent.outbox.stream_states(),
        devices=agent.devices.health(),
        unjournalled_ms=agent.outbox.unjournalled_ms,
        pending_rows=stats.pending_rows,
        outbox_bytes=stats.bytes,
        outbox_cap_bytes=stats.cap_bytes,
        volatile=stats.volatile,
        rss_bytes=vitals.rss_bytes(),
        cpu_s=round(vitals.cpu_s(), 3),
        counters=counts_of(agent),
        left_out=[part.name for part in agent.loaded.left_out],
        config_version=agent.sources.store.state.version,
        attendants=agent.permits.signs() if agent.permits else None,
        seal=agent.permits.seal if agent.permits else "",
    )


async def delivered(agent: Agent) -> None:
    """Wait until the cloud has committed everything, as long as there is a session to do it over."""
    while agent.link is not None and agent.link.connected:
        stats = agent.outbox.stats()
        if not stats.pending_rows and not stats.pending_alarms:
            return
        await agent.clock.sleep(_POLL_S)
