"""`tocsin bench ingest`: MQTT to durable store, beside what decoding, transport and engine alone can do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.load import Sent
from tocsin.lab.load_messages import Shape, values_fit
from tocsin.lab.measured import (
    Count,
    MeasuredCloud,
    ProcessFigures,
    figures,
    process_table,
    settings_line,
)

GATEWAYS = 4
BATCHED = Shape(rows=25, quantities=4, devices=5)
UNBATCHED = Shape(rows=1, quantities=4, devices=5)
OFFERED_PER_S = {BATCHED: 8_000, UNBATCHED: 30_000}  # messages; encoded before, so bounded
LIMIT_S = 4.0
COMMIT_MS, COMMIT_ROWS, WINDOW_BYTES = 200, 20_000, 1 << 20


class Limits(msgspec.Struct, frozen=True):
    """What one stage does alone with the same messages, on this machine, in this run. Readings per second."""

    decode_only: float
    transport_only: float
    engine_only: float


class IngestFigure(msgspec.Struct, frozen=True):
    """One size of message. `commit_ms`: from the publish until the cloud says stored, with the window always full."""

    readings_per_message: int
    readings_per_s: float
    messages_per_s: float
    seconds: float
    payload_bytes_per_reading: float
    commit_p50_ms: float | None
    commit_p99_ms: float | None
    count: Count
    processes: dict[str, ProcessFigures]
    limits: Limits = Limits(0.0, 0.0, 0.0)
    share_of_limits: dict[str, float] = {}


class IngestResult(msgspec.Struct, frozen=True):
    """What `tocsin bench ingest --json` prints."""

    batched: IngestFigure
    unbatched: IngestFigure
    settings: dict[str, Any]


def run_ingest(*, seconds: float, broker: str, say: Callable[[str], None]) -> IngestResult:
    """Messages of one stamp, then of 100 readings, into one cloud; then the limits."""
    names = {
        shape: tuple(f"load-{shape.readings}-{n}" for n in range(1, GATEWAYS + 1))
        for shape in (UNBATCHED, BATCHED)
    }
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        with Children(folder / "logs") as children:
            gateways = tuple(gateway for group in names.values() for gateway in group)
            cloud = MeasuredCloud(folder, children, broker=broker, gateways=gateways)
            found = {}
            for shape, group in names.items():
                say(f"messages of {shape.readings} readings, {seconds:g} s")
                found[shape] = _measure(cloud, children, shape, group, seconds)
        say("decoding, transport and engine alone")
        for shape, group in names.items():
            limits = _limits(folder, shape, group, min(seconds, 2 * LIMIT_S) / 2)
            found[shape] = _beside(found[shape], limits)
    return IngestResult(
        found[BATCHED],
        found[UNBATCHED],
        {
            "gateways": GATEWAYS, "quantities": BATCHED.quantities, "devices_per_gateway": BATCHED.devices,
            "qos": 1, "codec": "jn", "window_bytes": WINDOW_BYTES, "commit_ms": COMMIT_MS, "commit_rows": COMMIT_ROWS,
            "store": "local (DuckDB)", "store_fsync": "every commit", "cores": os.cpu_count(), "broker": broker,
        },
    )  # fmt: skip


def start_load(
    children: Children,
    cloud_folder: Path,
    port: int,
    shape: Shape,
    gateways: tuple[str, ...],
    *more: str,
) -> Child:
    """A load process that is connected and waits for `go`."""
    names = [word for name in gateways for word in ("--gateway", name)]
    load = children.start(
        "load", "tocsin.lab.load", "--port", str(port), "--site", site.SITE, *names,
        "--password-file", str(cloud_folder / "password.secret"), "--rows", str(shape.rows),
        "--quantities", str(shape.quantities), "--devices", str(shape.devices), *more,
    )  # fmt: skip
    load.ready(120.0)
    return load


def go(load: Child) -> None:
    """Lets it send."""
    assert load.process.stdin is not None  # noqa: S101 - we asked for a pipe
    load.process.stdin.write(b"go\n")
    load.process.stdin.flush()


def _offer(shape: Shape, seconds: float) -> list[str]:
    messages = int(OFFERED_PER_S[shape] * seconds / GATEWAYS)
    return [
        "--messages",
        str(messages),
        "--seconds",
        f"{seconds:g}",
        "--window-bytes",
        str(WINDOW_BYTES),
    ]


def _measure(
    cloud: MeasuredCloud,
    children: Children,
    shape: Shape,
    names: tuple[str, ...],
    seconds: float,
) -> IngestFigure:
    offer = _offer(shape, seconds)
    load = start_load(children, cloud.folder, cloud.broker_port, shape, names, *offer)
    before = cloud.usages(load=load)
    go(load)
    sent = msgspec.convert(load.ready(seconds + 120.0), Sent)
    after = cloud.usages(load=load)
    if sent.uncommitted:
        text = f"{sent.uncommitted} messages were never committed"
        raise LabError(text, hint=cloud.child.tail())
    numbers = dict(zip(names, sent.rows, strict=True))
    return IngestFigure(
        readings_per_message=shape.readings,
        readings_per_s=round(sent.readings / sent.seconds, 1),
        messages_per_s=round(sent.messages / sent.seconds, 1),
        seconds=sent.seconds,
        payload_bytes_per_reading=round(sent.payload_bytes / sent.readings, 2),
        commit_p50_ms=sent.commit_p50_ms,
        commit_p99_ms=sent.commit_p99_ms,
        count=cloud.count(values_fit(shape.quantities), shape.quantities, numbers),
        processes=figures(before, after, sent.readings, sent.seconds),
    )


def _beside(figure: IngestFigure, limits: Limits) -> IngestFigure:
    share = {
        name: round(figure.readings_per_s / limit, 3)
        for name, limit in msgspec.structs.asdict(limits).items()
    }
    return msgspec.structs.replace(figure, limits=limits, share_of_limits=share)


def _limits(folder: Path, shape: Shape, names: tuple[str, ...], seconds: float) -> Limits:
    numbers = ("rows", shape.rows), ("quantities", shape.quantities), ("devices", shape.devices)
    words = [word for name, n in numbers for word in (f"--{name}", str(n))]
    password = (folder / "password.secret").read_text("utf-8")
    accounts = [word for name in names for word in ("--gateway", name)]
    with Children(folder / "limits") as children:
        alone = children.start("limits", "cloud.limits", *words, "--seconds", f"{seconds:g}")
        found = alone.ready(seconds * 4 + 30.0)
    with Children(folder / "transport") as children:
        receiver = children.start(
            "receiver", "tocsin.lab.receiver", *accounts, "--password", password
        )
        port = int(str(receiver.ready()["port"]))
        load = start_load(children, folder, port, shape, names, *_offer(shape, seconds))
        go(load)
        sent = msgspec.convert(load.ready(seconds + 120.0), Sent)
    return Limits(
        decode_only=float(str(found["decode_readings_per_s"])),
        transport_only=round(sent.readings / sent.seconds),
        engine_only=float(str(found["engine_readings_per_s"])),
    )


def ingest_summary(result: IngestResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    lines = []
    for figure in (result.batched, result.unbatched):
        count, limits = figure.count, figure.limits
        lines += [
            f"{figure.readings_per_message} readings a message: {figure.readings_per_s:,.0f} readings/s "
            f"({figure.messages_per_s:,.0f} messages/s) over {figure.seconds:g} s, "
            f"{figure.payload_bytes_per_reading:g} bytes a reading; stored after p50 {figure.commit_p50_ms:.0f} ms, "
            f"p99 {figure.commit_p99_ms:.0f} ms, the window always full",
            f"  read back {count.readings_read_back:,}: wrong {count.wrong}, missing {count.missing}, doubled {count.duplicates}",
            process_table(figure.processes),
            table(
                ["alone", "readings/s", "ingest does of it"],
                [
                    [name.replace("_", " "), f"{limit:,.0f}", f"{figure.share_of_limits[name]:.0%}"]
                    for name, limit in msgspec.structs.asdict(limits).items()
                ],
            ),
            "",
        ]
    return "\n".join([*lines, settings_line(result.settings)])
