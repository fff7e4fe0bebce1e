"""`tocsin bench drain`: a gateway with the backlog of an outage sends it while live readings go on ahead of it."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError, tocsin_command
from tocsin.lab.generated import CHANNELS, DEVICES, driver_table, generated_count
from tocsin.lab.measured import (
    Count,
    MeasuredCloud,
    NewestAge,
    ProcessFigures,
    figures,
    process_table,
    settings_line,
)
from tocsin.lab.report import percentile

FULL_READINGS = 10_000_000  # an hour's backlog
FULL_S = 600.0  # in which it must be drained
LIVE_PER_S = FULL_READINGS / 3600
PACE_BYTES_PER_S = 1 << 20  # the gateway's default `backlog_bytes_per_s`
FILL_PER_S = 200_000.0
PROBE_S = 0.1
COUNT_EVERY = 10  # probes


class DrainResult(msgspec.Struct, frozen=True):
    """What `tocsin bench drain --json` prints.

    `drain_s`: from the start of the gateway, the cloud being there, until the last row of the backlog is found by a query.
    `live_age_ms`: how old the newest live value on the console is meanwhile, from its stamp. The reference is the pace that the
    gateway keeps for its backlog, by the outbox's bytes on disk; on the wire they are a few per cent less.
    """

    backlog_readings: int
    drain_s: float
    drained_readings_per_s: float
    allowed_s: float
    within: bool
    live_readings_per_s: float
    live_age_p50_ms: float | None
    live_age_p99_ms: float | None
    live_probes: int
    outbox_bytes_per_reading: float
    fill_readings_per_s: float
    pace_limit_readings_per_s: float
    share_of_pace: float
    acquired_readings: int
    count: Count
    processes: dict[str, ProcessFigures]
    settings: dict[str, Any]


def run_drain(*, readings: int, broker: str, say: Callable[[str], None]) -> DrainResult:
    """Fills the outbox with nobody there, then starts the cloud and the gateway again."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder, port = Path(name), _free_port()
        site.write_cloud(folder, http_port=0, broker=broker)  # its secrets are the gateway's too
        say(f"a backlog of {readings:,} readings, with no cloud")
        filled, fill_s, size = _fill(folder, port, readings)
        backlog = int(filled["pending_rows"])
        say(f"draining it, {LIVE_PER_S:,.0f} live readings/s ahead of it")
        return _drain(folder, port, broker, backlog, int(filled["readings"]), fill_s, size)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(children: Children, folder: Path, port: int, per_s: float) -> Child:
    path = folder / "gateway.toml"
    path.write_text(site.gateway_head(port) + driver_table(per_s), "utf-8")
    return children.start("edge", "tocsin.cli", "edge", "run", "-c", str(path), "--json")


def _stopped(edge: Child) -> dict[str, Any]:
    """What it says of its run at its end."""
    edge.process.terminate()
    lines = [line for line in edge.read_rest(120.0).splitlines() if line.startswith(b"{")]
    if not lines:
        raise LabError("the gateway told nothing at its end", hint=edge.tail())
    told: dict[str, Any] = msgspec.json.decode(lines[-1])
    return told


def _fill(folder: Path, port: int, readings: int) -> tuple[dict[str, Any], float, int]:
    """(the gateway's summary, seconds, bytes of the outbox)."""
    outbox, began_s, per_s = folder / "edge", time.monotonic(), min(FILL_PER_S, float(readings))
    with Children(folder / "fill") as children:
        edge = _start(children, folder, port, per_s)
        while _pending(folder) * CHANNELS < readings:
            children.check()
            if time.monotonic() - began_s > readings / per_s * 10 + 60.0:
                raise LabError("the gateway does not fill its outbox", hint=edge.tail())
            time.sleep(0.2)
        told = _stopped(edge)
    size = sum(path.stat().st_size for path in outbox.rglob("*") if path.is_file())
    return told, time.monotonic() - began_s, size


def _pending(folder: Path) -> int:
    """Rows that wait in the outbox; 0 before the gateway answers."""
    asked = ("edge", "status", "-c", str(folder / "gateway.toml"), "--json")
    try:
        return int(msgspec.json.decode(tocsin_command(*asked))["pending_rows"])
    except LabError:
        return 0


