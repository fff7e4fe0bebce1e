"""Writes docs/figures.md from the JSON that demo, chaos and bench printed: `python -m scripts.figures FOLDER OUTPUT`."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import bench_sections


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


def chaos(report: dict[str, Any]) -> list[str]:
    """The section on `tocsin chaos`."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for fault in report["faults"]:
        by_name.setdefault(f"{fault['kind']}:{fault['target']}", []).append(fault)
    lines = [
        f"## `{report['repeat']}`",
        "",
        "| fault | times | landed with work in flight | most rows in flight | back after, most |",
        "|---|---|---|---|---|",
    ]
    for name, found in sorted(by_name.items()):
        backs = [f["recovered_s"] for f in found if f["recovered_s"] is not None]
        never = len(found) - len(backs)
        back = f"{max(backs):.1f} s" if backs else "-"
        lines.append(
            f"| {name} | {len(found)} | {sum(f['landed'] for f in found)} | {max(f['in_flight'] or 0 for f in found)} "
            f"| {back}{f', {never} never' if never else ''} |"
        )
    return [
        *lines,
        "",
        f"{report['acquired']:,} readings acquired by the devices' own ledgers, {report['stored']:,} stored; lost {report['lost']}, doubled "
        f"{report['duplicated']}, wrong {report['wrong']}. {len(report['faults'])} faults in {report['seconds']:.0f} s, "
        f"{report['faults_landed']} landed with work in flight ({report['faults_needed']} needed). Answers of polled devices that a "
        f"killed gateway never acquired: {report['not_acquired']}. Longest gap of a device {report['longest_gap_s']:g} s "
        f"({report['longest_gap_device']}); drained in {report['drain_s']:g} s; `tocsin audit`: {report['audit']}; ended by itself: {report['restarts']} times. Broker {report['broker']}. "
        "What comes back late was often held up by the next fault.",
    ]


def line(result: dict[str, Any]) -> list[str]:
    """The section on `tocsin bench line`."""
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    lines = [
        "## `tocsin bench line`",
        "",
        "How far the sample times of the live devices on a serial line lie off their period, in per cent of it.",
        "",
        "| line | samples | missed polls | p50 | p95 | p99 | most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kept in result["lines"].items():
        off = " | ".join(f"{kept[f'{q}_percent']:.1f}" for q in ("p50", "p95", "p99", "max"))
        lines.append(
            f"| {name.replace('_', ' ')} | {kept['samples']} | {kept['missed_polls']} | {off} |"
        )
    verdict = "within" if result["within"] else "not within"
    return [
        *lines,
        "",
        f"Beside a dead and a slow device the live ones are {verdict} {result['allowed_percent']:g} % (p99) over "
        f"{result['seconds']:g} s. A dead device gets its full time-out once in five minutes, whoever is late by it; "
        f"the run is shorter than that. Settings: {settings}.",
    ]


def gateway(result: dict[str, Any]) -> list[str]:
    """The section on `tocsin bench gateway`."""
    lines = [
        "## `tocsin bench gateway`",
        "",
        "Devices that publish over MQTT, one gateway process, batches out over MQTT. Counted at the sink by what the messages say.",
        "",
        "| offered messages/s | messages/s | values/s | lost | doubled | wrong | waiting half-way, at the end | p50 / p99 ms | CPU us a message | of one core | MB (peak) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for f in (result["offered"], result["flood"]):
        offered = f"{f['offered_per_s']:,.0f}" if f["offered_per_s"] else "flood"
        age = f["stamp_to_sink_ms"]
        lines.append(
            f"| {offered} | {f['messages_per_s']:,.0f} | {f['values_per_s']:,.0f} | {f['lost']} | {f['duplicated']} | {f['wrong']} "
            f"| {f['backlog_half_way']}, {f['backlog_end']} | {age['p50']:g} / {age['p99']:g} | {f['cpu_us_per_message']:.0f} "
            f"| {f['cpu_share']:.0%} | {f['rss_mb']:.0f} ({f['peak_rss_mb']:.0f}) |"
        )
    limits, flood, peer = result["limits"], result["flood"], result["peer"]
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    return [
        *lines,
        "",
        f"A message has {flood['payload_bytes_in_per_message']:.0f} bytes in and {flood['payload_bytes_out_per_reading']:.1f} a reading out, "
        f"{flood['rows_per_batch']:.0f} rows a batch. Alone, in the same run: a paho subscriber that only counts takes "
        f"{limits['transport_only_messages_per_s']:,.0f} messages/s at {limits['transport_only_cpu_us']:.0f} us (the gateway does "
        f"{result['ratio_to_transport_only']:.2f} of that), decoding {limits['decode_only_cpu_us']:.2f} us a message. "
        f"ThingsBoard IoT Gateway 3.8.5 on this kind of machine: {peer['messages_per_s']:,} messages/s at {peer['cpu_us_per_message']} us. "
        f"Settings: {settings}.",
    ]


def drivers(result: dict[str, Any]) -> list[str]:
    """The section on `tocsin bench drivers`."""
    lines = [
        "## `tocsin bench drivers`",
        "",
        "Frames of our own encoders from bytes to named values (as `tocsin decode` does), one core; and from a stream's bytes.",
        "",
        "| codec | frames/s | MB/s | bytes a frame | stream MB/s |",
        "|---|---|---|---|---|",
    ]
    for name, c in result["codecs"].items():
        stream = "" if c["stream_mb_per_s"] is None else f"{c['stream_mb_per_s']:.2f}"
        lines.append(
            f"| {name} | {c['frames_per_s']:,.0f} | {c['mb_per_s']:.2f} | {c['mean_bytes']:.0f} | {stream} |"
        )
    fleet, peer = result["modbus_tcp"], result["peer"]
    kept = fleet["kept"]
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    return [
        *lines,
        "",
        f"{fleet['devices']} Modbus TCP devices x {fleet['tags']} tags once a second, a connection each, on one gateway: "
        f"{fleet['tags_per_s']:,.0f} tags/s over {fleet['seconds']:g} s, {fleet['cpu_share']:.0%} of one core, "
        f"{fleet['rss_mb']:.0f} MB (peak {fleet['peak_rss_mb']:.0f}); missed polls {kept['missed_polls']}, wrong "
        f"{fleet['wrong']}, lost {fleet['lost']}; sample times off their period by p50 {kept['p50_percent']:g} %, p99 "
        f"{kept['p99_percent']:g} %; every device heard {fleet['all_heard_s']:g} s after the start. A published peer: "
        f"{peer['tags_per_s']:,.0f} tags/s over {peer['devices']:g} devices at {peer['cpu_share']:.0%} CPU. "
        f"Settings: {settings}.",
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "demo": demo,
    "chaos": chaos,
    "spine": spine,
    "ingest": bench_sections.ingest,
    "gateway": gateway,
    "store": bench_sections.store,
    "alarm": bench_sections.alarm,
    "drain": bench_sections.drain,
    "growth": bench_sections.growth,
    "wire": bench_sections.wire,
    "drivers": drivers,
    "line": line,
    "lock": bench_sections.lock,
    "vision": bench_sections.vision,
}


def main() -> None:
    """Reads what is there and writes the page."""
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [
        "# Figures",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `tocsin demo`, `tocsin chaos` and `tocsin bench` on {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}; all processes share those cores. Other machines differ: "
        "run it on yours.",
        "",
    ]
    for name, section in SECTIONS.items():
        lines += [*section(json.loads((folder / f"{name}.json").read_text("utf-8"))), ""]
    page.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
