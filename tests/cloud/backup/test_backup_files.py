"""Backup and restore of a cloud that does not run: whole or not there, checked byte by byte, also when killed on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cloud.backup.make import Made, make_backup
from cloud.backup.manifest import NAME, find_backup, read_manifest
from cloud.backup.restore import Compared, restore
from cloud.backup.source import source_of
from cloud.backup.verify import verify
from cloud.config import CloudConfig
from cloud.db import open_engine, upgrade
from cloud.ingest.tables import seen_devices
from cloud.owned import owned
from cloud.stores import LedgerEntry
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import Retention
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import STREAM, T0, block
from tests.dying import Step, dies_at
from tests.own_mounts import OWN_MOUNTS
from tocsin.errors import BackupError, FolderError, StoreError, StoreUnavailableError

HOUR = 3600 * 10**9
OPTIONS = LocalOptions(hot_hours=1, retention=Retention(minute_days="forever"))


def quiet(_: str) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A cloud's folder: 60 rows in four cold days, 3 rows hot, their bins, one device in the state."""
    folder = tmp_path / "cloud"
    store = LocalStore(folder / "store", OPTIONS)
    store.write([block(rows=60, step_ns=HOUR)], [LedgerEntry("gw-1", STREAM, 0, 60)])
    store.look_after(T0 + 200 * HOUR)
    store.write([block(first=60)], [LedgerEntry("gw-1", STREAM, 60, 63)])
    store.close()
    engine = open_engine(folder / "state.db")
    upgrade(engine)
    with engine.begin() as connection:
        row = {"gateway": "gw-1", "device": "gas-01", "site": "north", "first_ns": 1}
        connection.execute(insert(seen_devices).values(**row, announced={}))
    engine.dispose()
    return folder


def back_up(data: Path, target: Path) -> Made:
    return make_backup(source_of(data, None), target, quiet)


def bring_back(backup: Path, data: Path) -> dict[str, tuple[int, int]]:
    compared: list[Compared] = restore(backup, read_manifest(backup), data, quiet)
    return {c.name: (c.backup, c.restored) for c in compared}


def rows(data: Path) -> Any:
    store = LocalStore(data / "store", OPTIONS)
    found = store.query("SELECT * FROM gas ORDER BY time").data, store.ledger()
    store.close()
    return found


def test_what_was_backed_up_is_there_after_a_restore_with_equal_counts(
    data: Path, tmp_path: Path
) -> None:
    before = rows(data)
    made = back_up(data, tmp_path / "backups")
    (tmp_path / "new").mkdir()
    compared = bring_back(made.backup, tmp_path / "new")
    assert compared["gas"] == (63, 63)
    assert compared["gas_1m"] == (60, 60)
    assert compared["sequence numbers"] == (63, 63)
    assert compared["seen_devices"] == (1, 1)
    assert rows(tmp_path / "new") == before
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["state.db", "store"]
    assert (tmp_path / "new/state.db").stat().st_mode & 0o777 == 0o600
    assert made.backup.stat().st_mode & 0o777 == 0o700
    for name in ("state.db", "store/hot.duckdb", NAME):
        assert (made.backup / name).stat().st_mode & 0o777 == 0o600, name


def test_a_second_backup_takes_cold_files_from_the_first(data: Path, tmp_path: Path) -> None:
    first = back_up(data, tmp_path / "backups")
    cold = sorted(f.path for f in first.manifest.files if f.path.endswith(".parquet"))
    assert len(cold) == 8
    (first.backup).rename(first.backup.with_name("tocsin-2000-01-01T00-00-00Z"))
    second = back_up(data, tmp_path / "backups")
    new = [f for f in second.manifest.files if not f.path.endswith(".parquet")]
    assert second.new_bytes == sum(f.bytes for f in new)
    verify(second.backup, read_manifest(second.backup), quiet)
    shutil.rmtree(tmp_path / "backups/tocsin-2000-01-01T00-00-00Z")
    assert bring_back(second.backup, tmp_path / "new")["gas"] == (63, 63)
    assert find_backup(tmp_path / "backups") == second.backup


def test_only_the_newest_are_kept_and_each_stays_whole(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    for n in range(3):
        back_up(data, target).backup.rename(target / f"tocsin-200{n}-01-01T00-00-00Z")
    (target / "mine").mkdir()
    shutil.copy(target / "tocsin-2000-01-01T00-00-00Z" / NAME, target / "mine")
    made = make_backup(source_of(data, None), target, quiet, keep=2)
    assert [p.name[:11] for p in made.removed] == ["tocsin-2000", "tocsin-2001"]
    left = sorted(p.name for p in target.iterdir())
    assert left == [".lock", "mine", "tocsin-2002-01-01T00-00-00Z", made.backup.name]
    for backup in (target / left[2], made.backup):
        verify(backup, read_manifest(backup), quiet)


def _flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.unlink()  # it may be a name of the store's own file
    path.write_bytes(body)


def test_a_damaged_backup_is_named_and_never_restored(data: Path, tmp_path: Path) -> None:
    made = back_up(data, tmp_path / "backups")
    manifest = read_manifest(made.backup)
    parquet = next(f.path for f in manifest.files if f.path.endswith(".parquet"))
    for harm, name in ((_flip, parquet), (_flip, "store/hot.duckdb"), (Path.unlink, "state.db")):
        broken = tmp_path / f"broken-{Path(name).name}"
        shutil.copytree(made.backup, broken)
        harm(broken / name)
        with pytest.raises(BackupError, match=name):
            verify(broken, manifest, quiet)
        with pytest.raises(BackupError, match="damaged"):
            bring_back(broken, tmp_path / "new")
        assert list((tmp_path / "new").iterdir()) == []
    (made.backup / "foreign").touch()
    with pytest.raises(BackupError, match="foreign does not belong"):
        verify(made.backup, manifest, quiet)
    with pytest.raises(BackupError, match="foreign does not belong"):
        bring_back(made.backup, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def _with(backup: Path, **changed: object) -> Path:
    path = backup / NAME
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changed}), "utf-8")
    return backup


