"""`tocsin bench store`: writing many rows, the standard queries over them as a user asks them, and what they take on disk."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.lab.children import Children, LabError, Usage
from tocsin.lab.measured import MeasuredCloud, settings_line
from tocsin.lab.report import percentile

QUANTITIES = 4
OFTEN = "dev-00000"  # speaks once a second


class WriteFigure(msgspec.Struct, frozen=True):
    """Columns into the store, durable in commits of about 20,000 rows. `wrong`: sums and counts that a user's query finds otherwise.

    `sorted_rows`: hot rows that the store's upkeep put in the order of their devices meanwhile, and how long that took in all.
    """

    rows: int
    readings_per_s: float
    cpu_us_per_reading: float
    commit_p50_ms: float | None
    commit_p99_ms: float | None
    peak_rss_mb: float
    hot_bytes_per_reading: float
    wrong: int
    engine_only_readings_per_s: float
    share_of_engine: float
    sorted_rows: int
    sorted_s: float


class QueryFigure(msgspec.Struct, frozen=True):
    """One question over HTTP with a token, from request to decoded answer. `wrong`: answers of another size than due."""

    asked: str
    rows: int
    p50_ms: float | None
    p99_ms: float | None
    n: int
    wrong: int
    answer_bytes: int


class ColdFigure(msgspec.Struct, frozen=True):
    """The same rows in Parquet."""

    rows: int
    bytes_per_reading: float
    seconds: float
    wrong: int
    mean_of_a_day: QueryFigure


class StoreResult(msgspec.Struct, frozen=True):
    """What `tocsin bench store --json` prints."""

    write: WriteFigure
    queries: dict[str, QueryFigure]
    cold: ColdFigure
    settings: dict[str, Any]


class _Filled(msgspec.Struct, frozen=True):
    """As `python -m cloud.fill` says it."""

    rows: int
    devices: int
    seconds: float
    cpu_s: float
    commit_ms: list[float]
    hundredths: list[int]
    first_ns: int
    last_ns: int
    hot_bytes: int
    sorted_rows: int
    sorted_s: float


def run_store(*, rows: int, devices: int, repeats: int, say: Callable[[str], None]) -> StoreResult:
    """Fill, ask, cool, ask again."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        store = folder / "cloud" / "store"
        say(f"writing {rows:,} rows of {devices:,} devices, {QUANTITIES} values each")
        with Children(folder / "fill") as children:
            child = children.start(
                "fill", "cloud.fill", str(store), "--rows", str(rows), "--devices", str(devices),
                "--quantities", str(QUANTITIES),
            )  # fmt: skip
            filled = msgspec.convert(child.ready(1800.0), _Filled)
            peak = child.usage()
            limit = children.start(
                "limits", "cloud.limits", "--rows", "25", "--quantities", str(QUANTITIES), "--devices", "5",
                "--seconds", "1",
            )  # fmt: skip
            engine = float(str(limit.ready(60.0)["engine_readings_per_s"]))
        say(f"asking, {repeats} times each")
        with Children(folder / "hot") as children:
            cloud = MeasuredCloud(folder, children)
            write = _write(cloud, filled, peak, engine)
            queries = {
                "last_of_every_device": _last(cloud, filled, repeats),
                "last_of_every_device_in_columns": _columns(
                    cloud, filled, repeats, "shape=columns"
                ),
                "last_value_and_time_of_every_device": _columns(
                    cloud, filled, repeats, "field=device&field=value&field=time_ns"
                ),
                "minute_means_of_a_day": _means(cloud, filled, repeats),
            }
        say("moving everything to Parquet")
        with Children(folder / "cool") as children:
            child = children.start("cool", "cloud.fill", str(store), "--cool")
            cooled = child.ready(1800.0)
        with Children(folder / "cold") as children:
            cloud = MeasuredCloud(folder, children)
            wrong, means = _differs(cloud, filled), _means(cloud, filled, repeats)
    cold = ColdFigure(
        rows=int(str(cooled["rows"])),
        bytes_per_reading=round(int(str(cooled["cold_bytes"])) / (filled.rows * QUANTITIES), 2),
        seconds=float(str(cooled["seconds"])),
        wrong=wrong,
        mean_of_a_day=means,
    )
    return StoreResult(
        write, queries, cold,
        {
            "rows": filled.rows, "devices": filled.devices, "quantities": QUANTITIES, "commit_rows": 20_000,
            "fsync": "every commit", "values": "walks of 0.05 in steps of 0.01, stamps up to 2 ms late", "query": "HTTP with a token",
            "cores": os.cpu_count(),
        },
    )  # fmt: skip


