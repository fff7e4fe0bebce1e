"""`tocsin bench drivers`: how fast each codec reads frames, and one gateway with many Modbus TCP devices."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tocsin.contract.catalogue import Value
from tocsin.lab.children import Children
from tocsin.lab.recording import Kept, Recording, kept, record
from tocsin.sdk.codec import Describe, Examples, codec_names, load_codec, load_examples

PEER = {"tags_per_s": 15_000, "devices": 500, "cpu_share": 1.24}  # as its maker published it
PERIOD_S = 1.0
WARM_UP_S = 3.0
_NOT_IN_STREAMS = ("rtu", "app_data")  # frames that do not follow one another on a TCP connection


class CodecFigure(msgspec.Struct, frozen=True):
    """`tocsin decode`'s work on one core: frames from bytes to named values. `stream_mb_per_s` from a connection's bytes."""

    frames_per_s: float
    mb_per_s: float
    mean_bytes: float
    stream_mb_per_s: float | None


class FleetFigure(msgspec.Struct, frozen=True):
    """One gateway process over the window. `wrong` values, `lost` reads: by the numbers the devices counted."""

    devices: int
    tags: int
    tags_per_s: float
    kept: Kept
    wrong: int
    lost: int
    cpu_share: float
    rss_mb: float
    peak_rss_mb: float
    all_heard_s: float
    seconds: float


class DriversResult(msgspec.Struct, frozen=True):
    """What `tocsin bench drivers --json` prints."""

    codecs: dict[str, CodecFigure]
    modbus_tcp: FleetFigure
    peer: dict[str, float]
    settings: dict[str, Any]


def run_drivers(
    *, seconds: float, devices: int, tags: int, servers: int, say: Callable[[str], None]
) -> DriversResult:
    """The codecs one after the other, then the gateway."""
    codecs = {}
    for name in sorted(codec_names()):
        if (examples := load_examples(name)).frames:
            say(f"codec {name}")
            codecs[name] = _codec(load_codec(name), examples, min(1.0, seconds / 10))
    say(f"{devices} Modbus TCP devices x {tags} tags, a connection each, every {PERIOD_S:g} s")
    fleet = _fleet(seconds, devices, tags, servers)
    settings = {
        "period_s": PERIOD_S, "server_processes": servers, "connections": devices, "cores": os.cpu_count(),
        "outbox_fsync": "batch", "qos": 1,
    }  # fmt: skip
    return DriversResult(codecs, fleet, PEER, settings)


def _codec(describe: Describe, examples: Examples, seconds: float) -> CodecFigure:
    frames = examples.frames
    size = sum(len(given.data) for given in frames)
    rounds = 0
    began_s = time.process_time()
    while (took_s := time.process_time() - began_s) < seconds or not rounds:
        for given in frames:
            describe(given)
        rounds += 1
    stream = None
    if examples.streams:
        stream = round(max(_stream(make, examples, seconds / 2) for make in examples.streams), 2)
    return CodecFigure(
        frames_per_s=round(rounds * len(frames) / took_s, 0),
        mb_per_s=round(rounds * size / took_s / 1e6, 2),
        mean_bytes=round(size / len(frames), 1),
        stream_mb_per_s=stream,
    )


def _stream(
    make: Callable[[], Callable[[bytes], object]], examples: Examples, seconds: float
) -> float:
    """Megabytes per second of the frames that make a stream, in pieces as a socket gives them."""
    data = b"".join(given.data for given in examples.frames if given.kind not in _NOT_IN_STREAMS)
    feed, fed = make(), 0
    began_s = time.process_time()
    while (took_s := time.process_time() - began_s) < seconds or not fed:
        for start in range(0, len(data), 1460):
            feed(data[start : start + 1460])
        fed += len(data)
    return fed / took_s / 1e6


def _fleet(seconds: float, devices: int, tags: int, servers: int) -> FleetFigure:
    per_server = -(-devices // servers)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Children(Path(name) / "servers") as children,
    ):
        folder = Path(name)
        profile = folder / "tags.toml"
        profile.write_text(_profile(tags), "utf-8")
        started = [
            children.start(
                f"modbus-{i}", "firmware_bridges.modbus.bench_server",
                "--units", str(per_server), "--registers", str(tags),
            )
            for i in range(servers)
        ]  # fmt: skip
        ports = [str(child.ready()["port"]) for child in started]
        tables = [_table(n, ports[n // per_server], n % per_server + 1) for n in range(devices)]
        found = record(
            folder,
            "".join(tables),
            devices={_name(n) for n in range(devices)},
            warm_up_s=WARM_UP_S,
            seconds=seconds,
            start_timeout_s=180.0,
        )
    return _figure(found, tags)


def _name(number: int) -> str:
    return f"plc-{number + 1:03d}"


def _profile(tags: int) -> str:
    head = 'schema = 1\n[profile]\nname = "tags"\nmeasurement = "bench"\n'
    points = (f'[[points]]\nquantity = "v{n:02d}"\naddress = {n}\n' for n in range(tags))
    return head + "".join(points)


def _table(number: int, port: str, unit: int) -> str:
    host, _, tcp = port.rpartition(":")
    name = _name(number)
    return (
        f'[[drivers]]\ntype = "modbus"\nname = "{name}"\ntcp = {{ host = "{host}", port = {tcp} }}\n'
        f'[[drivers.devices]]\nid = "{name}"\nunit_id = {unit}\nprofile = "./tags.toml"\n'
        f"period_s = {PERIOD_S}\n"
    )


def _figure(found: Recording, tags: int) -> FleetFigure:
    samples = sum(map(len, found.rows.values()))
    stamps = {device: [at for at, _ in rows] for device, rows in found.rows.items()}
    wrong = sum(not _counts(values) for rows in found.rows.values() for _, values in rows)
    firsts = [[int(values[0] or 0) for _, values in rows] for rows in found.rows.values()]
    return FleetFigure(
        devices=len(found.rows),
        tags=tags,
        tags_per_s=round(samples * tags / found.seconds, 1),
        kept=kept(stamps, PERIOD_S),
        wrong=wrong * tags,
        lost=sum((b - a) % 65536 - 1 for seen in firsts for a, b in pairwise(seen)),
        cpu_share=round(found.cpu_share, 3),
        rss_mb=round(found.after.rss_bytes / 1e6, 1),
        peak_rss_mb=round(found.after.peak_rss_bytes / 1e6, 1),
        all_heard_s=round(found.start_s, 2),
        seconds=round(found.seconds, 1),
    )


def _counts(values: tuple[Value, ...]) -> bool:
    """Whether a read is n, n + 1, n + 2, ... as the server counts."""
    first = int(values[0] or 0)
    return all(value == (first + i) % 65536 for i, value in enumerate(values))


def drivers_summary(result: DriversResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    rows = [
        [
            name,
            f"{c.frames_per_s:,.0f}",
            f"{c.mb_per_s:.2f}",
            f"{c.mean_bytes:.0f}",
            "" if c.stream_mb_per_s is None else f"{c.stream_mb_per_s:.2f}",
        ]
        for name, c in result.codecs.items()
    ]
    fleet = result.modbus_tcp
    return "\n".join(
        [
            table(["codec", "frames/s", "MB/s", "bytes/frame", "stream MB/s"], rows),
            "",
            f"{fleet.devices} Modbus TCP devices x {fleet.tags} tags every {PERIOD_S:g} s: {fleet.tags_per_s:,.0f} tags/s "
            f"over {fleet.seconds:g} s; missed polls {fleet.kept.missed_polls}, wrong {fleet.wrong}, lost {fleet.lost}",
            f"  sample times off their period by p50 {fleet.kept.p50_percent:g} %, p99 {fleet.kept.p99_percent:g} %, "
            f"at most {fleet.kept.max_percent:g} %",
            f"  gateway: {fleet.cpu_share:.0%} of one core, {fleet.rss_mb:.0f} MB (peak {fleet.peak_rss_mb:.0f}); "
            f"every device heard after {fleet.all_heard_s:g} s",
            f"  a published peer: {result.peer['tags_per_s']:,.0f} tags/s over {result.peer['devices']:g} devices at "
            f"{result.peer['cpu_share']:.0%} CPU",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )
