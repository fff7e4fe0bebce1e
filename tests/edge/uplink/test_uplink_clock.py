"""A clock that jumps by years, forward and back, while running and across restarts: numbers and commands do not care."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.options import OutboxOptions, UplinkOptions
from edge.outbox import Outbox
from edge.uplink import Uplink
from tests.edge.uplink.test_uplink import LAYOUT, alarm, command, ingester
from tocsin.broker import ChildBroker
from tocsin.config import Secret
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Row
from tocsin.contract.messages import NS_PER_UNIT, Alarm, Batch, Command
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until
from tocsin.testing.ingester import TestIngester

YEAR_NS = 365 * 86_400 * 1_000_000_000
JUMPS = ((0, 10), (-40, 0), (25, -1), (0,))  # years, per run of the gateway


class JumpingClock(SystemClock):
    """The machine's, some years off."""

    def __init__(self) -> None:
        self.years = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.years * YEAR_NS


def stamps(cloud: TestIngester) -> list[int]:
    """Of every row, resends left out, by time."""
    sent = {decode_header(p).first_seq: p for _, p in cloud.received(topics.TELEMETRY)}
    batches = [decode_body(decode_header(p), p, Batch) for p in sent.values()]
    return sorted(
        b.t0 + t * NS_PER_UNIT[b.tu] for b in batches for group in b.groups for t in group.times
    )


async def test_each_row_arrives_once_with_its_stamp_and_a_command_runs_once(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    clock = JumpingClock()
    done: list[str] = []

    async def carry_out(order: Command) -> str:
        done.append(order.id)
        return "done"

    options = UplinkOptions(
        host="127.0.0.1", port=mosquitto.port, password=Secret("gw-1-password"), resend_after_s=1.0
    )
    once = command("once", expires_ns=SystemClock().now_ns() + 3_600_000_000_000)
    told: list[int] = []
    with ingester(mosquitto.port) as cloud:
        for run, years in enumerate(JUMPS):
            outbox = await Outbox.open(
                tmp_path,
                site="east",
                gateway="gw-1",
                clock=clock,
                options=OutboxOptions(commit_interval_ms=20),
                power_on=f"boot-{run // 2}",
            )
            uplink = Uplink(
                options,
                outbox,
                site="east",
                gateway="gw-1",
                clock=clock,
                on_command=carry_out,
                command_key=b"key",
            )
            linking = asyncio.create_task(uplink.run())
            try:
                await wait_until(lambda up=uplink: up.connected)
                for jump in years:
                    clock.years = jump
                    for _ in range(5):
                        told.append(clock.now_ns())
                        await outbox.put_rows_durable([Row(LAYOUT, told[-1], (1.0, 2.0))])
                    await outbox.put_alarms([alarm(len(told))])
                    heard = uplink.counters["commands_done"] + uplink.counters["commands_refused"]
                    cloud.command(once)
                    await wait_until(
                        lambda up=uplink, n=heard: (
                            up.counters["commands_done"] + up.counters["commands_refused"] > n
                        )
                    )
                await wait_until(lambda box=outbox: not box.stats().pending_rows)
                await wait_until(lambda box=outbox: not box.stats().pending_alarms)
            finally:
                linking.cancel()
                await asyncio.gather(linking, return_exceptions=True)
                await outbox.aclose()
        assert done == ["once"]
        assert cloud.changed == []
        assert stamps(cloud) == sorted(told)
        alarms = [decode_body(decode_header(p), p, Alarm) for _, p in cloud.received(topics.ALARM)]
        assert {a.seq for a in alarms} == set(range(sum(map(len, JUMPS))))
