"""`tocsin bench spine`: from field bytes to rows, on this machine, with every stored reading read back and checked."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.client import ConsoleClient
from tocsin.lab.measured import (
    MeasuredCloud,
    NewestAge,
    ProcessFigures,
    figures,
    process_table,
    settings_line,
)
from tocsin.lab.report import percentile

REGISTERS = 40
GENERATED_PER_S = 3500  # samples; offered, so that the backlog tells whether it is sustained
WARM_UP_S = 4.0
PROBE_EVERY_S = 0.1


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from a reading's stamp at the gateway until a query finds it; resolution: the probe's period."""

    p50: float | None
    p99: float | None
    n: int


class Figure(msgspec.Struct, frozen=True):
    """One measurement. `source` says where its samples came from."""

    source: str
    readings_per_s: float
    samples_per_s: float
    seconds: float
    readings_stored: int
    readings_read_back: int
    wrong: int
    missing: int
    duplicates: int
    backlog_rows_start: int
    backlog_rows_end: int
    sample_to_query_ms: Latency
    processes: dict[str, ProcessFigures]


class SpineResult(msgspec.Struct, frozen=True):
    """What `tocsin bench spine --json` prints. `readings_per_s` is the first figure's."""

    readings_per_s: float
    modbus: Figure
    generated: Figure
    reference_reads_per_s: float
    ratio_to_reference: float
    settings: dict[str, Any]


def run_spine(
    *, seconds: float, units: int, servers: int, broker: str, say: Callable[[str], None]
) -> SpineResult:
    """Both measurements one after the other, each on a fresh data directory."""
    per_server = -(-units // servers)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Children(Path(name) / "logs") as children,
    ):
        folder = Path(name)
        say(
            f"{servers} Modbus server processes with {per_server} units, {REGISTERS} registers a read"
        )
        started = [
            children.start(
                f"modbus-{i}", "firmware_bridges.modbus.bench_server", "--units", str(per_server)
            )
            for i in range(servers)
        ]
        ports = [str(child.ready()["port"]) for child in started]
        say("reference: pymodbus alone, reading the same servers")
        reference = _reference(ports[0], per_server)
        drivers = [_modbus_table(f"plc-{i + 1}", port, per_server) for i, port in enumerate(ports)]
        say(f"spine from Modbus, {seconds:g} s")
        modbus = _measure(
            folder / "modbus", "".join(drivers), "pymodbus servers over TCP", seconds, broker
        )
        for child in started:
            child.stop()
        say(f"spine from generated samples, {seconds:g} s")
        table = f'[[drivers]]\ntype = "generate"\nname = "generated"\ndevices = 16\nsamples_per_s = {GENERATED_PER_S}\n'
        source = f"generated samples, {GENERATED_PER_S * REGISTERS:,} readings/s offered (no field protocol)"
        generated = _measure(folder / "generated", table, source, seconds, broker)
    return SpineResult(
        readings_per_s=modbus.readings_per_s,
        modbus=modbus,
        generated=generated,
        reference_reads_per_s=round(reference, 1),
        ratio_to_reference=round(modbus.samples_per_s / reference, 3) if reference else 0.0,
        settings={
            "registers_per_read": REGISTERS, "units": per_server * servers, "server_processes": servers, "qos": 1,
            "outbox_fsync": "batch", "outbox_commit_ms": 200, "outbox_commit_rows": 500, "codec": "jn",
            "store": "local (DuckDB)", "cores": os.cpu_count(), "broker": broker,
        },
    )  # fmt: skip


def _modbus_table(name: str, port: str, units: int) -> str:
    host, _, number = port.rpartition(":")
    devices = "".join(
        f'[[drivers.devices]]\nid = "{name}-{i + 1}"\nunit_id = {i + 1}\nprofile = "bench-40"\nperiod_s = 0.001\n'
        for i in range(units)
    )
    return f'[[drivers]]\ntype = "modbus"\nname = "{name}"\ntcp = {{ host = "{host}", port = {number} }}\ntimeout_s = 3.0\n{devices}'


def _reference(port: str, units: int, seconds: float = 3.0) -> float:
    """Reads per second of a bare pymodbus client with decoded registers, one connection, nothing kept."""
    import asyncio

    from pymodbus.client import AsyncModbusTcpClient

    async def loop() -> float:
        host, _, number = port.rpartition(":")
        client = AsyncModbusTcpClient(host, port=int(number))
        if not await asyncio.wait_for(client.connect(), 5.0):
            raise LabError(f"no connection to the Modbus server at {port}")
        reads, start = 0, time.monotonic()
        while time.monotonic() - start < seconds:
            answer = await client.read_holding_registers(
                0, count=REGISTERS, device_id=reads % units + 1
            )
            reads += len(answer.registers) == REGISTERS
        rate = reads / (time.monotonic() - start)
        client.close()
        return rate

    return asyncio.run(loop())


