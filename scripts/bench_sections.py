"""Sections of docs/figures.md on the benches of the cloud: ingest, alarm, store, wire, drain."""

from __future__ import annotations

from typing import Any


def settings(result: dict[str, Any]) -> str:
    """The last sentence of each section."""
    return "Settings: " + ", ".join(f"{k} {v}" for k, v in result["settings"].items()) + "."


def counted(count: dict[str, Any]) -> str:
    """What was read back."""
    return (
        f"{count['readings_read_back']:,} read back: wrong {count['wrong']}, missing {count['missing']}, "
        f"doubled {count['duplicates']}"
    )


def processes(rows: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """A table of processes, by what was measured."""
    lines = ["| run | process | CPU us/reading | of one core | peak MB |", "|---|---|---|---|---|"]
    for run, found in rows.items():
        lines += [
            f"| {run} | {name} | {p['cpu_us_per_reading']:.2f} | {p['cpu_share']:.0%} | {p['peak_rss_mb']:.0f} |"
            for name, p in found.items()
        ]
    return lines


def ingest(result: dict[str, Any]) -> list[str]:
    """`tocsin bench ingest`."""
    lines = [
        "## `tocsin bench ingest`",
        "",
        "From MQTT into the local store, committed; the window of every gateway always full.",
        "",
        "| readings a message | readings/s | messages/s | bytes a reading | stored after p50 / p99 ms | decode only | transport only | engine only |",
        "|---|---|---|---|---|---|---|---|",
    ]
    figures = [result["batched"], result["unbatched"]]
    for f in figures:
        alone = " | ".join(
            f"{f['limits'][k]:,.0f} ({f['share_of_limits'][k]:.0%} of it)"
            for k in ("decode_only", "transport_only", "engine_only")
        )
        lines.append(
            f"| {f['readings_per_message']} | {f['readings_per_s']:,.0f} | {f['messages_per_s']:,.0f} "
            f"| {f['payload_bytes_per_reading']:g} | {f['commit_p50_ms']:.0f} / {f['commit_p99_ms']:.0f} | {alone} |"
        )
    runs = {f"{f['readings_per_message']} a message": f["processes"] for f in figures}
    checked = "; ".join(counted(f["count"]) for f in figures)
    return [*lines, "", *processes(runs), "", f"{checked}. {settings(result)}"]
