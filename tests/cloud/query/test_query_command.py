"""`tocsin query` on a data directory at rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import block
from tocsin.cli.paths import remember_cloud_dir


@pytest.fixture(scope="module")
def cloud_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cloud")
    store = LocalStore(directory / "store")
    store.write([block(), block(device="gas-02")], [])
    store.close()
    return directory


def tocsin(*args: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "import sys; from tocsin.cli.run import run_app; from cloud.query_command import app; sys.exit(run_app(app, sys.argv[1:], prog='tocsin query'))"
    env = {"PATH": "/usr/bin:/bin", "TOCSIN_DATA": str(home or "/nonexistent")}
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=env, check=False
    )


QUESTION = "SELECT device, max(h2s) FROM gas GROUP BY device ORDER BY device"


def test_it_answers_as_json_with_a_clean_stderr(cloud_dir: Path) -> None:
    for flag in (["--format", "json"], ["--json"]):
        done = tocsin(QUESTION, "--data", str(cloud_dir), *flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == [
            {"device": "gas-01", "max(h2s)": 2.5},
            {"device": "gas-02", "max(h2s)": 2.5},
        ]


def test_it_finds_the_last_cloud_and_says_so(
    cloud_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATA", str(tmp_path))
    remember_cloud_dir(cloud_dir)
    done = tocsin(QUESTION, home=tmp_path)
    assert done.stdout.splitlines()[0].split() == ["device", "max(h2s)"]
    assert str(cloud_dir) in done.stderr
    assert tocsin(QUESTION).returncode == 2


def test_parquet_goes_to_a_file(cloud_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    done = tocsin(
        "SELECT * FROM gas", "--data", str(cloud_dir), "--format", "parquet", "-o", str(target)
    )
    assert done.returncode == 0
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{target}'").fetchall() == [(6,)]
    assert tocsin("SELECT 1", "--data", str(cloud_dir), "--format", "parquet").returncode == 2


def test_failures_are_one_object_with_code_and_hint(cloud_dir: Path) -> None:
    done = tocsin("SELECT h2 FROM gas", "--data", str(cloud_dir), "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (7, "query.refused")
    assert "h2s" in error["hint"]
    done = tocsin("SELECT 1", "--data", str(cloud_dir / "nothing"))
    assert done.returncode == 7
    assert "no store" in done.stderr


def test_influxql_is_refused_by_the_embedded_store(cloud_dir: Path) -> None:
    done = tocsin("SHOW MEASUREMENTS", "--data", str(cloud_dir), "--language", "influxql")
    assert done.returncode == 7
    assert "wrong-language" in done.stderr


def test_a_cut_off_result_says_so(cloud_dir: Path) -> None:
    done = tocsin(
        "SELECT * FROM gas", "--data", str(cloud_dir), "--max-rows", "2", "--format", "csv"
    )
    assert len(done.stdout.splitlines()) == 3
    assert "cut off after 2 rows" in done.stderr


def test_an_address_or_a_file_that_cannot_be_used_is_told_as_such(
    cloud_dir: Path, tmp_path: Path
) -> None:
    at = ("--data", str(cloud_dir))
    for args, told in (
        ((*at, "--output", str(tmp_path / "no" / "out.csv")), "cannot be written"),
        (("--url", "cloud.example"), "is no http or https address"),
        ((*at, "--url", "http://127.0.0.1:1"), "exclude each other"),
    ):
        done = tocsin("SELECT 1", *args)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