def _measure(folder: Path, drivers: str, source: str, seconds: float, broker: str) -> Figure:
    folder.mkdir()
    with Children(folder / "logs") as children:
        cloud = MeasuredCloud(folder, children, broker=broker)
        gateway = folder / "gateway.toml"
        gateway.write_text(site.gateway_head(cloud.broker_port) + drivers, "utf-8")
        edge = children.start("edge", "tocsin.cli", "edge", "run", "-c", str(gateway), "--json")
        window = _window(cloud, children, edge, seconds)
        edge.process.terminate()
        edge.read_rest(60.0)
        cloud.settle()
        return _figure(cloud.client, source, window)


class _Window(msgspec.Struct):
    rows: int
    seconds: float
    backlog: tuple[int, int]
    ages_ms: list[float]
    processes: dict[str, ProcessFigures]


def _window(cloud: MeasuredCloud, children: Children, edge: Child, seconds: float) -> _Window:
    client, deadline = cloud.client, time.monotonic() + 60.0
    while cloud.rows() == 0:
        children.check()
        if time.monotonic() > deadline:
            raise LabError("no row arrived in the store within 60 s", hint=edge.tail())
        time.sleep(0.2)
    time.sleep(WARM_UP_S)
    before, rows_before, backlog_before = cloud.usages(edge=edge), cloud.rows(), _backlog(client)
    start = time.monotonic()
    ages = NewestAge()
    while time.monotonic() - start < seconds:
        time.sleep(PROBE_EVERY_S)
        children.check()
        ages.look(int(client.query("SELECT max(epoch_ns(time)) AS t FROM bench")[0]["t"]))
    rows_after, took_s = cloud.rows(), time.monotonic() - start
    after = cloud.usages(edge=edge)
    rows = rows_after - rows_before
    processes = figures(before, after, rows * REGISTERS, took_s)
    return _Window(rows, took_s, (backlog_before, _backlog(client)), ages.ages_ms, processes)


def _backlog(client: ConsoleClient) -> int:
    return sum(int(gateway.get("pending_rows", 0)) for gateway in client.get("/api/v1/gateways"))


def _figure(client: ConsoleClient, source: str, window: _Window) -> Figure:
    fits = " AND ".join(f"v{i:02d} = (v00 + {i}) % 65536" for i in range(1, REGISTERS))
    # Read n of a unit answers n, n + 1, ...: so every value of every row is checked, and each unit's numbers have no gap.
    found = client.query(
        "SELECT device, count(*) AS n, count(DISTINCT v00) AS d, min(v00) AS lo, max(v00) AS hi, "
        f"sum(CASE WHEN {fits} THEN 0 ELSE 1 END) AS bad FROM bench GROUP BY device"
    )
    rows = sum(int(f["n"]) for f in found)
    readings = window.rows * REGISTERS
    ages = [
        None if p is None else round(p, 1)
        for p in (percentile(window.ages_ms, 0.5), percentile(window.ages_ms, 0.99))
    ]
    return Figure(
        source=source,
        readings_per_s=round(readings / window.seconds, 1),
        samples_per_s=round(window.rows / window.seconds, 1),
        seconds=round(window.seconds, 1),
        readings_stored=rows * REGISTERS,
        readings_read_back=rows * REGISTERS,
        wrong=sum(int(f["bad"]) for f in found) * REGISTERS,
        missing=sum(max(0, int(f["hi"]) - int(f["lo"]) + 1 - int(f["d"])) for f in found)
        * REGISTERS,
        duplicates=sum(int(f["n"]) - int(f["d"]) for f in found) * REGISTERS,
        backlog_rows_start=window.backlog[0],
        backlog_rows_end=window.backlog[1],
        sample_to_query_ms=Latency(ages[0], ages[1], len(window.ages_ms)),
        processes=window.processes,
    )


def spine_summary(result: SpineResult) -> str:
    """The result for people."""
    lines = []
    for figure in (result.modbus, result.generated):
        lines += [
            f"{figure.source}: {figure.readings_per_s:,.0f} readings/s ({figure.samples_per_s:,.0f} reads/s of {REGISTERS}) over {figure.seconds:g} s",
            f"  read back {figure.readings_read_back:,}: wrong {figure.wrong}, missing {figure.missing}, doubled {figure.duplicates}; "
            f"backlog {figure.backlog_rows_start} -> {figure.backlog_rows_end} rows; from stamp to query p50 "
            f"{figure.sample_to_query_ms.p50} ms, p99 {figure.sample_to_query_ms.p99} ms",
            process_table(figure.processes),
            "",
        ]
    lines.append(
        f"reference: pymodbus alone reads {result.reference_reads_per_s:,.0f}/s on one connection; the spine does {result.ratio_to_reference:.2f} of it"
    )
    lines.append(settings_line(result.settings))
    return "\n".join(lines)