def _write(cloud: MeasuredCloud, filled: _Filled, used: Usage, engine: float) -> WriteFigure:
    readings, wrote_s = filled.rows * QUANTITIES, filled.seconds
    return WriteFigure(
        rows=filled.rows,
        readings_per_s=round(readings / wrote_s, 1),
        cpu_us_per_reading=round(filled.cpu_s * 1e6 / readings, 3),
        commit_p50_ms=percentile(filled.commit_ms, 0.5),
        commit_p99_ms=percentile(filled.commit_ms, 0.99),
        peak_rss_mb=round(used.peak_rss_bytes / 1e6, 1),
        hot_bytes_per_reading=round(filled.hot_bytes / readings, 2),
        wrong=_differs(cloud, filled),
        engine_only_readings_per_s=engine,
        share_of_engine=round(readings / wrote_s / engine, 3),
        sorted_rows=filled.sorted_rows,
        sorted_s=filled.sorted_s,
    )


def _differs(cloud: MeasuredCloud, filled: _Filled) -> int:
    """How many of the number of rows and the sums of every quantity are not as they were written."""
    sums = (f"sum(CAST(round(v{q:02d} * 100) AS BIGINT)) AS s{q}" for q in range(QUANTITIES))
    found = cloud.client.query(f"SELECT count(*) AS n, {', '.join(sums)} FROM bench")[0]
    due = {"n": filled.rows, **{f"s{q}": filled.hundredths[q] for q in range(QUANTITIES)}}
    return sum(int(found[name]) != value for name, value in due.items())


def _last(cloud: MeasuredCloud, filled: _Filled, repeats: int) -> QueryFigure:
    """What the console's overview is made of: kept in memory by ingest, read from the store at a start."""
    path = "/api/v1/last?measurement=bench&quantity=v00"
    return _ask(f"GET {path}", lambda: cloud.client.get(path, 60.0), filled.devices, repeats)


def _columns(cloud: MeasuredCloud, filled: _Filled, repeats: int, asked: str) -> QueryFigure:
    path = f"/api/v1/last?measurement=bench&quantity=v00&{asked}"

    def ask() -> Any:
        return cloud.client.get(path, 60.0)

    return _ask(f"GET {path}", ask, filled.devices, repeats, lambda answer: len(answer["value"]))


def _means(cloud: MeasuredCloud, filled: _Filled, repeats: int) -> QueryFigure:
    sql = (
        "SELECT date_bin(INTERVAL '1 minute', time) AS minute, avg(v00) AS mean FROM bench "
        f"WHERE device = '{OFTEN}' AND time >= make_timestamp_ns({filled.first_ns}) GROUP BY minute ORDER BY minute"
    )
    minutes = filled.last_ns // 60_000_000_000 - filled.first_ns // 60_000_000_000 + 1
    return _ask(sql, lambda: cloud.client.query(sql), minutes, repeats)


def _ask(
    asked: str, ask: Callable[[], Any], due: int, repeats: int, count: Callable[[Any], int] = len
) -> QueryFigure:
    took_ms, wrong, answer = [], 0, ask()  # the first one is not counted: it warms
    for _ in range(repeats):
        began_s = time.perf_counter()
        answer = ask()
        took_ms.append((time.perf_counter() - began_s) * 1e3)
        wrong += count(answer) != due
    if not answer:
        raise LabError(f"nothing was answered to: {asked}")
    p50, p99 = percentile(took_ms, 0.5), percentile(took_ms, 0.99)
    size = len(msgspec.json.encode(answer))
    return QueryFigure(asked, count(answer), p50, p99, repeats, wrong, size)


def store_summary(result: StoreResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    write, cold = result.write, result.cold
    asked = {**result.queries, "minute_means_of_a_day, from Parquet": cold.mean_of_a_day}
    rows = [
        [name.replace("_", " "), f"{q.p50_ms:.1f}", f"{q.p99_ms:.1f}", str(q.rows), str(q.wrong)]
        for name, q in asked.items()
    ]
    return "\n".join(
        [
            f"write: {write.readings_per_s:,.0f} readings/s, {write.cpu_us_per_reading:g} us CPU a reading, a commit p50 "
            f"{write.commit_p50_ms:.0f} ms, p99 {write.commit_p99_ms:.0f} ms, peak {write.peak_rss_mb:.0f} MB, "
            f"{write.hot_bytes_per_reading:g} bytes a reading",
            f"  the engine alone {write.engine_only_readings_per_s:,.0f} readings/s: {write.share_of_engine:.0%} of it; "
            f"counts and sums read back: wrong {write.wrong}, from Parquet {cold.wrong}",
            f"  {write.sorted_rows:,} hot rows put in the order of their devices in {write.sorted_s:g} s beside that",
            table(["question", "p50 ms", "p99 ms", "rows", "wrong"], rows),
            f"in Parquet: {cold.bytes_per_reading:g} bytes a reading, {cold.rows:,} rows moved in {cold.seconds:g} s",
            settings_line(result.settings),
        ]
    )
