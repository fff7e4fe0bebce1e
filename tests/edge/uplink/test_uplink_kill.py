"""kill -9 of a process that acquires and sends, again and again: the ingester misses nothing that was durable."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tocsin.broker import ChildBroker
from tocsin.testing import INGESTER, run_process, wait_until
from tocsin.testing.ingester import TestIngester

_CHILD = """
import asyncio, sys
from pathlib import Path
from edge.options import OutboxOptions, UplinkOptions
from edge.outbox import Outbox
from edge.uplink import Uplink
from tocsin.config import Secret
from tocsin.contract.columns import Layout, Row
from tocsin.sdk import SystemClock
async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), site="east", gateway="gw-1", clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=5, keep_committed_bytes=0))
    options = UplinkOptions(host="127.0.0.1", port=int(sys.argv[2]), password=Secret("gw-1-password"), resend_after_s=1.0)
    async def refuse(command):
        return ""
    uplink = Uplink(options, outbox, site="east", gateway="gw-1", clock=SystemClock(), on_command=refuse)
    task = asyncio.create_task(uplink.run())
    layout = Layout("gas-01", "gas", ("h2s",), "f")
    for i in range(int(sys.argv[3])):
        await outbox.put_rows_durable([Row(layout, 1_700_000_000_000_000_000 + i, (float(i),))] * 3)
        print("durable", outbox.stream_states()[-1].next_seq, flush=True)
    while outbox.stats().pending_rows:
        await asyncio.sleep(0.02)
    print("settled", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_after_kills_while_sending_the_ingester_misses_nothing_durable(
    mosquitto: ChildBroker, tmp_path: Path
) -> None:
    with TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1"
    ) as cloud:
        durable = 0
        for sent_before_kill in (1, 40, 90, 150, 0):
            last = sent_before_kill == 0
            count = "20" if last else "100000"
            argv = [sys.executable, "-c", _CHILD, str(tmp_path), str(mosquitto.port), count]
            with run_process(argv) as child:
                if last:
                    await asyncio.to_thread(child.wait_line, "settled", 60.0)
                else:
                    goal = cloud.rows() + sent_before_kill
                    await wait_until(lambda goal=goal: cloud.rows() >= goal, 60.0)
                child.kill9()
                words = [line.split() for line in child.stdout]  # a kill may cut the last line
                told = [int(w[1]) for w in words if len(w) == 2 and w[0] == "durable"]
            assert told, child.stderr
            durable = max(durable, told[-1])
        assert durable == cloud.rows()
        (have,) = cloud.ledger.values()
        assert list(have) == [(0, durable)]
        assert cloud.changed == []
