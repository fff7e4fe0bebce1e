"""A gateway's outbox and uplink as a process that kills itself at one step of its work, for the tests of kills.

It tells `durable VALUE` for each row once it may be told so, and `settled` once the cloud has all. The code under test
knows nothing of this: the step is wrapped from outside. The point `-` never comes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import paho.mqtt.client as paho

from edge.app import run_agent
from edge.config import load_gateway
from edge.drivers.mqtt_in.link import Link
from edge.flow import Flow
from edge.keeping import open_outbox
from edge.options import OutboxOptions, UplinkOptions
from edge.outbox import Outbox, committer, salvage, stand_in
from edge.outbox.held import Held
from edge.outbox.memory import Memory
from edge.outbox.room import Room
from edge.outbox.shed_note import ShedNote
from edge.outbox.store import Store
from edge.remote import Sources
from edge.uplink import Uplink
from edge.uplink.sender import Sender
from tests.dying import server
from tocsin.config import Secret
from tocsin.contract.columns import Layout, Row
from tocsin.contract.gaps import Gap
from tocsin.contract.messages import Command
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

T0 = 1_700_000_000_000_000_000
LAYOUT = Layout("gas-01", "gas", ("h2s",), "f")

# name -> (where, method, whether the process dies before or after it)
STEPS: dict[str, tuple[type, str, str]] = {
    "append": (Store, "_append_batch", "before"),
    "appended": (Store, "_append_batch", "after"),
    "committed": (Store, "append_rows", "after"),
    "send": (Sender, "_publish", "before"),
    "sent": (paho.Client, "publish", "after"),
    "puback": (Sender, "_puback", "after"),
    "ack": (Uplink, "_ack", "before"),
    "settle": (Store, "settle", "before"),
    "evict": (Room, "evict_settled", "before"),
    "evicted": (Room, "_delete", "after"),
    "settled": (Store, "settle", "after"),
    "ack-taken": (Uplink, "_ack", "after"),
}
GATEWAY_STEPS: dict[str, tuple[type, str, str]] = {
    **STEPS,
    "kept": (Flow, "keep", "after"),
    "answered": (Link, "ack", "after"),
}
GATEWAY_POINTS = list(GATEWAY_STEPS)
# Of taking over a file that was set aside, or lies in memory.
TAKING_STEPS: dict[str, tuple[type | ModuleType, str, str]] = {
    "adopted": (Store, "adopt", "after"),
    "noted": (Memory, "note_taken", "after"),
    "added": (Held, "add", "after"),
    "taken": (Store, "adopt_held", "after"),
    "tell": (Store, "tell_salvaged", "before"),
    "told": (Store, "tell_salvaged", "after"),
    "renamed": (salvage, "finish", "after"),
    "distrusted": (Outbox, "distrust_commands", "after"),
    "said": (Outbox, "put_event", "after"),
    "removed": (stand_in, "remove", "after"),
}
# Of telling what waited while the disk refused, by the agent after it.
REFUSED_STEPS: dict[str, tuple[type | ModuleType, str, str]] = {
    "tell": (Store, "_tell", "after"),
    "told": (Store, "append_rows", "after"),
    "clear": (ShedNote, "clear", "before"),
}
# name -> how the statement begins before which it dies
STATEMENTS = {"commit": "COMMIT", "note-settled": "INSERT INTO settled"}
TORN = "commit-torn"
POINTS = [*STEPS, *STATEMENTS, TORN]


def die() -> None:
    """As `kill -9`: nothing of ours runs after this."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(where: type | ModuleType, name: str, when: str, nth: int) -> None:
    """Wrap a method so that its `nth` call is the last thing this process does, or the last it comes back from."""
    original: Callable[..., Any] = getattr(where, name)
    seen = 0

    def count() -> bool:
        nonlocal seen
        seen += 1
        return seen == nth

    def plain(*args: Any, **kwargs: Any) -> Any:
        last = count()
        if last and when == "before":
            die()
        found = original(*args, **kwargs)
        if last:
            die()
        return found

    async def waiting(*args: Any, **kwargs: Any) -> Any:
        last = count()
        if last and when == "before":
            die()
        found = await original(*args, **kwargs)
        if last:
            die()
        return found

    setattr(where, name, waiting if asyncio.iscoroutinefunction(original) else plain)


def die_before(outbox: Outbox, statement: str, nth: int) -> None:
    """At the `nth` statement of SQLite that begins so."""
    seen = 0

    def trace(sql: str) -> None:
        nonlocal seen
        if sql.startswith(statement):
            seen += 1
            if seen == nth:
                die()

    outbox._store.db.set_trace_callback(trace)


def die_inside_a_commit(outbox: Outbox, log: Path, nth: int) -> None:
    """The `nth` commit can write only part of a page into the log: the kernel ends the process there (SIGXFSZ)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seen = 0

    def trace(sql: str) -> None:
        nonlocal seen
        if sql.startswith("COMMIT"):
            seen += 1
            if seen == nth:
                room = log.stat().st_size + 24 + 4096 + 1000
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    outbox._store.db.set_trace_callback(trace)


def say(line: str) -> None:
    """To whoever started us, now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def refuse(command: Command) -> str:
    """No commands here."""
    return ""