def test_what_cannot_be_restored_is_refused(data: Path, tmp_path: Path) -> None:
    made = back_up(data, tmp_path / "backups")
    with pytest.raises(BackupError, match=r"is not empty: cloud.lock, state\.db"):
        bring_back(made.backup, data)
    part = made.backup.with_name("tocsin-x.part")
    shutil.copytree(made.backup, part)
    with pytest.raises(BackupError, match="never finished"):
        read_manifest(part)
    told = json.loads((made.backup / NAME).read_bytes())
    newer = {**told["state"], "revision": "9999"}
    with pytest.raises(BackupError, match="schema 9999"):
        bring_back(_with(made.backup, state=newer), tmp_path / "new")
    fewer = {**told["store"], "rows": {**told["store"]["rows"], "gas": {"hot": 3, "cold": 61}}}
    with pytest.raises(BackupError, match="store gas: 64 in the manifest, 63 found"):
        bring_back(_with(made.backup, state=told["state"], store=fewer), tmp_path / "new")
    other = {**told["store"], "ledger": "0" * 64}
    with pytest.raises(BackupError, match="not the one of its manifest"):
        bring_back(_with(made.backup, store=other), tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == [], "nothing is left of what was refused"
    outside = [{**told["files"][0], "path": "../../x"}]
    with pytest.raises(BackupError, match="lies outside"):
        read_manifest(_with(made.backup, files=outside))
    with pytest.raises(BackupError, match="format 2"):
        read_manifest(_with(made.backup, format=2, store="unknown shape"))
    with pytest.raises(BackupError, match="no finished backup") as none:
        find_backup(tmp_path)
    assert "`tocsin backup`" in none.value.hint
    shutil.rmtree(made.backup)
    with pytest.raises(BackupError, match="no finished backup") as none:
        find_backup(tmp_path / "backups")
    assert "never finished" in none.value.hint


def test_a_restore_into_a_file_says_that_it_is_one(data: Path, tmp_path: Path) -> None:
    made = back_up(data, tmp_path / "backups")
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(BackupError, match="file is a file") as refused:
        bring_back(made.backup, tmp_path / "file")
    assert "--data" in refused.value.hint
    with pytest.raises(FolderError, match=r"stopped at .*Not a directory"):
        bring_back(made.backup, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


def test_a_store_that_is_in_use_or_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    for inside in (data / "store/cold/backups", data / "backups", data):
        before = sorted(data.rglob("*"))
        with pytest.raises(BackupError, match="inside the cloud's data directory") as refused:
            back_up(data, inside)
        assert "elsewhere" in refused.value.hint
        assert sorted(data.rglob("*")) == before
    with pytest.raises(BackupError, match="no folder"):
        back_up(tmp_path / "nothing", tmp_path / "backups")
    assert list((tmp_path / "backups").glob("tocsin-*")) == [], "what failed leaves nothing"
    store = LocalStore(data / "store")
    code = f"from cloud.backup.make import *; make_backup(__import__('cloud.backup.source').backup.source.source_of(Path({str(data)!r}), None), Path({str(tmp_path / 'b')!r}), print)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    store.close()
    assert StoreUnavailableError.__name__ in done.stderr


def backing_up(data: Path, target: Path, step: Step) -> None:
    make_backup(source_of(data, None), target, quiet, step)


def restoring(backup: Path, data: Path, step: Step) -> None:
    restore(backup, read_manifest(backup), data, quiet, step)


def test_a_backup_killed_at_any_step_is_not_taken_for_one_and_the_next_is_whole(
    data: Path, tmp_path: Path
) -> None:
    before, target = rows(data), tmp_path / "backups"
    for point in ("held", "state", "file", "filled", "written"):
        assert dies_at(point, backing_up, data, target), point
        assert [p.suffix for p in target.glob("tocsin-*")] == [".part"], point
        with pytest.raises(BackupError):
            find_backup(target)
        assert rows(data) == before
        assert not (data / "store/snapshot").exists(), "cleared at the next start of the store"
    assert dies_at("named", backing_up, data, target)
    assert bring_back(find_backup(target), tmp_path / "new")["gas"] == (63, 63)
    assert rows(tmp_path / "new") == before


def test_a_restore_killed_at_any_step_cannot_be_run_on_and_is_done_by_the_next(
    data: Path, tmp_path: Path
) -> None:
    before = rows(data)
    backup, new = back_up(data, tmp_path / "backups").backup, tmp_path / "new"
    for point in ("begun", "file", "checked", "store in place", "state.db in place"):
        assert dies_at(point, restoring, backup, new), point
        with pytest.raises(StoreError, match="was not finished"), owned(new):
            pass
    assert bring_back(backup, new)["gas"] == (63, 63)
    assert rows(new) == before


def test_what_lies_in_postgresql_or_influxdb_is_left_to_them(data: Path, tmp_path: Path) -> None:
    def config(cloud: dict[str, object], **more: object) -> CloudConfig:
        own = {"data_dir": data, **cloud}
        return CloudConfig.model_validate({"schema": 1, "cloud": own, **more})

    postgresql = config({"state_db": "postgresql://db/x"})
    made = make_backup(source_of(None, postgresql), tmp_path / "a", quiet)
    assert made.manifest.state is None
    assert made.manifest.store is not None
    influx = config({}, store={"type": "influx", "url": "http://127.0.0.1:8086"})
    made = make_backup(source_of(None, influx), tmp_path / "b", quiet)
    assert made.manifest.store is None
    assert bring_back(made.backup, tmp_path / "new")["seen_devices"] == (1, 1)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["state.db"]


FULL = """
import subprocess, sys
from pathlib import Path
from tests.cloud.backup.test_backup_files import back_up
from tocsin.errors import TocsinError
data, target = Path(sys.argv[1]), Path(sys.argv[2])
def mount(size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(target)], check=True)
mount("600k")
try:
    back_up(data, target)
except TocsinError as exc:
    print(exc.code, [p.suffix for p in target.glob("tocsin-*")])
subprocess.run(["mount", "-o", "remount,size=64m", str(target)], check=True)
back_up(data, target)
print([p.suffix for p in target.glob("tocsin-*")])
"""


def test_a_backup_onto_a_full_disk_fails_and_is_none(data: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    argv = [*OWN_MOUNTS, sys.executable, "-c", FULL, str(data), str(tmp_path / "target")]
    root = Path(__file__).parents[3]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=root)
    assert done.stdout.splitlines() == ["folder.unusable []", "['']"], done.stderr
    assert len(rows(data)[0][0]) == 63


def test_progress_is_told(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    tell: Callable[[str], None] = said.append
    make_backup(source_of(data, None), tmp_path / "backups", tell)
    assert "state database" in said
