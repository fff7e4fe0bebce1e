"""Sections of docs/figures.md on the benches of the cloud (ingest, alarm, store, wire, drain) and of the lock."""

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


def store(result: dict[str, Any]) -> list[str]:
    """`tocsin bench store`."""
    write, cold = result["write"], result["cold"]
    asked = {**result["queries"], "minute_means_of_a_day, from Parquet": cold["mean_of_a_day"]}
    in_order = ""
    if "sorted_rows" in write:
        in_order = f" Hot rows put in the order of their devices: {write['sorted_rows']:,} in {write['sorted_s']:.1f} s beside that."
    lines = [
        "## `tocsin bench store`",
        "",
        f"{write['rows']:,} rows written durably: {write['readings_per_s']:,.0f} readings/s, {write['cpu_us_per_reading']:g} us CPU "
        f"a reading, {write['share_of_engine']:.0%} of the engine alone ({write['engine_only_readings_per_s']:,.0f}); a commit "
        f"p50 {write['commit_p50_ms']:.0f} ms, p99 {write['commit_p99_ms']:.0f} ms; peak {write['peak_rss_mb']:.0f} MB. On disk "
        f"{write['hot_bytes_per_reading']:g} bytes a reading hot, {cold['bytes_per_reading']:g} in Parquet (moved in "
        f"{cold['seconds']:.0f} s). Counts and sums read back: wrong {write['wrong']}, from Parquet {cold['wrong']}.{in_order}",
        "",
        "| question, over HTTP with a token | p50 ms | p99 ms | rows | wrong |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name.replace('_', ' ')} | {q['p50_ms']:.1f} | {q['p99_ms']:.1f} | {q['rows']:,} | {q['wrong']} |"
        for name, q in asked.items()
    ]
    return [*lines, "", settings(result)]


