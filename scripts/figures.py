"""Writes docs/figures.md from the JSON that demo and bench printed: `figures.py FOLDER OUTPUT`."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def spine(result: dict[str, Any]) -> list[str]:
    """The section on `tocsin bench spine`."""
    lines = [
        "## `tocsin bench spine`",
        "",
        "| source | readings/s | reads/s | read back | wrong | missing | doubled | stamp to query p50 / p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in (result["modbus"], result["generated"]):
        age = figure["sample_to_query_ms"]
        lines.append(
            f"| {figure['source']} | {figure['readings_per_s']:,.0f} | {figure['samples_per_s']:,.0f} "
            f"| {figure['readings_read_back']:,} | {figure['wrong']} | {figure['missing']} | {figure['duplicates']} "
            f"| {age['p50']} / {age['p99']} |"
        )
    lines += [
        "",
        "| source | process | CPU us/reading | of one core | peak MB |",
        "|---|---|---|---|---|",
    ]
    for figure in (result["modbus"], result["generated"]):
        for name, p in figure["processes"].items():
            lines.append(
                f"| {figure['source']} | {name} | {p['cpu_us_per_reading']:.2f} | {p['cpu_share']:.0%} | {p['peak_rss_mb']:.0f} |"
            )
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    return [
        *lines,
        "",
        f"Reference in the same run: pymodbus alone, one connection, {result['reference_reads_per_s']:,.0f} reads/s; "
        f"the spine does {result['ratio_to_reference']:.2f} of that. Settings: {settings}.",
    ]


def demo(report: dict[str, Any]) -> list[str]:
    """The section on `tocsin demo`."""
    latency = report["alarm_latency_ms"]
    return [
        f"## `tocsin demo --for {report['seconds']:.0f}`",
        "",
        f"{report['readings_acquired']:,} readings acquired, {report['readings_stored']:,} stored, "
        f"{report['suppressed_by_deadband']} held back by the dead-band; lost {report['lost']}, doubled {report['duplicates']}, "
        f"wrong {report['wrong']}. Register crossing its limit to the alarm on the console: p50 {latency['p50']} ms, "
        f"p99 {latency['p99']} ms, n = {latency['n']}, poll period {report['poll_period_s']:g} s. Broker {report['broker']}.",
    ]


def main() -> None:
    """Reads what is there and writes the page."""
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [
        "# Figures",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `tocsin demo` and `tocsin bench spine` on {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}; all processes share those cores. Other machines differ: "
        "run it on yours.",
        "",
        *demo(json.loads((folder / "demo.json").read_text("utf-8"))),
        "",
        *spine(json.loads((folder / "spine.json").read_text("utf-8"))),
        "",
    ]
    page.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
