"""What a run came to, and every counter of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge.app import Agent


class Summary(msgspec.Struct, frozen=True):
    """What a run came to. `uncommitted_readings` were taken and not yet committed when the agent stopped."""

    gateway: str
    boot: str
    seconds: float
    samples: int
    readings: int
    suppressed_readings: int
    uncommitted_readings: int
    pending_rows: int
    alarms_raised: int
    driver_restarts: int
    driver_crashes: int


def summary_of(agent: Agent) -> Summary:
    """Counts so far."""
    stats = agent.outbox.stats()
    return Summary(
        gateway=agent.config.gateway.id,
        boot=agent.boot,
        seconds=round(agent.uptime_s(), 3),
        samples=agent.flow.processed,
        readings=stats.readings,
        suppressed_readings=agent.flow.counters["suppressed"],
        uncommitted_readings=agent.abandoned + agent.flow.readings - stats.readings,
        pending_rows=stats.pending_rows,
        alarms_raised=agent.desk.raised,
        driver_restarts=agent.counters["driver_restarts"],
        driver_crashes=agent.counters["driver_crashes"],
    )


def counts_of(agent: Agent) -> dict[str, int]:
    """Every counter that is not zero."""
    found = agent.counters + agent.flow.counters
    if agent.link is not None:
        found.update({f"uplink.{name}": n for name, n in agent.link.counters.items()})
    found.update({f"evidence.{name}": n for name, n in agent.evidence.counters.items()})
    found.update({f"models.{name}": n for name, n in agent.models.counters.items()})
    found.update({f"commands.{name}": n for name, n in agent.orders.counters.items()})
    found.update({f"outlets.{name}": n for name, n in agent.outlets.counts().items()})
    found["events_dropped"] += agent.events.dropped
    found["held_rows"] += agent.outbox.holds
    found["outbox_salvaged"] += agent.outbox.salvaged
    for output in agent.desk.outputs:
        found["output_failures"] += output.failures
    return {name: n for name, n in sorted(found.items()) if n}
