"""`tocsin bench line`: what a dead and a slow device do to the sample times of the others on their line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab.children import Children
from tocsin.lab.recording import Kept, kept, record

LIVE = 4
SLOW, DEAD = LIVE + 1, LIVE + 2
PERIOD_S, TIMEOUT_S = 0.5, 0.4
ANSWER_S, SLOW_ANSWER_S = (
    0.03,
    0.2,
)  # a request and 20 bytes of answer take about 30 ms at 9600 baud
ALLOWED_PERCENT = 10.0
LINES = {"live": (), "dead": (DEAD,), "slow": (SLOW,), "dead_and_slow": (SLOW, DEAD)}


class LineResult(msgspec.Struct, frozen=True):
    """What `tocsin bench line --json` prints: the live devices of each line. `within` judges the p99 of the last."""

    lines: dict[str, Kept]
    within: bool
    allowed_percent: float
    seconds: float
    settings: dict[str, Any]


def run_line(*, seconds: float, say: Callable[[str], None]) -> LineResult:
    """Four serial lines at once on one gateway, each with the same live devices."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Children(Path(name) / "devices") as devices,
    ):
        folder = Path(name)
        say(f"{len(LINES)} serial lines with {LIVE} live devices each, read every {PERIOD_S:g} s")
        ports = {line: _start(devices, folder, line, others) for line, others in LINES.items()}
        tables = "".join(_table(line, ports[line], others) for line, others in LINES.items())
        live = {line: {f"{line}-{n}" for n in range(1, LIVE + 1)} for line in LINES}
        say(f"measuring for {seconds:g} s")
        found = record(
            folder, tables, devices=set().union(*live.values()), warm_up_s=3.0, seconds=seconds
        )
        lines = {
            line: kept(
                {d: [at for at, _ in found.rows.get(d, [])] for d in sorted(names)}, PERIOD_S
            )
            for line, names in live.items()
        }
    worst = lines["dead_and_slow"]
    return LineResult(
        lines=lines,
        within=worst.p99_percent <= ALLOWED_PERCENT and not worst.missed_polls,
        allowed_percent=ALLOWED_PERCENT,
        seconds=round(found.seconds, 1),
        settings={
            "live_devices": LIVE, "period_s": PERIOD_S, "timeout_s": TIMEOUT_S, "answer_s": ANSWER_S,
            "slow_answer_s": SLOW_ANSWER_S, "protocol": "Modbus RTU on pseudo-terminals",
        },
    )  # fmt: skip


def _start(devices: Children, folder: Path, line: str, others: tuple[int, ...]) -> str:
    argv = ["--link", str(folder / f"line-{line}"), "--stdin-lease"]
    there = [*range(1, LIVE + 1), *(n for n in others if n != DEAD)]
    for n in there:
        delay_s = SLOW_ANSWER_S if n == SLOW else ANSWER_S
        argv += ["--unit", f"unit={n},device={line}-{n},model=gas-head,profile=four-gas-head"]
        argv += ["--fault", f"unit={n},kind=late,delay={delay_s:g}"]
    child = devices.start(f"line-{line}", "firmware_bridges.modbus.device", *argv)
    return str(child.ready()["port"])


def _table(line: str, port: str, others: tuple[int, ...]) -> str:
    units = [*range(1, LIVE + 1), *others]
    table = (
        f'[[drivers]]\ntype = "modbus"\nname = "{line.replace("_", "-")}"\n'
        f'rtu = {{ port = "{port}", baudrate = 9600 }}\ntimeout_s = {TIMEOUT_S}\n'
    )
    return table + "".join(
        f'[[drivers.devices]]\nid = "{line}-{n}"\nunit_id = {n}\nprofile = "four-gas-head"\n'
        f"period_s = {PERIOD_S}\n"
        for n in units
    )


def line_summary(result: LineResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    rows = [
        [name.replace("_", " "), str(k.samples), str(k.missed_polls)]
        + [f"{value:.1f}" for value in (k.p50_percent, k.p95_percent, k.p99_percent, k.max_percent)]
        for name, k in result.lines.items()
    ]
    head = ["line", "samples", "missed", "p50 %", "p95 %", "p99 %", "max %"]
    verdict = "within" if result.within else "NOT within"
    return "\n".join(
        [
            "Deviation of the live devices' sample times, in per cent of their period:",
            table(head, rows),
            f"beside a dead and a slow device: {verdict} {result.allowed_percent:g} % (p99), {result.seconds:g} s",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )
