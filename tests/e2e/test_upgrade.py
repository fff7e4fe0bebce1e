"""A site that an older version left behind, killed with a full outbox, goes on under this one, and back again.

`tests/fixtures/site-1.tar.xz` is what the commit of 2026-11-23 with outbox layout 1, state schema 0001 and store layout 1 had
written when its cloud stood still for nine seconds and everything was then killed with -9.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cloud.db.upgrade import HEAD
from cloud.stores.local import layout as store_layout
from edge.outbox import layout as outbox_layout
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import NS_PER_UNIT, Batch
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError, tocsin_command
from tocsin.lab.client import ConsoleClient
from tocsin.lab.demo import wait_http
from tocsin.testing import wait_until_sync

FIXTURE = Path(__file__).parents[1] / "fixtures" / "site-1.tar.xz"
OLD = {"outbox": 1, "state": "0001", "store": 1}


Cell = tuple[str, int, str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The old site, with configurations of this version."""
    return unpacked(FIXTURE, tmp_path)


def unpacked(fixture: Path, folder: Path) -> Path:
    """A kept site in `folder`, and configurations of this version beside it."""
    with tarfile.open(fixture) as archive:
        archive.extractall(folder)  # noqa: S202 - our own, and Python 3.11.2 has no filters
    site.write_cloud(folder, http_port=0, broker="mosquitto")
    (folder / "gateway.toml").write_text(site.gateway_head(1), "utf-8")
    return folder


def schema_of(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return {
            (name, " ".join(sql.split()))
            for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")
        }


def meta_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT key, value FROM meta").fetchall())


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [str(db.execute("PRAGMA user_version").fetchone()), *db.iterdump()]


def cells_in_outbox(path: Path) -> Iterator[Cell]:
    """Every reading the old version had sealed."""
    with closing(sqlite3.connect(path)) as db:
        for (payload,) in db.execute("SELECT payload FROM chunk WHERE cls = 'telemetry'"):
            batch = decode_body(decode_header(payload), payload, Batch)
            for group in batch.groups:
                for quantity, column in zip(group.quantities, group.columns, strict=True):
                    for offset, value in zip(group.times, column, strict=True):
                        time_ns = batch.t0 + offset * NS_PER_UNIT[batch.tu]
                        yield group.device, time_ns, quantity, value


def cells_in_store(client: ConsoleClient) -> Iterator[Cell]:
    for measurement in ("gas", "weather", "water", "vehicle"):
        for row in client.query(f"SELECT *, epoch_ns(time) AS ns FROM {measurement}"):
            for quantity, value in row.items():
                if quantity not in ("time", "ns", "site", "device", "gateway", "stream", "seq"):
                    yield row["device"], int(row["ns"]), quantity, value


def start_cloud(folder: Path, children: Children) -> tuple[Child, ConsoleClient, int]:
    cloud = children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(folder / "cloud.toml"))
    http = wait_http(folder / "cloud" / "http.json", children, cloud)
    token = ("token", "create", "t", "--scope", "read", "--scope", "query", "--json", "--data")
    made = json.loads(tocsin_command(*token, str(folder / "cloud")))
    return cloud, ConsoleClient(str(http["url"]), made["token"]), int(http["broker_port"])


def run_until_drained(folder: Path, wanted: set[Cell]) -> None:
    """Both sides of this version, until the cloud has everything; then the store is judged cell by cell."""
    with Children(folder / "logs") as children:
        cloud, client, port = start_cloud(folder, children)
        (folder / "gateway.toml").write_text(site.gateway_head(port), "utf-8")
        edge = children.start(
            "edge", "tocsin.cli", "edge", "run", "-c", str(folder / "gateway.toml")
        )
        wait_until_sync(lambda: pending(folder) == 0, 60.0)
        found = [cell for cell in cells_in_store(client) if cell[3] is not None]
        assert len(found) == len(set(found)), "a row is stored twice"
        assert {c for c in found if c[2] in {w[2] for w in wanted}} == wanted
        wait_until_sync(lambda: alarms_of_h2s(client) == ["gas-02"], 20.0)
        edge.stop()
        cloud.stop()


def alarms_of_h2s(client: ConsoleClient) -> list[str]:
    alarms = client.get("/api/v1/alarms?active=false")
    return [alarm["device"] for alarm in alarms if alarm["quantity"] == "h2s"]


def pending(folder: Path) -> int:
    try:
        told = tocsin_command("edge", "status", "-c", str(folder / "gateway.toml"), "--json")
    except LabError:
        return -1
    return int(json.loads(told)["pending_rows"])


