"""`tocsin cloud run` as a process: its children come back, end with it, and nobody else uses its folder."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest

from cloud.db import open_engine, upgrade
from cloud.owned import other_owner
from cloud.rpc import call_once
from cloud.stores.local.store import LocalStore
from tocsin.broker import Kind
from tocsin.contract.columns import Layout, Row
from tocsin.errors import ListenError, SpineError, TocsinError
from tocsin.testing import run_process, wait_until_sync
from tocsin.testing.gateway import WireGateway
from tocsin.testing.processes import Process

LAYOUT = Layout("gas-01", "gas", ("h2s", "o2"), "ff")


class RunningCloud:
    """One supervisor and what is below it."""

    def __init__(self, folder: Path, kind: Kind = "auto", http_port: int = 0) -> None:
        self.folder = folder
        self.config = folder / "cloud.toml"
        self.config.write_text(
            f'schema = 1\n[cloud]\ndata_dir = "data"\n[broker]\nkind = "{kind}"\nport = 0\n[http]\nport = {http_port}\n'
            '[[gateways]]\nid = "gw-1"\nsite = "plant"\npassword = "secret"\n',
            "utf-8",
        )
        self.process: Process
        self.told: dict[str, Any] = {}

    @contextlib.contextmanager
    def run(self) -> Iterator[RunningCloud]:
        argv = [sys.executable, "-m", "tocsin.cli", "cloud", "run", "-c", str(self.config)]
        env = {"TOCSIN_DATA": str(self.folder / "home")}
        with run_process([*argv, "--json"], env=env) as self.process:
            self.told = json.loads(self.process.wait_line('"url"', 60.0))
            yield self

    def refused(self, *prefix: str) -> Process:
        """Another one on the same folder; returns once it has ended."""
        argv = [*prefix, sys.executable, "-m", "tocsin.cli", "cloud", "run", "-c", str(self.config)]
        with run_process(argv, env={"TOCSIN_DATA": str(self.folder / "home")}) as second:
            second.wait(30.0)
        return second

    def children(self) -> dict[str, psutil.Process]:
        kinds = ("mosquitto", "amqtt", "cloud.spine", "cloud.web")
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                line = " ".join(child.cmdline())
                found |= {k: child for k in kinds if k in line and "leash.py" not in line}
        return found

    def call(self, op: str, **args: Any) -> Any:
        return call_once(self.folder / "data" / "spine.sock", op, **args)

    def gateway(self) -> WireGateway:
        return WireGateway(self.told["broker_port"], "gw-1", "plant", "secret")


def put(gateway: WireGateway, n: int = 20) -> None:
    at, now = gateway.rows, time.time_ns()
    gateway.put([Row(LAYOUT, now + i * 1000, (float(at + i), 20.9)) for i in range(n)])


@contextlib.contextmanager
def load(gateway: WireGateway) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            put(gateway)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def replaced(cloud: RunningCloud, name: str, pid: int) -> Callable[[], bool]:
    def look() -> bool:
        child = cloud.children().get(name)
        return child is not None and child.pid != pid

    return look


def answers(cloud: RunningCloud) -> bool:
    with contextlib.suppress(SpineError):
        return bool(cloud.call("counters")["broker_connected"])
    return False


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_each_child_that_is_killed_comes_back_and_nothing_is_lost(
    kind: Kind, tmp_path: Path
) -> None:
    with RunningCloud(tmp_path, kind).run() as cloud, cloud.gateway() as gateway:
        with load(gateway):
            for name in ("cloud.spine", kind, "cloud.web"):
                acks = gateway.acks
                wait_until_sync(lambda acks=acks: gateway.acks > acks, 60.0, "a commit")  # type: ignore[misc]
                victim = cloud.children()[name]
                victim.kill()
                wait_until_sync(replaced(cloud, name, victim.pid), 30.0, f"a new {name}")
                wait_until_sync(lambda: answers(cloud), 30.0, "a spine on its broker")
        wait_until_sync(lambda: not gateway.uncommitted, 60.0, "everything committed")
        seqs = cloud.call("query", sql="SELECT seq FROM gas ORDER BY seq")["data"][0]
        assert seqs == list(range(gateway.rows))
        said = [line for line in cloud.process.stderr if "ended" in line]
        assert len(said) == 3, said


def test_told_to_stop_it_ends_within_ten_seconds_with_everything_committed(tmp_path: Path) -> None:
    with RunningCloud(tmp_path).run() as cloud, cloud.gateway() as gateway:
        with load(gateway):
            wait_until_sync(lambda: gateway.acks > 3, 60.0, "commits")
            asking = threading.Thread(target=_ask_for_ever, args=(cloud,))
            asking.start()
            children = list(cloud.children().values())
            began = time.monotonic()
            assert cloud.process.terminate(30.0) == 0
            assert time.monotonic() - began < 10.0
            asking.join()
        assert not [child for child in children if child.is_running()]
        store = LocalStore(tmp_path / "data" / "store", read_only=True)
        stored = set(store.query("SELECT seq FROM gas").data[0])
        twice = store.query("SELECT seq FROM gas GROUP BY seq HAVING count(*) > 1").data[0]
        store.close()
        committed = {seq for lo, hi in gateway.settled for seq in range(lo, hi)}
        assert committed
        assert committed <= stored
        assert not twice
        assert not (tmp_path / "data" / "http.json").exists()


def _ask_for_ever(cloud: RunningCloud) -> None:
    with contextlib.suppress(TocsinError):
        cloud.call("query", sql="SELECT count(*) FROM range(100000000) a, range(100000) b")


def test_a_second_one_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with RunningCloud(tmp_path).run() as cloud, cloud.gateway() as gateway:
        second = cloud.refused()
        assert second.returncode == 7
        assert "another `tocsin cloud run` owns" in "\n".join(second.stderr)
        put(gateway)
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "the first one's commit")


def test_a_taken_http_port_is_one_clear_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as others:
        port = others.getsockname()[1]
        refused = RunningCloud(tmp_path, http_port=port).refused()
    assert refused.returncode == ListenError.exit_code
    error, hint, code = refused.stderr
    assert f"127.0.0.1 port {port}: the port is taken" in error
    assert "http.port" in hint
    assert code == "http.listen"
    assert not refused.stdout
    assert not (tmp_path / "data" / "state.db").exists()


def test_nobody_can_take_the_port_while_the_web_process_is_down(tmp_path: Path) -> None:
    with RunningCloud(tmp_path).run() as cloud:
        port = urlsplit(cloud.told["url"]).port
        assert port
        cloud.children()["cloud.web"].kill()
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        with urlopen(
            f"{cloud.told['url']}/healthz", timeout=30.0
        ) as answer:  # waits for the next one
            assert answer.status == 200


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    refused = RunningCloud(tmp_path).refused()
    assert refused.returncode == 3
    assert refused.stderr[-1] == "folder.unusable"
    assert "cloud.data_dir" in refused.stderr[-2]


def test_killed_itself_it_takes_its_children_along_and_can_be_started_again(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path)
    with cloud.run():
        with cloud.gateway() as gateway:
            put(gateway)
            wait_until_sync(lambda: not gateway.uncommitted, 30.0, "a commit")
        children = list(cloud.children().values())
        assert len(children) == 3
        cloud.process.kill9()
        wait_until_sync(lambda: not any(c.is_running() for c in children), 10.0, "their end")
    with cloud.run():
        assert cloud.call("query", sql="SELECT count(*) FROM gas")["data"] == [[20]]


# Without root's right to pass over the permissions of files.
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def test_a_state_database_that_takes_no_write_is_named(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path)
    state = tmp_path / "data" / "state.db"
    engine = open_engine(state)
    upgrade(engine)
    engine.dispose()
    state.chmod(0o400)
    ended = cloud.refused(*PLAIN)
    assert ended.returncode == 7
    said = "\n".join(ended.stderr)
    assert f"the state database {state} cannot be opened for writing" in said
    assert "is it writable" in said
    assert "bug" not in said


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path)
    (tmp_path / "data").mkdir(mode=0o500)
    ended = cloud.refused(*PLAIN)
    assert ended.returncode == 3
    assert "cannot be made or written: Permission denied" in "\n".join(ended.stderr)
    assert list((tmp_path / "data").iterdir()) == []


def test_whose_a_folder_is_and_who_asks_is_told(tmp_path: Path) -> None:
    assert other_owner(tmp_path) == other_owner(tmp_path / "none") == ""
    foreign = tmp_path if os.geteuid() == 0 else Path("/")
    if os.geteuid() == 0:
        os.chown(tmp_path, 61234, -1)
    told = other_owner(foreign)
    assert f"{foreign} belongs to user {'61234' if os.geteuid() == 0 else 'root'}" in told
    assert f"this is user {pwd.getpwuid(os.geteuid()).pw_name}: run it as" in told
