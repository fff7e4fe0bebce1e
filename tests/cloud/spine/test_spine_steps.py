"""A spine killed with SIGKILL at each step from the broker to the commit-ack: every row, alarm and letter exactly once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cloud.db import open_engine, upgrade
from cloud.query.influxql import InfluxServer, ask
from tests.cloud.spine.dying import STEPS
from tests.cloud.spine.running import GATEWAY, LAYOUT, SpineProcess
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row
from tocsin.contract.messages import VERSION, Alarm, AlarmChange
from tocsin.errors import SpineError
from tocsin.testing import run_process, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway
from tocsin.testing.processes import Process

LOCAL = {"transaction-begun", "rows-inserted"}
INFLUX = {"points-ready", "points-written", "before-ledger", "ledger-kept"}
COMMON = STEPS.keys() - LOCAL - INFLUX - {"never", "letter-stored"}

Rows = list[tuple[int, float | None]]  # seq, value


@pytest.fixture(scope="module")
def forge() -> Iterator[Process]:
    """Forks spines that die."""
    with run_process([sys.executable, "-W", "error", "-m", "tests.cloud.spine.dying"]) as process:
        yield process


@pytest.fixture(scope="module")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state database with its tables, since making them takes most of a spine's first start."""
    path: Path = tmp_path_factory.mktemp("state") / "state.db"
    engine = open_engine(path)
    upgrade(engine)
    engine.dispose()
    return path


class Forked(SpineProcess):
    """A spine of the forge; one at a time."""

    def begin(self, forge: Process, step: str) -> None:
        """Start it, and wait for nothing."""
        self._said = len(forge.stdout)
        self._forge = forge
        forge.write_line(f"{step} {self.config}")
        self.pid = int(self._line("pid"))

    def ended(self) -> int:
        """Its exit status, once it has one."""
        return int(self._line("ended"))

    def close(self) -> None:
        """Whatever happened, the forge is free again."""
        if not self._lines("ended"):
            os.kill(self.pid, signal.SIGKILL)
            self.ended()

    def end(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        return self.ended()

    def _still_runs(self) -> None:
        assert not self._lines("ended"), self._forge.stderr[-20:]

    def _line(self, word: str) -> str:
        wait_until_sync(lambda: bool(self._lines(word)), 30.0, word)
        return self._lines(word)[0]

    def _lines(self, word: str) -> list[str]:
        lines = self._forge.stdout[self._said :]
        return [line.split()[1] for line in lines if line.startswith(word)]


def everything_once(
    step: str, folder: Path, forge: Process, store: str, rows: Callable[[Forked], Rows]
) -> None:
    """Kill one spine at `step`, let another finish, and compare with what the gateway sent."""
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        closing(Forked(folder, broker, store)) as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password, resend_after_s=0.1) as gw,
    ):
        spine.begin(forge, step)
        expected = send(gw)
        assert spine.ended() == -signal.SIGKILL
        spine.begin(forge, "never")
        spine.wait_connected()
        wait_until_sync(lambda: not gw.uncommitted, 30.0, "everything committed")
        assert rows(spine) == expected
        journal = spine.call("alarm_journal", alarm="A1")
        assert [entry["change"] for entry in journal] == ["raised"]
        letters = spine.call("deadletters", limit=99)
        bad, refused = sorted((r["reason"], r["quantity"], r["lo"]) for r in letters)
        assert bad == ("bad-reading", "h2s", 4)
        # Text and a number in one column: the store keeps the kind that reached it first, and a killed spine may write them anew in either order.
        assert refused in {("store-rejected", "note", 7), ("store-rejected", "note", 9)}
        assert not gw.rejected
        assert spine.end() == 0


def take(empty_state: Path, folder: Path) -> None:
    (folder / "cloud").mkdir()
    shutil.copy(empty_state, folder / "cloud")


def send(gateway: WireGateway) -> Rows:
    """Good rows, an alarm, a cell that is no number, a column that the store refuses; what must be stored of it."""
    now = time.time_ns() // 1_000_000 * 1_000_000

    def row(i: int, value: object = None, layout: Layout = LAYOUT) -> Row:
        cells = (float(i) if value is None else value, 20.9, 0.5, None)
        return Row(layout, now + i * 1000, cells[: len(layout.quantities)])  # type: ignore[arg-type]

    gateway.put([row(i) for i in range(3)])
    gateway.put([row(3), row(4, "not a number"), row(5)])
    gateway.put_sealed(1, topics.ALARM, lambda seq: encode(alarm(gateway.stream, seq)))
    notes, numbers = (Layout("gas-01", "gas", ("h2s", "note"), f"f{code}") for code in "sf")
    gateway.put([Row(notes, now + 7000, (7.0, "text")), row(8)])
    gateway.put([Row(numbers, now + 9000, (9.0, 1.0)), row(10)])
    return [(i, None if i == 4 else float(i)) for i in range(11) if i != 6]


