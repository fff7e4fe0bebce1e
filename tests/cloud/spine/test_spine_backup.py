"""Backup while everything runs, and what a restored cloud lacks comes again from the gateways."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cloud.stores.local.store import LocalStore
from tests.cloud.spine.test_spine_kills import grows, load, nothing_lost_or_doubled
from tocsin.broker import Account
from tocsin.contract.columns import Row
from tocsin.contract.messages import VERSION, CommitAck
from tocsin.errors import QueryError, QueryReason
from tocsin.testing import INGESTER, Process, run_process, throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway
from tocsin.testing.ingester import TestIngester as OtherIngester

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]
TOCSIN = [sys.executable, "-m", "tocsin.cli"]


def tocsin(*words: object) -> dict[str, Any]:
    with run_process([*TOCSIN, *map(str, words), "--json"]) as done:
        assert done.wait(60.0) == 0, (done.stdout, done.stderr)
        told: dict[str, Any] = json.loads(done.stdout[-1])
    return told


def test_a_backup_under_load_is_of_one_moment_and_holds_nothing_up(
    spine_on: Make, scan: Scan, gateway_account: Account, tmp_path: Path
) -> None:
    with (
        throwaway_broker("mosquitto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        with load(gateway, scan):
            grows(gateway)
            made = tocsin("backup", tmp_path / "backups", "--data", spine.data)
            grows(gateway)
        nothing_lost_or_doubled(gateway, spine)
        assert not (spine.data / "store/snapshot").exists()
    assert tocsin("backup", "verify", tmp_path / "backups")["ok"]
    told = tocsin("restore", tmp_path / "backups", "--data", tmp_path / "new")
    compared = {(c["part"], c["name"]): (c["backup"], c["restored"]) for c in told["compared"]}
    assert all(a == b for a, b in compared.values())
    rows, numbers = compared["store", "gas"][1], compared["ledger", "sequence numbers"][1]
    assert rows == numbers == made["manifest"]["store"]["numbers"] > 0
    store = LocalStore(tmp_path / "new/store")
    assert store.query("SELECT h2s FROM gas ORDER BY h2s").data[0] == [float(i) for i in range(rows)]  # fmt: skip
    store.close()


@contextlib.contextmanager
def gateway_process(folder: Path, port: int, password: str) -> Iterator[Process]:
    path = folder / "gateway.toml"
    path.write_text(
        f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "gateway"
[uplink]
host = "127.0.0.1"
port = {port}
password = "{password}"
resend_after_s = 1.0
[[drivers]]
type = "generate"
name = "made-up"
devices = 2
channels = 4
samples_per_s = 200
""",
        "utf-8",
    )
    with run_process([*TOCSIN, "edge", "run", "-c", str(path), "--json"]) as process:
        yield process


def stored(spine: Any) -> tuple[int, int]:
    """(rows, one more than the last number) of the gateway's telemetry."""
    sql = "SELECT count(DISTINCT seq) AS n, count(*) AS rows, coalesce(max(seq) + 1, 0) AS upto FROM bench"
    try:
        (n,), (rows,), (upto,) = spine.call("query", sql=sql)["data"]
    except QueryError as exc:
        if exc.reason is not QueryReason.UNKNOWN_NAME:
            raise
        return 0, 0
    assert n == rows, "doubled"
    return rows, upto


def comes(spine: Any, n: int) -> None:
    _, before = stored(spine)
    wait_until_sync(lambda: stored(spine)[1] >= before + n, 60.0, "rows of the gateway")


def hear_another(port: int, outbox: Path) -> None:
    """The gateway hears a second ingester: what one of them had it forgets when it restarts."""
    second = OtherIngester(
        port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1", name="ingest-9"
    )
    second.acking = False
    with second:
        second.publish_ack(CommitAck(VERSION, second.name, {}))
        wait_until_sync(lambda: "ingest-9" in ingesters_of(outbox), 30.0, "two ingesters heard")


def ingesters_of(outbox: Path) -> str:
    with contextlib.closing(sqlite3.connect(outbox)) as db:
        found = db.execute("SELECT value FROM meta WHERE key = 'ingesters'").fetchone()
    return str(found[0]) if found else ""


@pytest.mark.parametrize(
    "case",
    [
        "broker stays, nothing yet",
        "broker stays, gateway killed, two heard",
        pytest.param("broker dies, rows already", marks=pytest.mark.release),
    ],
)
def test_a_restored_cloud_gets_from_a_real_gateway_what_the_backup_lacks(
    spine_on: Make, gateway_account: Account, tmp_path: Path, case: str
) -> None:
    with (
        throwaway_broker("mosquitto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        contextlib.ExitStack() as stack,
    ):

        def start() -> Process:
            process = gateway_process(tmp_path, broker.port, gateway_account.password)
            return stack.enter_context(process)

        gateway: Process | None = None
        if "nothing" not in case:
            gateway = start()
            comes(spine, 200)
        if "two heard" in case:
            hear_another(broker.port, tmp_path / "gateway/outbox/outbox.db")
        made = tocsin("backup", tmp_path / "backups", "--data", spine.data)
        gateway = gateway or start()
        comes(spine, 400)
        lost = stored(spine)[1]
        held = made["manifest"]["store"]["rows"].get("bench", {"hot": 0})["hot"]
        assert held < lost
        spine.process.kill9()
        shutil.rmtree(spine.data)
        if "dies" in case:
            broker.kill9()
            (broker.directory / "mosquitto.db").unlink(missing_ok=True)
            broker.start()
        if "killed" in case:
            gateway.kill9()
            start()
        tocsin("restore", tmp_path / "backups", "--data", spine.data)
        spine.start()
        wait_until_sync(lambda: stored(spine)[0] >= lost, 60.0, "what was lost, and more")
        comes(spine, 100)
        wait_until_sync(lambda: len({*stored(spine)}) == 1, 60.0, "no number missing")
        kinds = spine.column("SELECT kind FROM event WHERE kind = 'cloud.restored'")
        assert kinds
        # the restored cloud's own account: of every class of numbers
        wait_until_sync(
            lambda: spine.call("audit", gateway="gw-1")["verdict"] == "complete", 60.0, "all told"
        )
