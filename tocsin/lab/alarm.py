"""`tocsin bench alarm`: how long an alarm takes from the device and from the sample to who listens, idle and under load."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.contract.codec import encode
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Alarm, AlarmChange
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.client import AlarmWatch
from tocsin.lab.delay import Delay, delay
from tocsin.lab.generated import CHANNELS, DEVICES, driver_table, generated_count
from tocsin.lab.ledger import Mark, read_ledgers
from tocsin.lab.measured import (
    Count,
    MeasuredCloud,
    ProcessFigures,
    figures,
    process_table,
    settings_line,
)

POLL_S, REFRESH_S = 0.5, 0.1
LIMIT_PPM = 10.0
LINES = 2  # Modbus TCP connections
FIRST_S = 12.0  # until the first release: 400 devices are started, announced and shown before; that is not idle
BETWEEN_S = 3.0  # from the load's start to its first release
LAST_S = 20.0


class AlarmFigure(msgspec.Struct, frozen=True):
    """One half of the alarms. `missing`: crossed and never seen; `wrong`: seen and never crossed, or raised twice.

    `device_to_screen_ms`: from the register that crossed its limit, so the poll's wait is in it. `sample_to_subscriber_ms`:
    from the gateway's stamp of that sample. Both until the alarm stands in the event stream that pages draw from.
    `fsync_ms`: 4 KiB made durable in a file of the bench's own, all the while: an alarm needs two of them, one after the other. `share_of_reference`: two of those and an empty request, of the whole, by medians.
    """

    load_readings_per_s: float
    alarms: int
    missing: int
    wrong: int
    device_to_screen_ms: Delay
    sample_to_subscriber_ms: Delay
    fsync_ms: Delay
    share_of_reference: float
    processes: dict[str, ProcessFigures]


class AlarmResult(msgspec.Struct, frozen=True):
    """What `tocsin bench alarm --json` prints. `reference_ms`: an empty request to the same web process, so HTTP alone."""

    idle: AlarmFigure
    loaded: AlarmFigure
    load: Count
    reference_ms: Delay
    settings: dict[str, Any]


def run_alarm(
    *, alarms: int, seconds: float, per_s: float, broker: str, say: Callable[[str], None]
) -> AlarmResult:
    """Half of the devices cross their limit while the gateway does nothing else, half beside the load."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Children(Path(name) / "logs") as children,
    ):
        folder = Path(name)
        cloud = MeasuredCloud(folder, children, broker=broker)
        reference = _reference(cloud)
        watch = AlarmWatch(cloud.client)
        if not watch.connected.wait(10.0):
            raise LabError("the event stream does not answer", hint=cloud.child.tail())
        names = {part: [f"{part}-{n:03d}" for n in range(alarms)] for part in ("idle", "loaded")}
        starts = {"idle": FIRST_S, "loaded": FIRST_S + seconds + BETWEEN_S + 2.0}
        units = [
            (device, starts[part] + seconds * n / alarms)
            for part, group in names.items()
            for n, device in enumerate(group)
        ]
        say(f"{len(units)} gas heads, read every {POLL_S:g} s; half of them release gas in turn")
        began_s = time.monotonic()
        tables = "".join(_line(children, folder, i, units[i::LINES]) for i in range(LINES))
        gateway = folder / "gateway.toml"
        head = site.gateway_head(cloud.broker_port) + tables
        rule = f'[[alarms]]\ndevice = "*-*"\nquantity = "h2s"\nlevel1 = {LIMIT_PPM}\n'
        gateway.write_text(head + rule, "utf-8")
        edge = children.start("edge", "tocsin.cli", "edge", "run", "-c", str(gateway), "--json")
        found = {
            "idle": _half(cloud, edge, children, folder, began_s + starts["loaded"] - BETWEEN_S)
        }
        say(f"the other half beside {per_s:,.0f} readings/s of the same gateway")
        gateway.write_text(head + rule + driver_table(per_s), "utf-8")
        edge.process.send_signal(signal.SIGHUP)
        end_s = began_s + starts["loaded"] + seconds + 1.0
        while time.monotonic() < began_s + starts["loaded"]:
            time.sleep(0.05)
        found["loaded"] = _half(cloud, edge, children, folder, end_s)
        _settle(watch, sum(map(len, names.values())), folder, time.monotonic() + LAST_S)
        edge.process.terminate()
        edge.read_rest(60.0)
        cloud.settle()
        counted = generated_count(cloud)
        watch.stop()
        marks = read_ledgers(sorted(folder.glob("line-*.ndjson"))).marks
    return AlarmResult(
        _figure(names["idle"], marks, watch.seen, found["idle"], reference),
        _figure(names["loaded"], marks, watch.seen, found["loaded"], reference),
        counted,
        reference,
        {
            "poll_period_s": POLL_S, "limit_ppm": LIMIT_PPM, "device_refresh_s": REFRESH_S, "modbus_tcp_lines": LINES,
            "load": f"{DEVICES} generated devices of {CHANNELS} values on the same gateway", "qos": 1, "outbox_fsync": "batch",
            "batch": 1, "payload_bytes": _payload_bytes(names["idle"][0]), "store": "local (DuckDB)", "cores": os.cpu_count(), "broker": broker,
        },
    )  # fmt: skip


