"""Fills an embedded store for the benches: `python -m cloud.fill DIRECTORY`, one JSON object on standard output.

Device 0 speaks once a second for 24 hours, the others share the rest of the rows over the same hours, in blocks of ten as
gateways send them. Values walk as a sensor's do, with two digits behind the point. `--cool` instead moves everything to Parquet.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.stores import Block, Column, LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tocsin.contract.ids import ulid

SITE, GATEWAY, MEASUREMENT = "demo", "load-1", "bench"
DAY_S = 86_400
COMMIT_ROWS, BLOCK_ROWS = 20_000, 10
NS = 1_000_000_000
LATE_NS = 2_000_000
LOOK_AFTER_NS = int(LocalOptions().roll_interval_s * NS)


class Filled(msgspec.Struct, frozen=True):
    """What was written. `hundredths`: the sum of each quantity in hundredths, to compare with what is read."""

    rows: int
    devices: int
    quantities: int
    seconds: float
    cpu_s: float
    commits: int
    commit_ms: list[float]
    hundredths: list[int]
    first_ns: int
    last_ns: int
    hot_bytes: int
    sorted_rows: int
    sorted_s: float


class Cooled(msgspec.Struct, frozen=True):
    """What the move to Parquet left on disk."""

    rows: int
    files: int
    cold_bytes: int
    seconds: float


def blocks(
    rows: int, devices: int, quantities: int, first_ns: int
) -> Iterator[tuple[list[Block], int]]:
    """Commits of about 20,000 rows in order of time, and how many rows each has."""
    noise = np.random.default_rng(1)
    others = max(rows - DAY_S, 0) // max(devices - 1, 1)  # rows of each other device
    rounds = max(-(-others // BLOCK_ROWS), 1)
    level = np.tile(20.0 + np.arange(quantities), (devices, 1))
    first_late = noise.integers(0, LATE_NS, DAY_S)
    stream, seq = ulid(first_ns), 0
    made: list[Block] = []
    for turn in range(rounds):
        start_s, end_s = (DAY_S * (turn + k) // rounds for k in (0, 1))
        often = first_ns + np.arange(start_s, end_s, dtype=np.int64) * NS
        n = min(BLOCK_ROWS, others - turn * BLOCK_ROWS)
        step_ns = (end_s - start_s) * NS // BLOCK_ROWS
        seldom = first_ns + start_s * NS + np.arange(n, dtype=np.int64) * step_ns
        walks = np.cumsum(noise.normal(0.0, 0.05, (devices, max(n, 1), quantities)), axis=1)
        walks += level[:, None, :]
        level = walks[:, -1, :]
        steps = noise.normal(0.0, 0.05, (len(often), quantities))
        late = noise.integers(0, LATE_NS, (devices, n))
        for device in range(devices):
            times = seldom + late[device] if device else often + first_late[start_s:end_s]
            walk = walks[device, :n] if device else level[0] + np.cumsum(steps, axis=0)
            if not len(times):
                continue
            made.append(_block(device, seq, times, np.round(walk, 2), stream))
            seq += len(times)
            if (size := sum_rows(made)) >= COMMIT_ROWS:
                yield made, size
                made = []
    if made:
        yield made, sum_rows(made)


def sum_rows(made: list[Block]) -> int:
    """Rows of these blocks."""
    return int(made[-1].seq[-1] - made[0].seq[0]) + 1 if made else 0


def _block(
    device: int,
    seq: int,
    times: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    stream: str,
) -> Block:
    return Block(
        measurement=MEASUREMENT,
        site=SITE,
        device=f"dev-{device:05d}",
        gateway=GATEWAY,
        stream=stream,
        seq=np.arange(seq, seq + len(times), dtype=np.int64),
        time_ns=times,
        columns={f"v{q:02d}": Column("f", column) for q, column in enumerate(values.T.copy())},
    )


def fill(directory: Path, rows: int, devices: int, quantities: int) -> Filled:
    """Writes as the ingester does: rows and ledger in one durable commit. The store looks after its hot rows as often as it would."""
    first_ns = time.time_ns() // NS * NS - DAY_S * NS
    hundredths = np.zeros(quantities, np.int64)
    written, last_ns, took_ms = 0, 0, []
    store = LocalStore(directory, LocalOptions())
    began_cpu_s = wrote_s = sorted_s = 0.0
    looked_ns, sorted_rows = first_ns, 0
    for made, n in blocks(rows, devices, quantities, first_ns):
        entry = LedgerEntry(GATEWAY, made[0].stream, written, written + n)
        began_s, cpu_s = time.monotonic(), time.process_time()
        if store.write(made, [entry]):
            raise SystemExit("the store refused a part of the write")
        took_ms.append((time.monotonic() - began_s) * 1e3)
        wrote_s += time.monotonic() - began_s
        began_cpu_s += time.process_time() - cpu_s
        written += n
        for block in made:
            last_ns = max(last_ns, int(block.time_ns[-1]))
            for q in range(quantities):
                values = block.columns[f"v{q:02d}"].values
                hundredths[q] += int(np.rint(values.astype(np.float64) * 100).sum())
        if last_ns - looked_ns >= LOOK_AFTER_NS:
            looked_ns, began_s = last_ns, time.monotonic()
            sorted_rows += store.sort_hot(last_ns)
            sorted_s += time.monotonic() - began_s
    store.close()
    return Filled(
        rows=written,
        devices=devices,
        quantities=quantities,
        seconds=round(wrote_s, 3),
        cpu_s=round(began_cpu_s, 3),
        commits=len(took_ms),
        commit_ms=took_ms,
        hundredths=hundredths.tolist(),
        first_ns=first_ns,
        last_ns=last_ns,
        hot_bytes=sum(path.stat().st_size for path in directory.glob("hot.duckdb*")),
        sorted_rows=sorted_rows,
        sorted_s=round(sorted_s, 3),
    )


def cool(directory: Path) -> Cooled:
    """Moves every row to Parquet, as the store does when a day is old."""
    store = LocalStore(directory, LocalOptions())
    began_s = time.monotonic()
    moved = store.roll_over(time.time_ns() + 30 * DAY_S * NS)
    took_s = time.monotonic() - began_s
    store.close()
    files = list((directory / "cold").rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files)
    return Cooled(sum(m.rows for m in moved), len(files), size, round(took_s, 2))


def main() -> None:
    """Does one of the two and prints what came of it."""
    parser = argparse.ArgumentParser(prog="python -m cloud.fill", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--quantities", type=int, default=4)
    parser.add_argument("--cool", action="store_true", help="move everything to Parquet")
    given = parser.parse_args()
    found: Filled | Cooled
    if given.cool:
        found = cool(given.directory)
    else:
        found = fill(given.directory, given.rows, given.devices, given.quantities)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