async def main(folder: Path, port: int, rows: int, tag: int, point: str, nth: int) -> None:
    """Keep and send `rows` rows of the values `tag`, `tag` + 1 ..."""
    if point in STEPS:
        die_at(*STEPS[point], nth)
    outbox = await Outbox.open(
        folder,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=5, keep_committed_bytes=0),
    )
    if point in STATEMENTS:
        die_before(outbox, STATEMENTS[point], nth)
    elif point == TORN:
        die_inside_a_commit(outbox, folder / "outbox.db-wal", nth)
    options = UplinkOptions(
        host="127.0.0.1", port=port, password=Secret("gw-1-password"), resend_after_s=1.0
    )
    uplink = Uplink(
        options, outbox, site="east", gateway="gw-1", clock=SystemClock(), on_command=refuse
    )
    linking = asyncio.create_task(uplink.run())
    for value in range(tag, tag + rows):
        await outbox.put_rows_durable([Row(LAYOUT, T0 + value, (float(value),))])
        say(f"durable {value}")
        await asyncio.sleep(0.002)
    await wait_until(lambda: not outbox.stats().pending_rows or linking.done(), 600.0)
    say("settled")
    await asyncio.sleep(600)


def run(folder: Path, port: int, rows: int, tag: int, point: str = "-", nth: int = 1) -> None:
    """`main` in this process."""
    asyncio.run(main(folder, port, rows, tag, point, nth))


def run_thinning(folder: Path, statement: str, nth: int) -> None:
    """Fill an outbox of 1 MiB over and over, and die before the `nth` statement that begins so."""

    async def fill() -> None:
        outbox = await Outbox.open(
            folder,
            site="east",
            gateway="gw-1",
            clock=SystemClock(),
            options=OutboxOptions(max_bytes=1 << 20, fsync="none"),
        )
        die_before(outbox, statement, nth)
        for start in range(0, 400_000, 2_500):
            rows = [Row(LAYOUT, T0 + i, (i * 0.1,)) for i in range(start, start + 2_500)]
            await outbox.put_rows_durable(rows)

    asyncio.run(fill())


def run_taking_over(config: Path, point: str, nth: int) -> None:
    """Open the outbox of a gateway, whatever it finds there to take over."""
    die_at(*TAKING_STEPS[point], nth)
    asyncio.run(open_outbox(load_gateway(config).value, SystemClock(), ""))


def run_refused(folder: Path, point: str, nth: int, hangs_s: float = 0.0) -> None:
    """Keep 5 rows, then refuse: 10 polled rows, 3 without a time and 7 pushed ones wait, 4 are given up.

    Telling of what was lost takes `hangs_s` longer, in which what is noted is noted again.
    """
    if point in REFUSED_STEPS:
        die_at(*REFUSED_STEPS[point], nth)
    if hangs_s:
        tell = Store._tell

        def slowly(self: Store, gaps: Sequence[Gap], now_ns: int) -> None:
            time.sleep(hangs_s)
            tell(self, gaps, now_ns)

        Store._tell = slowly  # type: ignore[method-assign]

    async def wait_for_the_disk() -> None:
        committer._RETRY_S = 0.02
        outbox = await Outbox.open(
            folder,
            site="east",
            gateway="gw-1",
            clock=SystemClock(),
            options=OutboxOptions(commit_interval_ms=5),
        )
        if outbox.stats().rows or await outbox.pending("telemetry"):
            say("again")
            await asyncio.sleep(600)
        rows = [Row(LAYOUT, T0 + i, (float(i),)) for i in range(30)]
        await outbox.put_rows_durable(rows[:5])
        await outbox._disk.call(outbox._store.db.execute, "PRAGMA query_only = 1")
        await outbox.offer_rows(rows[5:22], rows[22:25], (rows[5:15], rows[22:25]))
        await wait_until(lambda: outbox.refuses)
        outbox.shed(rows[25:29])
        failures = outbox.stats().commit_failures
        await wait_until(lambda: outbox.stats().commit_failures > failures)
        say("noted")
        await asyncio.sleep(600)

    asyncio.run(wait_for_the_disk())


def run_gateway(config: Path, point: str = "-", nth: int = 1) -> None:
    """A whole gateway in this process."""
    if point in GATEWAY_STEPS:
        die_at(*GATEWAY_STEPS[point], nth)
    sources, loaded = Sources.at_start(config, strict=True)
    asyncio.run(run_agent(sources, loaded))


class Child:
    """A function of this module in a process of its own; what it tells goes to a file."""

    def __init__(self, told: Path, work: Callable[..., None], *args: Any) -> None:
        self._told = told.with_suffix(".told")
        self._process = server.Process(target=_tell, args=(self._told, work, args))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill9()
        self._process.close()

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def kill9(self) -> None:
        """SIGKILL and reap."""
        self._process.kill()
        self._process.join()

    def told(self) -> str:
        """All it said so far."""
        return self._told.read_text() if self._told.exists() else ""


def _tell(told: Path, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    sys.stdout = sys.stderr = told.open("w")
    work(*args)