def _line(children: Children, folder: Path, number: int, units: list[tuple[str, float]]) -> str:
    """Starts one process of virtual gas heads; its driver table."""
    config = {
        "tcp": "127.0.0.1:0",
        "ledger": str(folder / f"line-{number}.ndjson"),
        "refresh_s": REFRESH_S,
        "units": [
            {
                "unit": i + 1, "device": device, "model": "gas-head", "profile": site.HEAD,
                "release_after_s": release_s, "limits": {"h2s": LIMIT_PPM},
            }
            for i, (device, release_s) in enumerate(units)
        ],
    }  # fmt: skip
    text = msgspec.json.encode(config).decode()
    child = children.start(
        f"line-{number}", "firmware_bridges.modbus.device", "--config", text, "--stdin-lease"
    )
    host, _, port = str(child.ready()["port"]).rpartition(":")
    return (
        f'[[drivers]]\ntype = "modbus"\nname = "line-{number}"\ntcp = {{ host = "{host}", port = {port} }}\n'
        "timeout_s = 3.0\n"
    ) + "".join(
        f'[[drivers.devices]]\nid = "{device}"\nunit_id = {i + 1}\nprofile = "{site.HEAD}"\n'
        f"period_s = {POLL_S}\n"
        for i, (device, _) in enumerate(units)
    )


class _Half(msgspec.Struct):
    readings_per_s: float
    fsync_ms: Delay
    processes: dict[str, ProcessFigures]


def _half(
    cloud: MeasuredCloud, edge: Child, children: Children, folder: Path, end_s: float
) -> _Half:
    """Weighs the processes and the disk until `end_s`."""
    lines = {child.name: child for child in children.all if child.name.startswith("line-")}
    before, rows, began_s = cloud.usages(edge=edge, **lines), cloud.rows(), time.monotonic()
    synced_ms: list[float] = []
    with (folder / "fsync").open("wb", buffering=0) as out:
        while time.monotonic() < end_s:
            children.check()
            out.seek(0)
            out.write(bytes(4096))
            started_s = time.perf_counter()
            os.fdatasync(out.fileno())
            synced_ms.append((time.perf_counter() - started_s) * 1e3)
            time.sleep(0.1)
    took_s = time.monotonic() - began_s
    readings = (cloud.rows() - rows) * CHANNELS
    after = cloud.usages(edge=edge, **lines)
    return _Half(
        round(readings / took_s, 1), delay(synced_ms), figures(before, after, readings, took_s)
    )


