"""Reads a finished run back and judges it: the devices' ledgers against the store, by `tocsin query`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tocsin.contract.catalogue import catalogue
from tocsin.lab.children import tocsin_command
from tocsin.lab.ledger import Scan, Tally, compare, read_ledgers
from tocsin.lab.site import Site


class End(msgspec.Struct, frozen=True):
    """How a run ended: when the gateway was told to stop, what it then said of itself, and the cloud of what it stored."""

    stop_ns: int
    suppressed: int = 0
    pending_rows: int = 0
    audit: str = ""


def judge(folder: Path, site: Site, end: End) -> tuple[Tally, list[Scan]]:
    """The counts, and every stored row."""
    stored = read_store(folder / "cloud", sorted({d.kind for d in site.devices}))
    tally = compare(
        read_ledgers(sorted(folder.glob("*.ndjson"))).scans,
        stored,
        deadbands={d.id: d.deadband for d in site.devices},
        stop_ns=end.stop_ns,
        suppressed=end.suppressed,
        pending_rows=end.pending_rows,
    )
    return tally, stored


def read_store(data_dir: Path, measurements: list[str]) -> list[Scan]:
    """Every row of these measurements, as an analyst would read it."""
    rows: list[Scan] = []
    for measurement in measurements:
        sql = f"SELECT * FROM {measurement} ORDER BY device, time"
        printed = tocsin_command(
            "query", sql, "--format", "json", "--max-rows", "10000000", "--data", str(data_dir)
        )
        rows += [_scan(measurement, row) for row in msgspec.json.decode(printed)]
    return rows


def _scan(measurement: str, row: dict[str, Any]) -> Scan:
    known = catalogue()[measurement].quantities
    values = {q: v for q, v in row.items() if q in known and v is not None}
    return Scan(row["device"], iso_to_ns(row["time"]), values)


def iso_to_ns(text: str) -> int:
    """Unix nanoseconds of an ISO 8601 UTC time with up to nine decimals."""
    whole, _, fraction = text.rstrip("Z").replace(" ", "T").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])
