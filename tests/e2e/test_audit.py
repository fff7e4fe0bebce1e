"""`tocsin audit` against the truth: a real gateway whose outbox fills up while the cloud is cut off, and a poison message.

The truth is what the store holds, number by number, and what the outbox file held.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.rpc import call_once
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header, encode
from tocsin.contract.gaps import gaps_of
from tocsin.contract.messages import Batch, Event
from tocsin.errors import SpineError
from tocsin.testing import FaultProxy, Process, run_process, wait_until_sync
from tocsin.testing.peer import Peer

TOCSIN = [sys.executable, "-m", "tocsin.cli"]


class Rig:
    """One cloud, one gateway of made-up samples, and a line between them that can be cut."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "cloud"
        self.env = {"TOCSIN_DATA": str(folder / "state")}
        (folder / "cloud.toml").write_text(
            'schema = 1\n[cloud]\ndata_dir = "cloud"\n[broker]\nkind = "mosquitto"\nport = 0\n[http]\nport = 0\n'
            '[ingest]\ncommit_ms = 50\n[[gateways]]\nid = "gw-1"\nsite = "plant"\npassword = "gw-1-password"\n',
            "utf-8",
        )

    def write_gateway(self, port: int, samples_per_s: int) -> None:
        (self.folder / "gateway.toml").write_text(
            f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "edge"
[uplink]
host = "127.0.0.1"
port = {port}
password = "gw-1-password"
[outbox]
fsync = "none"
max_bytes = 1048576
[[drivers]]
type = "generate"
name = "made-up"
devices = 2
channels = 40
samples_per_s = {samples_per_s}
""",
            "utf-8",
        )

    @contextmanager
    def edge(self) -> Iterator[Process]:
        argv = [*TOCSIN, "edge", "run", "-c", str(self.folder / "gateway.toml"), "--json"]
        with run_process(argv, env=self.env) as process:
            yield process
            assert process.terminate() == 0, process.stderr

    def call(self, op: str, **args: Any) -> Any:
        try:
            return call_once(self.data / "spine.sock", op, **args)
        except SpineError:
            return {}

    def audit(self, *more: str) -> tuple[int, dict[str, Any]]:
        """(exit code, the object), by the command."""
        argv = [*TOCSIN, "audit", "--data", str(self.data), "--json", *more]
        with run_process(argv, env=self.env) as done:
            code = done.wait()
            return code, json.loads("".join(done.stdout))

    def verdict(self) -> str:
        return str(self.call("audit", gateway="gw-1").get("verdict", ""))

    def numbers(self, stream: str) -> set[int]:
        """What the store holds of a stream."""
        sql = f"SELECT seq FROM bench WHERE stream = '{stream}'"
        return set(self.call("query", sql=sql)["data"][0])


def chunks(folder: Path) -> list[tuple[int, bytes]]:
    """The outbox's telemetry, oldest first."""
    with sqlite3.connect(folder / "edge" / "outbox" / "outbox.db") as db:
        return db.execute(
            "SELECT id, payload FROM chunk WHERE cls = 'telemetry' ORDER BY id"
        ).fetchall()


def given_up(folder: Path) -> int:
    """Rows that the outbox says it gave up."""
    with sqlite3.connect(folder / "edge" / "outbox" / "outbox.db") as db:
        events = db.execute("SELECT payload FROM chunk WHERE cls = 'event'").fetchall()
    told = [decode_body(decode_header(payload), payload, Event) for (payload,) in events]
    return sum(gap.rows for event in told for gap in gaps_of(event))


def poison(folder: Path, row_id: int, payload: bytes) -> tuple[int, int]:
    """Make the body of a sealed chunk one that no cloud can store; its numbers."""
    header = decode_header(payload)
    batch = decode_body(header, payload, Batch)
    bad = [msgspec.structs.replace(group, device="No Such Name!") for group in batch.groups]
    with sqlite3.connect(folder / "edge" / "outbox" / "outbox.db") as db:
        db.execute(
            "UPDATE chunk SET payload = ? WHERE id = ?",
            (encode(msgspec.structs.replace(batch, groups=bad)), row_id),
        )
    return header.first_seq, header.first_seq + header.rows


def reasons(site: Rig) -> set[str]:
    return {gap["reason"] for gap in gaps_in(site.audit("--gateway", "gw-1")[1])}


def gaps_in(told: dict[str, Any], cls: str = topics.TELEMETRY) -> list[dict[str, Any]]:
    return [g for s in told["streams"] if s["cls"] == cls for g in s["gaps"]]


def spread(gaps: list[dict[str, Any]], *reasons: str) -> set[int]:
    return {n for g in gaps if g["reason"] in reasons for n in range(g["lo"], g["hi"])}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Rig, FaultProxy]]:
    rig = Rig(tmp_path)
    with ExitStack() as stack:
        argv = [*TOCSIN, "cloud", "run", "-c", str(tmp_path / "cloud.toml"), "--json"]
        cloud = stack.enter_context(run_process(argv, env=rig.env))
        port = int(json.loads(cloud.wait_line("broker_port", 60.0))["broker_port"])
        yield rig, stack.enter_context(FaultProxy(port))