def alarm(stream: str, seq: int) -> Alarm:
    return Alarm(
        VERSION, "plant", "gw-1", stream, seq, "A1", "gas-01", "gas", "h2s", "h2s-high",
        AlarmChange.RAISED, 1, time.time_ns(), value=21.0, unit="[ppm]", limit=20.0,
    )  # fmt: skip


NEIGHBOURS = {"handed-over", "alarm-passed-on", "letter-found", "refusal-found", "puback-left"}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=pytest.mark.release if step in NEIGHBOURS else ())
        for step in sorted(COMMON | LOCAL)
    ],
)
def test_a_kill_at_any_step_costs_and_doubles_nothing_in_the_embedded_store(
    step: str, tmp_path: Path, forge: Process, empty_state: Path
) -> None:
    def rows(spine: Forked) -> Rows:
        seqs, values = spine.call("query", sql="SELECT seq, h2s FROM gas ORDER BY seq, h2s")["data"]
        return list(zip(seqs, values, strict=True))

    take(empty_state, tmp_path)
    everything_once(step, tmp_path, forge, "", rows)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step in INFLUX else pytest.mark.release)
        for step in sorted(COMMON | INFLUX)
    ],
)
def test_a_kill_at_any_step_costs_and_doubles_nothing_in_influxdb(
    step: str, tmp_path: Path, forge: Process, empty_state: Path, influxd: str
) -> None:
    database = step.replace("-", "_")
    asked = urllib.parse.urlencode({"q": f"CREATE DATABASE {database}"})
    urllib.request.urlopen(f"{influxd}/query?{asked}", b"", timeout=60).close()

    def rows(_spine: Forked) -> Rows:
        found: list[list[Any]] = ask(
            InfluxServer(influxd, database), "SELECT seq, h2s FROM gas"
        ).data
        return sorted(zip(*found[1:], strict=True))

    store = f'[store]\ntype = "influx"\nurl = "{influxd}"\nbucket = "{database}"\n'
    take(empty_state, tmp_path)
    everything_once(step, tmp_path, forge, store, rows)


def test_a_kill_between_store_and_letter_leaves_the_letter_and_doubles_no_row(
    tmp_path: Path, forge: Process, empty_state: Path
) -> None:
    take(empty_state, tmp_path)
    now = time.time_ns() // 1_000_000 * 1_000_000
    air = Layout("air-01", "weather", ("temperature",), "f")
    with (
        throwaway_broker("mosquitto", accounts=[GATEWAY]) as broker,
        closing(
            Forked(tmp_path, broker, '[store]\ntype = "local"\nmax_measurements = 1\n')
        ) as spine,
        WireGateway(broker.port, "gw-1", "plant", GATEWAY.password, resend_after_s=0.1) as gw,
    ):
        spine.begin(forge, "never")
        gw.put([Row(LAYOUT, now, (1.0, None, None, None))])
        wait_until_sync(lambda: not gw.uncommitted, 30.0, "the first measurement")
        gw.put([Row(air, now + i, (20.0 + i,)) for i in range(3)])
        wait_until_sync(lambda: list(gw.rejected) == [(1, 4)], 30.0, "a refusal")
        assert spine.end() == 0
        roomier = spine.config.read_text("utf-8").replace(
            "max_measurements = 1", "max_measurements = 2"
        )
        spine.config.write_text(roomier, "utf-8")
        spine.begin(forge, "letter-stored")
        spine.wait_connected()
        (letter,) = spine.call("deadletters")
        with pytest.raises(SpineError):
            spine.call("deadletter_requeue", ids=[letter["id"]])
        assert spine.ended() == -signal.SIGKILL
        spine.begin(forge, "never")
        spine.wait_connected()
        for outcome in ("stored", "unknown"):
            (told,) = spine.call("deadletter_requeue", ids=[letter["id"]])
            assert told["outcome"] == outcome
        assert spine.column("SELECT temperature FROM weather ORDER BY seq") == [20.0, 21.0, 22.0]
        assert spine.call("deadletters") == []
