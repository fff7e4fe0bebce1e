"""`tocsin bench wire`: bytes and microseconds a reading, beside other formats written and read by the libraries people use."""

from __future__ import annotations

import random
import resource
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.contract.codec import CODECS
from tocsin.contract.columns import Layout, Row
from tocsin.lab.measured import settings_line
from tocsin.lab.wire_formats import (
    MEASUREMENT,
    QUANTITIES,
    Format,
    Value,
    line_protocol,
    senml_cbor,
    senml_json,
    sparkplug,
    thingsboard,
    tocsin,
)


class WireFigure(msgspec.Struct, frozen=True):
    """One format. Deflated: by zlib level 6. `decode_us` None: the library only writes. `wrong`: readings that come back otherwise.

    `resolution_ns`: the finest time it tells. `carries`: what of quality and sequence numbers it has a place for.
    """

    library: str
    bytes_per_reading: float
    deflated_bytes_per_reading: float
    encode_us: float
    decode_us: float | None
    wrong: int
    resolution_ns: int
    carries: str
    bytes_to_reference: float
    encode_to_reference: float


class WireResult(msgspec.Struct, frozen=True):
    """What `tocsin bench wire --json` prints. The reference is Tocsin's own JSON, `tocsin jn`."""

    formats: dict[str, WireFigure]
    peak_rss_mb: float
    settings: dict[str, Any]


def sample_rows(readings: int, devices: int) -> list[Row]:
    """Values that walk in hundredths, stamps in whole milliseconds, as polled sensors give them."""
    rng = random.Random(7)
    layouts = [
        Layout(f"pump-{d:02d}", MEASUREMENT, QUANTITIES, "f" * len(QUANTITIES))
        for d in range(devices)
    ]
    starts = (24.0, 55.0, 101.3, 48.0)
    at = [[start * rng.uniform(0.9, 1.1) for start in starts] for _ in layouts]
    t0 = time.time_ns() // 1_000_000 * 1_000_000
    rows = []
    for k in range(readings // len(QUANTITIES)):
        d = k % devices
        at[d] = [round(v + rng.gauss(0, 0.05), 2) for v in at[d]]
        stamp = t0 + (k // devices) * 1_000_000_000 + rng.randrange(5) * 1_000_000
        rows.append(Row(layouts[d], stamp, tuple(at[d])))
    return rows


def run_wire(
    *, readings: int, devices: int, seconds: float, say: Callable[[str], None]
) -> WireResult:
    """Every format with the same rows."""
    rows = sample_rows(readings, devices)
    formats = {
        **{f"tocsin {codec}": tocsin(codec) for codec in CODECS},
        "SenML JSON": senml_json(),
        "SenML CBOR": senml_cbor(),
        "Sparkplug B": sparkplug(),
        "ThingsBoard JSON": thingsboard(),
        "line protocol": line_protocol(),
    }
    figures: dict[str, WireFigure] = {}
    for name, form in formats.items():
        say(name)
        figures[name] = _measure(form, rows, seconds, figures.get("tocsin jn"))
    return WireResult(
        figures,
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        {
            "readings_per_batch": readings, "devices": devices, "quantities": len(QUANTITIES),
            "values": "walks in steps of 0.01", "stamps": "whole ms", "python": sys.version.split()[0],
            "not_counted": "MQTT headers and topics; Sparkplug's births, which tell names and types once",
        },
    )  # fmt: skip


def _measure(
    form: Format, rows: list[Row], seconds: float, reference: WireFigure | None
) -> WireFigure:
    messages = form.write(rows)
    readings = len(rows) * len(QUANTITIES)
    wrong = 0
    if form.read is not None:
        due = _rounded(rows, form.resolution_ns)
        wrong = len(due ^ set(form.read(messages)))
    size = sum(map(len, messages)) / readings
    deflated = sum(len(zlib.compress(m, 6)) for m in messages) / readings
    encode_us = _timed(lambda: form.write(rows), seconds) / readings
    read = form.read
    decode_us = None if read is None else _timed(lambda: read(messages), seconds) / readings
    return WireFigure(
        library=form.library,
        bytes_per_reading=round(size, 2),
        deflated_bytes_per_reading=round(deflated, 2),
        encode_us=round(encode_us, 3),
        decode_us=None if decode_us is None else round(decode_us, 3),
        wrong=wrong,
        resolution_ns=form.resolution_ns,
        carries=form.carries,
        bytes_to_reference=round(size / reference.bytes_per_reading, 2) if reference else 1.0,
        encode_to_reference=round(encode_us / reference.encode_us, 2) if reference else 1.0,
    )


def _timed(work: Callable[[], object], seconds: float) -> float:
    """CPU microseconds of one call."""
    rounds, began_s = 0, time.process_time()
    while (took_s := time.process_time() - began_s) < seconds:
        work()
        rounds += 1
    return took_s / rounds * 1e6


def _rounded(rows: list[Row], resolution_ns: int) -> set[Value]:
    return {
        (row.layout.device, row.time_ns // resolution_ns * resolution_ns, quantity, float(str(v)))
        for row in rows
        for quantity, v in zip(row.layout.quantities, row.values, strict=True)
    }


def wire_summary(result: WireResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    rows = [
        [
            name,
            f"{f.bytes_per_reading:.1f}",
            f"{f.deflated_bytes_per_reading:.1f}",
            f"{f.encode_us:.2f}",
            "" if f.decode_us is None else f"{f.decode_us:.2f}",
            f"{f.bytes_to_reference:.1f}",
            str(f.wrong),
            f.library,
        ]
        for name, f in result.formats.items()
    ]
    head = ["format", "B/reading", "deflated", "write us", "read us", "x jn", "wrong", "library"]
    peak = f"peak {result.peak_rss_mb:.0f} MB"
    return "\n".join([table(head, rows), peak, settings_line(result.settings)])
