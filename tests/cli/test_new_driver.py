"""`tocsin new driver`: what it writes is built, installed and run by the gateway, and this repository knows nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from tocsin.cli.root import dispatch
from tocsin.testing import run_process, wait_until_sync

TOCSIN = [sys.executable, "-c", "from tocsin.cli import main; main()"]
HANG_S = 120


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new driver package."""
    folder = tmp_path_factory.mktemp("new")
    assert dispatch(["new", "driver", "river-mast", "--dir", str(folder)]) == 0
    return folder / "tocsin-river-mast"


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its wheel, built, and unpacked as an installer does, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=package, check=True, capture_output=True, timeout=HANG_S)
    (wheel,) = (folder / "dist").glob("tocsin_river_mast-0.1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _tocsin(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [*TOCSIN, *args], env=env, capture_output=True, text=True, timeout=HANG_S, check=False
    )


def test_it_is_listed_as_somebody_elses(site: Path) -> None:
    done = _tocsin(site, "plugins", "--kind", "driver", "--json")
    found = {p["name"]: p for p in json.loads(done.stdout)}
    mine = found["river-mast"]
    assert (mine["distribution"], mine["state"]) == ("tocsin-river-mast", "ok")


def test_it_keeps_the_contract_as_it_is(site: Path) -> None:
    done = _tocsin(site, "conformance", "river-mast")
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_test_runs_the_kit(package: Path, site: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "sdk or samples"]
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        argv, cwd=package, env=env, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_gateway_checks_its_configuration_and_reads_its_device(
    site: Path, tmp_path: Path
) -> None:
    mast = [sys.executable, "-m", "tocsin_river_mast.virtual", "--tcp", "127.0.0.1:0"]
    env = {"PYTHONPATH": str(site)}
    with run_process([*mast, "--period", "0.1"], env=env) as device:
        address = json.loads(device.wait_line('"ready"'))["port"]
        flags = ["--id", "gw-1", "--site", "roof", "--driver", "river-mast", "--port", address]
        done = _tocsin(
            site, "init", *flags, "--dir", str(tmp_path), "--data-dir", str(tmp_path / "data")
        )
        assert done.returncode == 0, done.stderr
        config = str(tmp_path / "gateway.toml")
        assert _tocsin(site, "check", config).stdout == f"{config}: ok (gateway)\n" + (
            f"{config}: warning: there is no [uplink] table: readings stay in the outbox\n"
        )
        with run_process([*TOCSIN, "edge", "run", "-c", config, "--json"], env=env) as agent:

            def values() -> list[dict[str, object]]:
                told = _tocsin(site, "edge", "values", "-c", config, "--json").stdout
                found = msgspec.json.decode(told or "[]")
                return found if isinstance(found, list) else []

            wait_until_sync(lambda: len(values()) == 2 or agent.returncode is not None, 30.0)
            assert {(v["device"], v["quantity"], v["unit"]) for v in values()} == {
                ("mast-01", "temperature", "Cel"),
                ("mast-01", "humidity", "%"),
            }
            assert agent.terminate() == 0


@pytest.mark.parametrize("name", ["Acme", "modbus", "a_b", "9a", "a--b", "x" * 41])
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    assert dispatch(["new", "driver", name, "--dir", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["new", "driver", "river-mast", "--dir", str(package.parent)]) == 2
    assert f"{package} is there already" in capsys.readouterr().err