def alarm(result: dict[str, Any]) -> list[str]:
    """`tocsin bench alarm`."""
    reference = result["reference_ms"]
    lines = [
        "## `tocsin bench alarm`",
        "",
        f"Register crossing its limit (device) or the gateway's stamp (sample) to the event stream that pages draw from; a device is "
        f"polled every {result['settings']['poll_period_s']:g} s.",
        "",
        "| beside | alarms | missing | wrong | device to screen p50 / p99 ms | sample to subscriber p50 / p99 ms | one fsync alone p50 / p99 ms | two fsyncs and an empty request, of the median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    runs = {"nothing": result["idle"], "the load": result["loaded"]}
    for name, f in runs.items():
        screen, heard = f["device_to_screen_ms"], f["sample_to_subscriber_ms"]
        lines.append(
            f"| {name}: {f['load_readings_per_s']:,.0f} readings/s | {f['alarms']} | {f['missing']} | {f['wrong']} "
            f"| {screen['p50']} / {screen['p99']} | {heard['p50']} / {heard['p99']} "
            f"| {f['fsync_ms']['p50']} / {f['fsync_ms']['p99']} | {f['share_of_reference']:.0%} |"
        )
    table = processes({name: f["processes"] for name, f in runs.items()})
    return [
        *lines,
        "",
        *table,
        "",
        f"The load: {counted(result['load'])}. Reference: an empty HTTP request p50 {reference['p50']} ms, p99 "
        f"{reference['p99']} ms. {settings(result)}",
    ]


def wire(result: dict[str, Any]) -> list[str]:
    """`tocsin bench wire`."""
    lines = [
        "## `tocsin bench wire`",
        "",
        "The same rows in each format, one core; deflated by zlib level 6. A message tells its times to the resolution given.",
        "",
        "| format | bytes a reading | of ours | deflated | write us | read us | wrong | resolution | has a place for | library |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, f in result["formats"].items():
        read = "" if f["decode_us"] is None else f"{f['decode_us']:.2f}"
        resolution = {1: "ns", 1_000_000: "ms"}[f["resolution_ns"]]
        lines.append(
            f"| {name} | {f['bytes_per_reading']:.1f} | {f['bytes_to_reference']:.1f} | {f['deflated_bytes_per_reading']:.1f} "
            f"| {f['encode_us']:.2f} | {read} | {f['wrong']} | {resolution} | {f['carries']} | {f['library']} |"
        )
    return [*lines, "", f"Peak {result['peak_rss_mb']:.0f} MB. {settings(result)}"]


def drain(result: dict[str, Any]) -> list[str]:
    """`tocsin bench drain`."""
    verdict = "within" if result["within"] else "not within"
    return [
        "## `tocsin bench drain`",
        "",
        f"{result['backlog_readings']:,} readings of backlog drained in {result['drain_s']:g} s "
        f"({result['drained_readings_per_s']:,.0f} readings/s), {verdict} the {result['allowed_s']:.0f} s allowed, while "
        f"{result['live_readings_per_s']:,.0f} live readings/s went ahead: the newest value on the console was p50 "
        f"{result['live_age_p50_ms']:.0f} ms, p99 {result['live_age_p99_ms']:.0f} ms old. The gateway's pace for backlog allows "
        f"{result['pace_limit_readings_per_s']:,.0f} readings/s: {result['share_of_pace']:.0%} of it. "
        f"{result['acquired_readings']:,} acquired, {counted(result['count'])}.",
        "",
        *processes({"drain": result["processes"]}),
        "",
        settings(result),
    ]


def growth(result: dict[str, Any]) -> list[str]:
    """`tocsin bench growth`."""
    lines = [
        "## `tocsin bench growth`",
        "",
        "The same load into each step of [growth](growth.md), all processes on the cores of one machine: what counts is the CPU of a reading. In InfluxDB a repeat is the same point: nothing can be doubled there.",
        "",
        "| step | what runs | readings/s | of step 1 | CPU us/reading | stored after p50 / p99 ms | missing, doubled, wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    steps = result["steps"]
    lines += [
        f"| {s['step']} | {s['what']} | {s['readings_per_s']:,.0f} | {s['of_step_1']:.2f} | {s['cpu_us_per_reading']:.2f} "
        f"| {s['commit_p50_ms']:.0f} / {s['commit_p99_ms']:.0f} | {s['missing']}, {'-' if s['doubled'] is None else s['doubled']}, {s['wrong']} |"
        for s in steps
    ]
    runs = {f"step {s['step']}": s["processes"] for s in steps}
    return [*lines, "", *processes(runs), "", settings(result)]


def lock(result: dict[str, Any]) -> list[str]:
    """`tocsin bench lock`."""
    verify, tap, breach, core = (result[part] for part in ("verify", "tap", "breach", "core"))
    rows = {
        "tap to open": tap["tap_to_open_ms"],
        "of it the challenge": tap["challenge_ms"],
        "of it the unlock": tap["unlock_ms"],
        f"approval to open ({tap['approvals']})": tap["approval_to_open_ms"],
        f"gas to suspension ({breach['breaches']})": breach["suspended_ms"],
        "gas to siren": breach["siren_ms"],
        "gas to the broker": breach["told_ms"],
    }
    verdict, in_time = ("within" if f["within"] else "not within" for f in (tap, breach))
    portable = (
        ""
        if core is None
        else (
            f" The lock's C core on this machine: {core['profile_a_cycles']:,.0f} cycles ({core['profile_a_ns'] / 1e3:.1f} us) in profile A, "
            f"{core['profile_b_cycles']:,.0f} ({core['profile_b_ns'] / 1e3:.1f} us) in profile B."
        )
    )
    return [
        "## `tocsin bench lock`",
        "",
        f"A grant of {verify['grant_bytes']} bytes is verified in {verify['grant_us']:g} us CPU, {verify['ratio_to_ed25519']:g} of what Ed25519 "
        f"alone takes ({verify['ed25519_us']:g} us); its holder's proof takes {verify['holder_us']:g} us more.{portable}",
        "",
        "| gateway and lock, no radio | p50 ms | p99 ms | most ms |",
        "|---|---|---|---|",
        *(f"| {what} | {d['p50']:g} | {d['p99']:g} | {d['most']:g} |" for what, d in rows.items()),
        "",
        f"{tap['taps']} taps, wrong {tap['wrong']}; {verdict} {tap['allowed_p99_ms']:g} ms (p99). A whole turn (open, lock, look twice) costs the "
        f"gateway {tap['gateway_cpu_ms']:g} ms CPU, lock and Bluetooth service {tap['lock_and_bus_cpu_ms']:g} ms. "
        f"Gas: missing {breach['missing']}, wrong {breach['wrong']}; every siren {in_time} {breach['allowed_ms']:g} ms. {settings(result)}",
    ]


def vision(result: dict[str, Any]) -> list[str]:
    """`tocsin bench vision`."""
    runs = {f"overload {i + 1}": run for i, run in enumerate(result["overload"])}
    runs |= {"1 frame/s each": result["calm"], "one camera, 1 frame/s": result["alone"]}
    lines = [
        "## `tocsin bench vision`",
        "",
        f"Model {result['model']} {result['version']} ({result['variant']}); files of 640x360 at 30 frames/s that come like a camera's.",
        "",
        "| run | cameras | decoded/s | looked at/s | p50 / p99 ms | CPU ms a decoded frame | CPU ms a look | cores | MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {r['cameras']} | {r['decoded_per_s']:g} | {r['looked_per_s']:g} | {r['latency_p50_ms']:g} / {r['latency_p99_ms']:g} "
        f"| {r['decode_cpu_ms']:g} | {r['look_cpu_ms']:g} | {r['cores']:g} | {r['rss_mb']:g} |"
        for name, r in runs.items()
    ]
    raw = ", ".join(f"{r['per_s']:g}/s ({r['cpu_ms']:g} ms CPU)" for r in result["raw"])
    verdict = "within" if result["within"] else "not within"
    failed = sum(r["failed"] + r["rejected"] for r in runs.values())
    return [
        *lines,
        "",
        f"The bare graph between the rounds: {raw}. Under overload the pipeline does {result['share_of_raw']:.1%} of it, {verdict} the "
        f"{result['target_share']:.0%} wanted; by the CPU times of the same rounds {result['share_by_cpu']:.1%}. "
        f"{result['cameras_per_core']:g} cameras a core at 1 frame/s, {result['memory_a_camera_mb']:g} MB a camera; frames that failed "
        f"or were rejected: {failed}. {settings(result)}",
    ]
