"""A running gateway on a disk that others have filled, or that refuses every write: alarms sound, and nothing is lost."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge.control.client import ask
from edge.outbox import stand_in
from tests.edge.app.conftest import TOCSIN, Start, gateway_toml, port_of, uplink_toml
from tests.own_mounts import OWN_MOUNTS
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Alarm, Event
from tocsin.testing import INGESTER, Process, run_process, wait_until_sync
from tocsin.testing.ingester import TestIngester


@contextmanager
def pipe_siren(path: Path) -> Iterator[Callable[[], str]]:
    """A siren like a device file; what it was told so far."""
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    heard = ""

    def told() -> str:
        nonlocal heard
        with suppress(BlockingIOError):
            heard += os.read(end, 4096).decode()
        return heard

    try:
        yield told
    finally:
        os.close(end)


@contextmanager
def agent_on_a_disk_of_its_own(
    folder: Path, toml: str, mount: str = "-t tmpfs -o size=8m tmpfs"
) -> Iterator[Process]:
    """A gateway whose data_dir is a real file system of 8 MiB that only it sees."""
    (folder / "data").mkdir()
    (folder / "gateway.toml").write_text(toml + '[control]\nsocket = "control.sock"\n', "utf-8")
    argv = [*OWN_MOUNTS, "sh", "-c", f'mount {mount} "$0" && exec "$@"', str(folder / "data")]
    argv += [*TOCSIN, "edge", "run", "-c", str(folder / "gateway.toml"), "--json"]
    with run_process(argv) as edge:
        yield edge


def data_of(edge: Process, folder: Path) -> Path:
    """Its data_dir as it sees it (proc(5), root)."""
    return Path(f"/proc/{edge.pid}/root{folder / 'data'}")


def fill(edge: Process, folder: Path) -> None:
    with (data_of(edge, folder) / "others").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def free(edge: Process, folder: Path) -> None:
    (data_of(edge, folder) / "others").unlink()


def refuse(edge: Process, _: Path) -> None:
    resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def accept(edge: Process, _: Path) -> None:
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, no_limit)


@pytest.mark.parametrize(
    ("strike", "mend"), [(fill, free), pytest.param(refuse, accept, marks=pytest.mark.release)]
)
def test_alarms_sound_while_the_disk_takes_nothing_and_all_of_it_arrives_later(
    tmp_path: Path,
    mosquitto: ChildBroker,
    start_head: Start,
    strike: Callable[[Process, Path], None],
    mend: Callable[[Process, Path], None],
) -> None:
    head = start_head()
    port = port_of(head)
    toml = gateway_toml(port, period_s=0.05) + uplink_toml(mosquitto.port)
    cloud = TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    )
    with (
        pipe_siren(tmp_path / "siren") as siren,
        agent_on_a_disk_of_its_own(tmp_path, toml) as edge,
        cloud,
    ):
        wait_until_sync(lambda: cloud.rows() > 20, what=f"readings: {edge.stderr}")
        strike(edge, tmp_path)
        wait_until_sync(lambda: any("readings wait" in line for line in edge.stderr))
        head.kill9()
        start_head(port, ",release_after_s=0")
        wait_until_sync(lambda: siren().endswith("on\n"), what=f"the siren: {edge.stderr}")
        status = ask(tmp_path / "control.sock", "status")
        assert isinstance(status, dict)
        assert status["alarms"] == 1
        taken = status["samples"]
        wait_until_sync(lambda: _samples(tmp_path) > taken + 20)
        assert cloud.rows(topics.ALARM) == 0
        before = cloud.rows()
        mend(edge, tmp_path)
        wait_until_sync(lambda: cloud.rows(topics.ALARM) >= 1, what=f"the alarm: {edge.stderr}")
        wait_until_sync(lambda: cloud.rows() > before + 20)
        (first, *_) = [
            decode_body(decode_header(p), p, Alarm) for _, p in cloud.received(topics.ALARM)
        ]
        assert first.quantity == "h2s"
        for have in cloud.ledger.values():
            assert len(list(have)) == 1, "no number is missing"
        assert cloud.changed == []
        assert edge.terminate() == 0, edge.stderr
        said = [line for line in edge.stderr if "readings wait" in line or "takes readings" in line]
        assert len(said) == 2, "each once"


def test_on_a_disk_that_is_read_only_at_the_start_it_sounds_and_sends_and_goes_back_to_it(
    tmp_path: Path, mosquitto: ChildBroker, start_head: Start
) -> None:
    port = port_of(start_head(0, ",release_after_s=0"))
    toml = gateway_toml(port, period_s=0.05) + uplink_toml(mosquitto.port)
    place = stand_in.place(tmp_path / "data" / "outbox")
    assert place is not None
    cloud = TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    )
    with (
        pipe_siren(tmp_path / "siren") as siren,
        agent_on_a_disk_of_its_own(tmp_path, toml, "-t tmpfs -o ro,size=8m tmpfs") as edge,
        cloud,
    ):
        wait_until_sync(lambda: siren().endswith("on\n"), what=f"the siren: {edge.stderr}")
        wait_until_sync(lambda: cloud.rows() > 20 and cloud.rows(topics.ALARM) >= 1)
        cloud.acking = False  # what is not committed yet must go to the disk
        before = cloud.rows()
        wait_until_sync(lambda: cloud.rows() > before + 20)
        remount(edge, tmp_path, "rw")
        wait_until_sync(lambda: "outbox.on-disk-again" in kinds(cloud), what=f"{edge.stderr}")
        assert (data_of(edge, tmp_path) / "outbox" / "outbox.db").exists()
        assert not place.exists()
        cloud.acking = True
        cloud.ack_now()
        before = cloud.rows()
        wait_until_sync(lambda: cloud.rows() > before + 20, what=f"{edge.stderr}")
        found = [decode_body(decode_header(p), p, Alarm) for _, p in cloud.received(topics.ALARM)]
        assert len({a.alarm for a in found}) == 1, "it is the same alarm on both"
        for have in cloud.ledger.values():
            assert len(list(have)) == 1, "no number is missing"
        assert cloud.changed == []
        assert kinds(cloud).index("outbox.in-memory") < kinds(cloud).index("outbox.on-disk-again")
        assert edge.terminate() == 0, edge.stderr


@pytest.mark.release
def test_when_the_kernel_makes_the_disk_read_only_in_use_alarms_sound_and_the_next_start_finds_all(
    tmp_path: Path, mosquitto: ChildBroker, start_head: Start
) -> None:
    """As ext4 does after an error: what is open for writing can be written no more (ext4(5), errors=remount-ro, abort)."""
    head = start_head()
    port = port_of(head)
    toml = gateway_toml(port, period_s=0.05) + uplink_toml(mosquitto.port)
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, timeout=30.0)
    cloud = TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    )
    with pipe_siren(tmp_path / "siren") as siren, cloud:
        with agent_on_a_disk_of_its_own(tmp_path, toml, f"-o loop {image}") as edge:
            wait_until_sync(lambda: cloud.rows() > 20, what=f"readings: {edge.stderr}")
            cloud.acking = False
            before = cloud.rows()
            wait_until_sync(lambda: cloud.rows() > before + 20)
            remount(edge, tmp_path, "abort")
            wait_until_sync(lambda: any("readings wait" in line for line in edge.stderr))
            head.kill9()
            start_head(port, ",release_after_s=0")
            wait_until_sync(lambda: siren().endswith("on\n"), what=f"the siren: {edge.stderr}")
            edge.kill9()
        cloud.acking = True
        (tmp_path / "data").rmdir()
        with agent_on_a_disk_of_its_own(tmp_path, toml, f"-o loop {image}") as edge:
            before = cloud.rows()
            wait_until_sync(lambda: cloud.rows() > before + 20, what=f"readings: {edge.stderr}")
            wait_until_sync(lambda: cloud.rows(topics.ALARM) >= 1)
            assert edge.terminate() == 0, edge.stderr
    for have in cloud.ledger.values():
        assert len(list(have)) == 1, "no number is missing"
    assert cloud.changed == []


def remount(edge: Process, folder: Path, how: str) -> None:
    """Change the mount of its data_dir, in its own namespace."""
    enter = ["nsenter", "--mount", "--root", "--target", str(edge.pid)]
    argv = [*enter, "mount", "-o", f"remount,{how}", str(folder / "data")]
    subprocess.run(argv, check=True, timeout=10.0)


def kinds(cloud: TestIngester) -> list[str]:
    """Of the events so far."""
    return [decode_body(decode_header(p), p, Event).kind for _, p in cloud.received(topics.EVENT)]


def _samples(folder: Path) -> int:
    status = ask(folder / "control.sock", "status")
    assert isinstance(status, dict)
    return int(status["samples"])