def _drain(
    folder: Path, port: int, broker: str, backlog: int, before: int, fill_s: float, size: int
) -> DrainResult:
    outage_end_ns = time.time_ns()
    readings = backlog * CHANNELS
    allowed_s = FULL_S * readings / FULL_READINGS
    with Children(folder / "logs") as children:
        cloud = MeasuredCloud(folder, children, broker=broker, broker_port=port)
        began_s = time.monotonic()
        edge = _start(children, folder, port, LIVE_PER_S)
        used, live = cloud.usages(edge=edge), NewestAge()
        stored, probes = 0, 0
        while stored < backlog:
            children.check()
            if time.monotonic() - began_s > 2 * allowed_s + 60.0:
                raise LabError(f"{stored:,} of {backlog:,} rows were drained", hint=edge.tail())
            time.sleep(PROBE_S)
            newest = cloud.client.get("/api/v1/last?measurement=bench&quantity=v00", 30.0)
            live.look(
                max((v["time_ns"] for v in newest if v["time_ns"] > outage_end_ns), default=0)
            )
            probes += 1
            if not probes % COUNT_EVERY:
                stored = _stored(cloud, outage_end_ns)
        drain_s = time.monotonic() - began_s
        after = cloud.usages(edge=edge)
        rows = cloud.rows()
        told = _stopped(edge)
        cloud.settle()
        count = generated_count(cloud, restarts=1)
    acquired = before + int(told["readings"])
    lost = acquired - int(told["pending_rows"]) * CHANNELS - count.readings_read_back
    per_reading = size / readings
    pace = PACE_BYTES_PER_S / per_reading
    return DrainResult(
        backlog_readings=readings,
        drain_s=round(drain_s, 1),
        drained_readings_per_s=round(readings / drain_s, 1),
        allowed_s=round(allowed_s, 1),
        within=drain_s <= allowed_s,
        live_readings_per_s=round(int(told["readings"]) / float(told["seconds"]), 1),
        live_age_p50_ms=percentile(live.ages_ms, 0.5),
        live_age_p99_ms=percentile(live.ages_ms, 0.99),
        live_probes=len(live.ages_ms),
        outbox_bytes_per_reading=round(per_reading, 2),
        fill_readings_per_s=round(readings / fill_s, 1),
        pace_limit_readings_per_s=round(pace, 1),
        share_of_pace=round(readings / drain_s / pace, 3),
        acquired_readings=acquired,
        count=msgspec.structs.replace(count, missing=max(count.missing, lost)),
        processes=figures(used, after, rows * CHANNELS, drain_s),
        settings={
            "devices": DEVICES, "values_per_sample": CHANNELS, "qos": 1, "codec": "jn", "outbox_fsync": "batch",
            "outbox_commit_ms": 200, "outbox_commit_rows": 500, "backlog_bytes_per_s": PACE_BYTES_PER_S,
            "window_bytes": 1 << 20, "store": "local (DuckDB)", "cores": os.cpu_count(), "broker": broker,
        },
    )  # fmt: skip


def _stored(cloud: MeasuredCloud, before_ns: int) -> int:
    where = f"time < make_timestamp_ns({before_ns})"
    try:
        return int(cloud.client.query(f"SELECT count(*) AS n FROM bench WHERE {where}")[0]["n"])
    except LabError:
        return 0  # the table does not exist before the first row


def drain_summary(result: DrainResult) -> str:
    """The result for people."""
    count, verdict = result.count, "within" if result.within else "NOT within"
    return "\n".join(
        [
            f"{result.backlog_readings:,} readings of backlog drained in {result.drain_s:g} s "
            f"({result.drained_readings_per_s:,.0f}/s): {verdict} {result.allowed_s:g} s",
            f"  live values meanwhile ({result.live_readings_per_s:,.0f} readings/s): age p50 {result.live_age_p50_ms:.0f} ms, "
            f"p99 {result.live_age_p99_ms:.0f} ms, {result.live_probes} looks",
            f"  acquired {result.acquired_readings:,}, read back {count.readings_read_back:,}: wrong {count.wrong}, missing "
            f"{count.missing}, doubled {count.duplicates}",
            process_table(result.processes),
            f"outbox {result.outbox_bytes_per_reading:g} bytes a reading; reference: the gateway's pace for backlog allows "
            f"{result.pace_limit_readings_per_s:,.0f} readings/s, {result.share_of_pace:.0%} of it were reached",
            settings_line(result.settings),
        ]
    )