def test_audit_names_exactly_the_rows_that_are_missing_and_why(
    rig: tuple[Rig, FaultProxy], tmp_path: Path
) -> None:
    site, line = rig
    code, told = site.audit("--gateway", "gw-1")
    assert (code, told["verdict"]) == (9, "unheard")
    site.write_gateway(line.port, 1500)
    with site.edge():
        wait_until_sync(lambda: site.verdict() == "complete", 60.0)
        code, told = site.audit("--gateway", "gw-1")
        assert (code, told["verdict"], told["missing"]) == (0, "complete", 0)
        assert told["rows"] > 0
        assert site.audit()[0] == 0
        # cut off until the outbox has given up some of what the cloud never saw
        line.cut()
        last = chunks(tmp_path)[-1][0]
        wait_until_sync(lambda: chunks(tmp_path)[-1][0] >= last + 4, 30.0)
        kept = chunks(tmp_path)
        wait_until_sync(lambda: given_up(tmp_path) > 4000, 60.0)  # some of them had arrived
    waiting = chunks(tmp_path)
    row_id, payload = waiting[len(waiting) // 2]
    lo, hi = poison(tmp_path, row_id, payload)
    stream = decode_header(payload).stream
    line.resume()
    site.write_gateway(line.port, 50)
    with site.edge():
        wait_until_sync(lambda: site.call("audit", gateway="gw-1").get("waiting") == 0, 60.0)
        wait_until_sync(lambda: site.verdict() == "incomplete", 60.0)
        wait_until_sync(lambda: "dead-lettered" in reasons(site), 60.0)
        code, told = site.audit("--gateway", "gw-1")
    assert code == 9
    gaps = gaps_in(told)
    (refused,) = [g for g in gaps if g["reason"] == "dead-lettered"]
    assert (refused["lo"], refused["hi"]) == (lo, hi)
    letters = {row["id"] for row in site.call("deadletters")}
    assert set(refused["letters"]) == letters
    assert refused["detail"] == "bad-shape"
    evicted = spread(gaps, "evicted")
    end = max(s["end"] for s in told["streams"] if s["stream"] == stream)
    stored = site.numbers(stream)
    in_flight = spread(gaps, "in-flight")
    assert set(range(end)) - stored - in_flight == evicted | set(range(lo, hi))
    assert len(evicted) > 1000
    assert told["missing"] == len(evicted) + hi - lo
    assert told["reasons"] == {"dead-lettered": hi - lo, "evicted": len(evicted)}
    # beside the series
    (rows,) = site.call("query", sql="SELECT sum(rows) FROM gap WHERE reason = 'evicted'")["data"]
    assert rows[0] >= len(evicted)
    # only the time of the gaps is concerned
    first = min(g["first_ns"] for g in gaps if g["reason"] == "evicted")
    before = msgspec.json.decode(msgspec.json.encode(first // 10**9 - 60))
    assert site.call("audit", gateway="gw-1", to_ns=before * 10**9)["missing"] == 0
    # what was thought lost comes late: the gap closes
    late = [p for _, p in kept if decode_header(p).first_seq in evicted]
    assert late
    with Peer(line.port, "gw-1", "gw-1-password") as peer:
        for payload in late:
            peer.publish(topics.up("plant", "gw-1", topics.TELEMETRY), payload)
    arrived = {
        n
        for header in map(decode_header, late)
        for n in range(header.first_seq, header.first_seq + header.rows)
    }
    wait_until_sync(
        lambda: spread(gaps_in(site.call("audit", gateway="gw-1")), "evicted") == evicted - arrived,
        30.0,
    )
