"""What decoding and the engine do alone, for the benches: `python -m cloud.limits`, one JSON object on standard output.

The same messages as the bench sends; everything else is left out, so each figure is a bound of what ingest can reach.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from cloud.ingest.joined import Joined, plain
from cloud.link import Received
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.ids import ulid
from tocsin.lab.load_messages import Shape, batch

SITE, GATEWAY = "demo", "load-1"
COMMIT_ROWS = 20_000
_MANY_NS = 10**18


class Limits(msgspec.Struct, frozen=True):
    """Readings per second of one core (decode) and of the machine (engine); CPU microseconds per reading."""

    decode_readings_per_s: float
    engine_readings_per_s: float
    engine_cpu_us_per_reading: float


def decode_only(shape: Shape, seconds: float) -> float:
    """Readings per CPU second from message bytes to columns, as many messages at a time as a commit has rows."""
    stream, now_ns = ulid(time.time_ns()), time.time_ns()
    topic = topics.up(SITE, GATEWAY, topics.TELEMETRY)
    t0 = now_ns // 1_000_000 * 1_000_000
    messages = [
        Received(topic, encode(batch(GATEWAY, SITE, stream, k, shape, t0)), now_ns, 1)
        for k in range(COMMIT_ROWS // shape.rows)
    ]
    rounds, began_s = 0, time.process_time()
    while (took_s := time.process_time() - began_s) < seconds:
        joined = Joined()
        for message in messages:
            got = plain(message, {GATEWAY: SITE}, _MANY_NS)
            if got is None:
                raise SystemExit("a message of the bench is not plain")
            joined.add(message, got)
        rows = sum(len(block.seq) for block, _, _ in joined.blocks())
        if rows != len(messages) * shape.rows:
            raise SystemExit(f"decoded {rows} rows of {len(messages) * shape.rows}")
        rounds += 1
    return rounds * len(messages) * shape.readings / took_s


def engine_only(shape: Shape, seconds: float, folder: Path) -> tuple[float, float]:
    """(readings per second, CPU seconds per reading): ready columns into a plain table, a durable commit each."""
    database = duckdb.connect(str(folder / "limit.duckdb"), config={"threads": "2"})
    values = [f"v{q:02d}" for q in range(shape.quantities)]
    columns = ", ".join(f"{name} DOUBLE, {name}_q UTINYINT" for name in values)
    database.execute(
        "CREATE TABLE t (time TIMESTAMP_NS, site VARCHAR, device VARCHAR, gateway VARCHAR, stream VARCHAR, "
        f"seq BIGINT, source_time TIMESTAMP_NS, {columns})"
    )
    arrays = {name: np.arange(COMMIT_ROWS) % 1000 / 10 for name in values}
    seq = np.arange(COMMIT_ROWS)
    texts = {
        name: np.array([f"{name}-{n % 20}" for n in range(COMMIT_ROWS)], object)
        for name in ("site", "device", "gateway", "stream")
    }
    picked = ", ".join(f"{name}, 0::UTINYINT" for name in values)
    commits, began_s, cpu_s = 0, time.monotonic(), time.process_time()
    while (took_s := time.monotonic() - began_s) < seconds:
        rows = {"seq": seq + commits * COMMIT_ROWS, **texts, **arrays}
        database.register("incoming", rows)
        database.execute("BEGIN")
        database.execute(
            "INSERT INTO t SELECT make_timestamp_ns(seq), site, device, gateway, stream, seq, NULL, "
            f"{picked} FROM incoming"
        )
        database.execute("COMMIT")
        commits += 1
    readings = commits * COMMIT_ROWS * shape.quantities
    cpu_s = time.process_time() - cpu_s
    stored = database.execute("SELECT count(*), count(DISTINCT seq) FROM t").fetchone()
    if stored != (commits * COMMIT_ROWS, commits * COMMIT_ROWS):
        raise SystemExit(f"{stored} rows stored, {commits * COMMIT_ROWS} written")
    database.close()
    return readings / took_s, cpu_s / readings


def main() -> None:
    """Measures and prints `Limits`."""
    parser = argparse.ArgumentParser(prog="python -m cloud.limits", description=__doc__)
    parser.add_argument("--rows", type=int, required=True, help="stamps in a message")
    parser.add_argument("--quantities", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each")
    given = parser.parse_args()
    shape = Shape(given.rows, given.quantities, given.devices)
    decoded = decode_only(shape, given.seconds)
    with tempfile.TemporaryDirectory(prefix="tocsin-limits-") as folder:
        engine, cpu_s = engine_only(shape, given.seconds, Path(folder))
    found = Limits(round(decoded), round(engine), round(cpu_s * 1e6, 3))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
