"""`tocsin bundle`: the archive installs a gateway with no network there, and taking it away leaves the journal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from tocsin.cli.data import data_dir
from tocsin.cli.root import dispatch

HANG_S = 170
# a network namespace has not even loopback up; nothing in there reaches an index
ALONE = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
GATEWAY = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "{data}"
[[drivers]]
type = "generate"
name = "made-up"
devices = 2
channels = 4
samples_per_s = 100
"""


def _unpack(archive: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent)  # noqa: S202 - our own; 3.11.2 knows no filter
    return archive.parent / archive.name.removesuffix(".tar.gz")


def _alone(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ALONE, *map(str, argv)], capture_output=True, text=True, timeout=HANG_S, check=False
    )


def _places(tmp_path: Path) -> list[str]:
    prefix, etc = tmp_path / "opt", tmp_path / "etc"
    return [
        "--prefix",
        str(prefix),
        "--etc",
        str(etc),
        "--data",
        str(prefix / "data"),
        "--no-service",
    ]


@pytest.fixture(scope="module")
def small_lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the locked packages only pip, which installs Tocsin's own wheel."""
    text = (data_dir("requirements") / "edge.lock").read_text("utf-8")
    found = re.search(r"^pip==.*?(?=^[a-z])", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    lock = tmp_path_factory.mktemp("lock") / "small.lock"
    lock.write_text(found[0], "utf-8")
    return lock


@pytest.fixture(scope="module")
def small(small_lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of Tocsin's wheel and pip alone."""
    folder = tmp_path_factory.mktemp("bundle")
    assert dispatch(["bundle", "--lock", str(small_lock), "--dir", str(folder)]) == 0
    (archive,) = folder.glob("tocsin-gateway-*.tar.gz")
    return archive


def test_it_installs_without_a_network_and_leaves_the_journal_when_taken_away(
    small: Path, tmp_path: Path
) -> None:
    root = _unpack(small)
    done = _alone(root / "install.sh", *_places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "tocsin init" in done.stderr  # no configuration was in it
    program = tmp_path / "opt/bin/tocsin"
    assert _alone(program, "--version").stdout.startswith("tocsin ")
    unit = (tmp_path / "opt/tocsin-edge.service").read_text("utf-8")
    assert f"ExecStart={program} edge run -c {tmp_path / 'etc'}/gateway.toml\n" in unit
    assert f"ReadWritePaths={tmp_path / 'opt/data'}\n" in unit
    journal = tmp_path / "opt/data/outbox/outbox.db"
    journal.parent.mkdir()
    journal.write_text("readings", "utf-8")
    mine = tmp_path / "etc/gateway.toml"
    mine.write_text("schema = 1\n", "utf-8")

    done = _alone(tmp_path / "opt/uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert journal.read_text("utf-8") == "readings"
    assert mine.exists()
    left = [p for p in (tmp_path / "opt").rglob("*") if p.is_file()]
    assert left == [journal]


def test_a_damaged_archive_installs_nothing(small: Path, tmp_path: Path) -> None:
    root = _unpack(small)
    wheel = next((root / "wheels").glob("pip-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = _alone(root / "install.sh", *_places(tmp_path))
    wheel.write_bytes(whole)
    assert done.returncode == 4
    assert "damaged" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_machine_refuses_it(small: Path, tmp_path: Path) -> None:
    root = _unpack(small)
    script = (root / "install.sh").read_text("utf-8")
    other = tmp_path / "install.sh"
    for text, said in (
        (re.sub(r"^arch=\S+", "arch=riscv64", script, flags=re.MULTILINE), "is for riscv64"),
        (re.sub(r"python=[\d.]+", "python=2.7", script), "Python 2.7 was not found"),
    ):
        other.write_text(text, "utf-8")
        done = _alone("sh", other, *_places(tmp_path / "into"))
        assert done.returncode == 4
        assert said in done.stderr
    assert not (tmp_path / "into").exists()


def test_a_folder_that_no_bundle_made_is_left_alone(small: Path, tmp_path: Path) -> None:
    root = _unpack(small)
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/precious").write_text("mine", "utf-8")
    done = _alone(root / "install.sh", *_places(tmp_path))
    assert done.returncode == 4
    assert "was not made by a bundle" in done.stderr
    done = _alone(root / "uninstall.sh", "--prefix", tmp_path / "opt")
    assert done.returncode == 2
    assert (tmp_path / "opt/precious").read_text("utf-8") == "mine"


def test_what_cannot_be_made_is_said(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["bundle", "--dir", str(small.parent)]) == 2
    assert f"{small} is there already" in capsys.readouterr().err
    cloud = tmp_path / "cloud.toml"
    cloud.write_text('schema = 1\n[cloud]\ndata_dir = "data"\n', "utf-8")
    assert dispatch(["bundle", "-c", str(cloud), "--dir", str(tmp_path)]) == 2
    assert "is no gateway.toml" in capsys.readouterr().err
    lock = tmp_path / "wrong.lock"
    lock.write_text(f"pip==26.3 --hash=sha256:{'0' * 64}\n", "utf-8")
    assert dispatch(["bundle", "--lock", str(lock), "--dir", str(tmp_path), "--json"]) == 9
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "bundle.failed"
    assert [p.name for p in tmp_path.glob("*.tar.gz")] == []


@pytest.mark.release
@pytest.mark.timeout(600)
def test_a_whole_gateway_runs_from_the_archive_without_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(GATEWAY.format(data=tmp_path / "opt/data"), "utf-8")
    made = tmp_path / "made"
    assert dispatch(["bundle", "-c", str(config), "--dir", str(made), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    root = _unpack(Path(found["file"]))
    done = _alone(root / "install.sh", *_places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ok (gateway)" in done.stderr
    program, installed = tmp_path / "opt/bin/tocsin", tmp_path / "etc/gateway.toml"
    with subprocess.Popen(
        [*ALONE, program, "edge", "run", "-c", installed, "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as agent:
        try:
            agent.wait(timeout=5)
        except subprocess.TimeoutExpired:
            agent.send_signal(signal.SIGTERM)
        told, _ = agent.communicate(timeout=HANG_S)
    assert json.loads(told)["readings"] > 100
    assert _alone(tmp_path / "opt/uninstall.sh").returncode == 0
    assert not program.exists()
    left = sum(p.stat().st_size for p in (tmp_path / "opt/data/outbox").iterdir())
    assert left > 1000


@pytest.mark.release
@pytest.mark.timeout(600)
def test_the_archive_for_arm_has_wheels_for_arm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["bundle", "--arch", "aarch64", "--dir", str(tmp_path), "--json"]) == 0
    wheels = json.loads(capsys.readouterr().out)["wheels"]
    binary = [name for name in wheels if not name.endswith("-any.whl")]
    assert len(binary) >= 4
    assert all("aarch64" in name for name in binary)
    assert any(name.startswith("tocsin-") for name in wheels)