def _payload_bytes(device: str) -> int:
    """Of an alarm's message as these gas heads cause it; each is a message of its own."""
    now_ns = time.time_ns()
    return len(
        encode(
            Alarm(
                VERSION, site.SITE, site.GATEWAY, ulid(now_ns), 100, ulid(now_ns), device, "gas", "h2s", "h2s-high",
                AlarmChange.RAISED, 1, now_ns, value=12.5, unit="[ppm]", limit=LIMIT_PPM,
            )
        )
    )  # fmt: skip


def _settle(watch: AlarmWatch, alarms: int, folder: Path, deadline_s: float) -> None:
    """Until every alarm is there, or is called missing."""
    while time.monotonic() < deadline_s:
        seen = {body.get("device") for _, body in list(watch.seen)}
        if len(seen) >= alarms:
            return
        time.sleep(0.1)


def _reference(cloud: MeasuredCloud, asked: int = 50) -> Delay:
    took_ms = []
    for _ in range(asked):
        began_s = time.perf_counter()
        cloud.client.get("/healthz")
        took_ms.append((time.perf_counter() - began_s) * 1e3)
    return delay(took_ms)


def _figure(
    devices: list[str],
    marks: list[Mark],
    seen: list[tuple[int, dict[str, Any]]],
    half: _Half,
    reference: Delay,
) -> AlarmFigure:
    crossed: dict[str, int] = {}
    for mark in marks:
        if mark.mark == "limit-crossed":
            crossed.setdefault(mark.device, mark.t_ns)
    first: dict[str, tuple[int, int]] = {}
    occurrences: dict[str, set[str]] = {}
    for at_ns, body in seen:
        if body["quantity"] == "h2s":
            first.setdefault(body["device"], (at_ns, int(body["raised_ns"])))
            occurrences.setdefault(body["device"], set()).add(body["alarm"])
    due = [d for d in devices if d in crossed]
    there = [d for d in due if d in first]
    unasked = sum(d in first for d in devices if d not in crossed)
    heard = delay([(first[d][0] - first[d][1]) / 1e6 for d in there])
    alone_ms = 2 * (half.fsync_ms.p50 or 0.0) + (reference.p50 or 0.0)
    return AlarmFigure(
        load_readings_per_s=half.readings_per_s,
        alarms=len(there),
        missing=len(due) - len(there),
        wrong=unasked + sum(len(occurrences[d]) - 1 for d in there),
        device_to_screen_ms=delay([(first[d][0] - crossed[d]) / 1e6 for d in there]),
        sample_to_subscriber_ms=heard,
        fsync_ms=half.fsync_ms,
        share_of_reference=round(alone_ms / heard.p50, 3) if heard.p50 else 0.0,
        processes=half.processes,
    )


def alarm_summary(result: AlarmResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    lines, rows = [], []
    for name, figure in (("idle", result.idle), ("loaded", result.loaded)):
        for what in ("device_to_screen", "sample_to_subscriber", "fsync"):
            found = getattr(figure, f"{what}_ms")
            rows.append([name, what.replace("_", " "), *map(str, msgspec.structs.astuple(found))])
        lines += [
            f"{name}: {figure.load_readings_per_s:,.0f} readings/s beside; {figure.alarms} alarms, missing "
            f"{figure.missing}, wrong {figure.wrong}; two fsyncs and an empty request are {figure.share_of_reference:.0%} of the median",
            process_table(figure.processes),
        ]
    reference, load = result.reference_ms, result.load
    return "\n".join(
        [
            table(["gateway", "from, to", "p50 ms", "p99 ms", "most ms"], rows),
            *lines,
            f"load read back {load.readings_read_back:,}: wrong {load.wrong}, missing {load.missing}, doubled "
            f"{load.duplicates}; reference: an empty HTTP request p50 {reference.p50} ms, p99 {reference.p99} ms",
            settings_line(result.settings),
        ]
    )
