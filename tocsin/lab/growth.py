"""`tocsin bench growth`: the same load into each step of docs/growth.md, one after the other on this machine.

All processes share its cores, so a further step costs here what on machines of its own it would gain: what counts is the
CPU a reading takes in each process, which says how many of each a city needs.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Account, ChildBroker
from tocsin.contract import topics
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError, Usage
from tocsin.lab.growth_servers import influxql, start_influxd, start_nats
from tocsin.lab.ingest import WINDOW_BYTES, go, start_load
from tocsin.lab.load import Sent
from tocsin.lab.load_messages import MEASUREMENT, Shape, values_fit
from tocsin.lab.measured import MeasuredCloud, ProcessFigures, figures, process_table, settings_line

SHAPE = Shape(rows=25, quantities=4, devices=5)
OFFERED_PER_S = 6_000  # messages that are encoded before; more than any step takes
NODES = ("cloud-0", "ingest-1", "ingest-2", "forward-1")
LOW, HIGH = "0-31", "32-63"
STEPS = {
    1: "one process, embedded store",
    2: "one process, InfluxDB",
    3: "two ingesters, InfluxDB",
    4: "JetStream (3 servers, R3), two ingesters, InfluxDB",
}


class GrowthStep(msgspec.Struct, frozen=True):
    """One step. Latency is from the publish to the commit-ack, the window always full. `doubled` null: in InfluxDB a repeat is the same point."""

    step: int
    what: str
    readings_per_s: float
    of_step_1: float
    cpu_us_per_reading: float
    seconds: float
    commit_p50_ms: float | None
    commit_p99_ms: float | None
    readings: int
    missing: int
    doubled: int | None
    wrong: int
    processes: dict[str, ProcessFigures]


class GrowthResult(msgspec.Struct, frozen=True):
    """What `tocsin bench growth --json` prints."""

    steps: list[GrowthStep]
    settings: dict[str, Any]


def run_growth(*, seconds: float, say: Callable[[str], None]) -> GrowthResult:
    """Every step, with the same load.

    Raises:
        LabError: a part did not start, or a server is not installed.
    """
    found: list[GrowthStep] = []
    for step, what in STEPS.items():
        say(f"step {step}: {what}, {seconds:g} s")
        with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
            folder = Path(name)
            with Children(folder / "logs") as children:
                measured = (_embedded if step == 1 else _with_influxdb)(
                    step, folder, children, seconds
                )
        first = found[0].readings_per_s if found else measured.readings_per_s
        ratio = round(measured.readings_per_s / first, 3)
        found.append(msgspec.structs.replace(measured, of_step_1=ratio))
    return GrowthResult(
        found,
        {
            "gateways": 4, "readings_per_message": SHAPE.readings, "qos": 1, "window_bytes": WINDOW_BYTES,
            "commit_ms": 200, "broker": "mosquitto", "state_db": "SQLite", "influxdb": "1.6", "cores": os.cpu_count(),
        },
    )  # fmt: skip


def _names() -> tuple[str, ...]:
    """Two gateways of each half of the buckets."""
    low, high = (topics.bucket_numbers(text) for text in (LOW, HIGH))
    names = [f"load-{n}" for n in range(1, 64)]
    halves = [[n for n in names if topics.bucket(n) in half][:2] for half in (low, high)]
    return tuple(name for half in halves for name in half)


def _offer(seconds: float) -> list[str]:
    messages = int(OFFERED_PER_S * seconds / len(_names()))
    return ["--messages", str(messages), "--seconds", f"{seconds:g}", "--window-bytes", str(WINDOW_BYTES)]  # fmt: skip


def _embedded(step: int, folder: Path, children: Children, seconds: float) -> GrowthStep:
    cloud = MeasuredCloud(folder, children, broker="mosquitto", gateways=_names())
    load = start_load(children, folder, cloud.broker_port, SHAPE, _names(), *_offer(seconds))
    before = cloud.usages(load=load)
    go(load)
    sent = _sent(load, seconds)
    after = cloud.usages(load=load)
    numbers = dict(zip(_names(), sent.rows, strict=True))
    count = cloud.count(values_fit(SHAPE.quantities), SHAPE.quantities, numbers)
    return _step(step, sent, before, after, (count.missing, count.duplicates, count.wrong))


def _with_influxdb(step: int, folder: Path, children: Children, seconds: float) -> GrowthStep:
    password = secrets.token_urlsafe(12)
    (folder / "password.secret").write_text(password, "utf-8")
    influxd, url = start_influxd(folder, children)
    influxql(url, "CREATE DATABASE bench", write=True)
    weighed = {"influxd": influxd}
    log = ""
    if step == 4:
        servers, urls = start_nats(folder, children)
        weighed |= {f"nats-{i + 1}": server for i, server in enumerate(servers)}
        named = ", ".join(f'"{one}"' for one in urls)
        log = f"[log]\nservers = [{named}]\nlanes = 4\nmax_bytes = 2_147_483_648\n"
    accounts = [Account(name, password, "ingester") for name in NODES]
    accounts += [Account(name, password) for name in _names()]
    with ChildBroker("mosquitto", folder / "broker", accounts=accounts) as broker:
        nodes = [("cloud-0", "", '[ingest]\nbuckets = ""\n' if step > 2 else "")]
        if step > 2:
            halves = zip(("ingest-1", "ingest-2"), (LOW, HIGH), strict=True)
            nodes += [(n, "ingest", f'[ingest]\nbuckets = "{b}"\n{log}') for n, b in halves]
        if log:
            nodes.append(("forward-1", "forward", log))
        for name, command, more in nodes:
            config = _write(folder, name, broker.port, url, more)
            words = ["cloud.spine"] if not command else ["tocsin.cli", "cloud", command, "-c"]
            weighed[name] = children.start(name, *words, str(config))
        _wait_nodes(folder, children, [name for name, _, _ in nodes])
        load = start_load(children, folder, broker.port, SHAPE, _names(), *_offer(seconds))
        weighed["load"] = load
        before = _usages(weighed, broker)
        go(load)
        sent = _sent(load, seconds)
        after = _usages(weighed, broker)
    rows = sum(sent.rows)
    stored = int(influxql(url, f"SELECT count(seq) FROM {MEASUREMENT}", "bench"))
    wrong = sum(stored - _right(url, q) for q in range(SHAPE.quantities))
    return _step(
        step,
        sent,
        before,
        after,
        ((rows - stored) * SHAPE.quantities, None, wrong),
    )


def _right(url: str, q: int) -> int:
    """Rows whose value is the one that their number was sent with."""
    value = f"v{q:02d}"
    inner = f"SELECT abs({value} * 10 - (seq + {q}) % 1000) AS off FROM {MEASUREMENT}"
    return int(influxql(url, f"SELECT count(off) FROM ({inner}) WHERE off < 0.001", "bench"))


def _write(folder: Path, name: str, broker: int, url: str, more: str) -> Path:
    gateways = "".join(f'[[gateways]]\nid = "{g}"\nsite = "{site.SITE}"\n' for g in _names())
    path = folder / f"{name}.toml"
    path.write_text(
        f'schema = 1\n[cloud]\nname = "{name}"\ndata_dir = "{name}"\nstate_db = "sqlite:///{folder}/state.db"\n'
        f'[broker]\nmode = "external"\nport = {broker}\npassword = "${{file:{folder}/password.secret}}"\n'
        f'[store]\ntype = "influx"\nurl = "{url}"\nbucket = "bench"\nversion = "v1"\n{more}{gateways}',
        "utf-8",
    )
    return path


def _wait_nodes(folder: Path, children: Children, names: list[str]) -> None:
    deadline = time.monotonic() + 60.0
    for name in names:
        while not (folder / name / "spine.sock").exists():
            children.check()
            if time.monotonic() > deadline:
                raise LabError(f"{name} does not answer")
            time.sleep(0.05)
    time.sleep(2.0)  # for its session at the broker: what is sent before would come late


def _usages(weighed: dict[str, Child], broker: ChildBroker) -> dict[str, Usage]:
    found = {name: child.usage() for name, child in weighed.items()}
    stat = Path(f"/proc/{broker.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    status = Path(f"/proc/{broker.pid}/status").read_text("utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    cpu_s = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return {**found, "mosquitto": Usage(cpu_s, peak, peak)}


def _sent(load: Child, seconds: float) -> Sent:
    sent = msgspec.convert(load.ready(seconds + 180.0), Sent)
    if sent.uncommitted:
        raise LabError(f"{sent.uncommitted} messages were never committed", hint=load.tail())
    return sent


def _step(
    step: int,
    sent: Sent,
    before: dict[str, Usage],
    after: dict[str, Usage],
    faults: tuple[int, int | None, int],
) -> GrowthStep:
    processes = figures(before, after, sent.readings, sent.seconds)
    ours = sum(p.cpu_us_per_reading for name, p in processes.items() if name != "load")
    missing, doubled, wrong = faults
    return GrowthStep(
        step=step,
        what=STEPS[step],
        readings_per_s=round(sent.readings / sent.seconds, 1),
        of_step_1=1.0,
        cpu_us_per_reading=round(ours, 2),
        seconds=sent.seconds,
        commit_p50_ms=sent.commit_p50_ms,
        commit_p99_ms=sent.commit_p99_ms,
        readings=sent.readings,
        missing=missing,
        doubled=doubled,
        wrong=wrong,
        processes=processes,
    )


def growth_summary(result: GrowthResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    lines = [
        table(
            ["step", "", "readings/s", "of step 1", "CPU us/reading", "stored p50 / p99 ms", "missing, doubled, wrong"],
            [
                [
                    str(s.step), s.what, f"{s.readings_per_s:,.0f}", f"{s.of_step_1:.2f}", f"{s.cpu_us_per_reading:.2f}",
                    f"{s.commit_p50_ms or 0:.0f} / {s.commit_p99_ms or 0:.0f}", f"{s.missing}, {'-' if s.doubled is None else s.doubled}, {s.wrong}",
                ]
                for s in result.steps
            ],
        )
    ]  # fmt: skip
    for step in result.steps:
        lines += ["", f"step {step.step}", process_table(step.processes)]
    return "\n".join([*lines, "", settings_line(result.settings)])