def layouts(folder: Path) -> dict[str, Any]:
    edge = json.loads(
        tocsin_command("edge", "layout", "-c", str(folder / "gateway.toml"), "--json")
    )
    cloud = json.loads(
        tocsin_command("cloud", "layout", "show", "-c", str(folder / "cloud.toml"), "--json")
    )
    parts = {part["part"]: part["layout"] for part in cloud}
    return {"outbox": edge["layout"], "state": parts["state"], "store": int(parts["store"])}


def test_a_full_outbox_and_a_cloud_with_data_go_up_in_place_and_back_again(folder: Path) -> None:
    outbox, state = folder / "edge/outbox/outbox.db", folder / "cloud/state.db"
    old_outbox, old_state = schema_of(outbox), schema_of(state)
    wanted = {cell for cell in cells_in_outbox(outbox) if cell[3] is not None}
    assert len(wanted) > 800
    assert layouts(folder) == OLD
    run_until_drained(folder, wanted)
    newest = {"outbox": outbox_layout.VERSION, "state": HEAD, "store": store_layout.VERSION}
    assert layouts(folder) == newest

    config = ("-c", str(folder / "cloud.toml"))
    tocsin_command("edge", "layout", "rollback", "1", "-c", str(folder / "gateway.toml"))
    tocsin_command("cloud", "layout", "rollback", "state", "0001", *config)
    tocsin_command("cloud", "layout", "rollback", "store", "1", *config)
    assert layouts(folder) == OLD
    assert schema_of(outbox) == old_outbox
    assert meta_of(outbox) == {"site": "demo", "gateway": "gw-demo"}
    assert schema_of(state) == old_state
    (aside,) = folder.glob(f"cloud/state.db.{HEAD}.*")
    assert len(schema_of(aside)) > len(old_state)
    run_until_drained(folder, wanted)
    assert layouts(folder) == newest


def _run(folder: Path, side: str) -> subprocess.CompletedProcess[str]:
    config = folder / ("gateway.toml" if side == "edge" else "cloud.toml")
    argv = [sys.executable, "-P", "-m", "tocsin.cli", side, "run", "-c", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_files_of_a_newer_version_are_refused_and_stay_as_they_are(folder: Path) -> None:
    outbox, state = folder / "edge/outbox/outbox.db", folder / "cloud/state.db"
    with closing(sqlite3.connect(outbox)) as db:
        db.execute(f"PRAGMA user_version = {outbox_layout.VERSION + 1}")
    with closing(sqlite3.connect(state)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    before = dump(outbox), dump(state)
    for side in ("edge", "cloud"):
        done = _run(folder, side)
        assert done.returncode == 7, done.stderr
        assert "install the newer version again" in done.stderr
    assert (dump(outbox), dump(state)) == before
    with pytest.raises(LabError, match="failed"):
        tocsin_command("edge", "layout", "rollback", "1", "-c", str(folder / "gateway.toml"))
    with closing(sqlite3.connect(state)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '0001'")
    with store_layout.bare(folder / "cloud/store/hot.duckdb") as store:
        store_layout.set_version(store, store_layout.VERSION + 1)
    spine = [
        sys.executable,
        "-P",
        "-m",
        "cloud.spine",
        str(folder / "cloud.toml"),
        "--broker-port",
        "1",
    ]
    done = subprocess.run(spine, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr
    assert "install the newer version again" in done.stderr


_DIE_AT = """
import os, signal, sqlite3, sys
from pathlib import Path
seen = 0
def count(statement):
    global seen
    if statement.lstrip()[:6].upper() in ("CREATE", "ALTER ", "PRAGMA", "UPDATE", "COMMIT", "INSERT"):
        seen += 1
        if seen == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
{run}
"""
_OUTBOX = """
from edge.outbox.layout import upgrade
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.set_trace_callback(count)
upgrade(db)
"""
_STATE = """
from sqlalchemy import event
from cloud.db import open_engine, upgrade
engine = open_engine(Path(sys.argv[1]))
event.listen(engine, "connect", lambda db, _: db.set_trace_callback(count))
upgrade(engine)
"""


@pytest.mark.parametrize(
    ("part", "run"), [("edge/outbox/outbox.db", _OUTBOX), ("cloud/state.db", _STATE)]
)
def test_killed_at_any_statement_of_the_upgrade_the_file_is_old_or_new_and_whole(
    folder: Path, part: str, run: str
) -> None:
    path = folder / part
    old = dump(path)
    deaths, at = 0, 1
    while True:
        code = _DIE_AT.format(at=at, run=run)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, timeout=60, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        deaths += 1
        at += 1 if part.startswith("edge") else at  # there are few, and there are many
        assert dump(path) == old
    assert deaths > 3
    assert dump(path) != old
