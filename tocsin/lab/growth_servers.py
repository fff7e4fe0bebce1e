"""Servers of the growth bench: Debian's influxd and nats-server, on free ports of loopback, ended with the bench."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tocsin.lab.children import Child, Children, LabError
from tocsin.testing import free_port

START_S = 60.0


def start_influxd(folder: Path, children: Children) -> tuple[Child, str]:
    """An InfluxDB 1.x and its URL.

    Raises:
        LabError: it is not installed, or does not answer.
    """
    port, rpc = free_port(), free_port()
    config = folder / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        f'[meta]\ndir = "{folder}/influx/meta"\n'
        f'[data]\ndir = "{folder}/influx/data"\nwal-dir = "{folder}/influx/wal"\nquery-log-enabled = false\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n'
        "[monitor]\nstore-enabled = false\n[subscriber]\nenabled = false\n",
        "utf-8",
    )
    child = children.start_program(
        "influxd", _binary("influxd", "influxdb"), "-config", str(config)
    )
    url = f"http://127.0.0.1:{port}"
    _until(lambda: _answers(f"{url}/ping"), children, "influxd")
    return child, url


def influxql(url: str, text: str, database: str = "", *, write: bool = False) -> float:
    """The one number of an answer; 0 where there is none."""
    asked = urllib.parse.urlencode({"q": text, "db": database})
    data = b"" if write else None
    with urllib.request.urlopen(f"{url}/query?{asked}", data, timeout=60) as answer:
        series = json.load(answer)["results"][0].get("series")
    return float(series[0]["values"][0][1]) if series else 0.0


def start_nats(folder: Path, children: Children, n: int = 3) -> tuple[list[Child], list[str]]:
    """A cluster with JetStream and its URLs.

    Raises:
        LabError: it is not installed, or finds no leader.
    """
    binary = _binary("nats-server", "nats-server")
    ports = [(free_port(), free_port(), free_port()) for _ in range(n)]
    routes = ", ".join(f'"nats://127.0.0.1:{route}"' for _, route, _ in ports)
    servers = []
    for i, (client, route, monitor) in enumerate(ports):
        config = folder / f"nats-{i}.conf"
        config.write_text(
            f"server_name: n{i}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nmax_payload: 2MB\n"
            f'jetstream {{ store_dir: "{folder}/nats-{i}" }}\n'
            f"cluster {{ name: bench, listen: 127.0.0.1:{route}, routes: [{routes}] }}\n",
            "utf-8",
        )
        servers.append(children.start_program(f"nats-{i + 1}", binary, "-c", str(config)))
    _until(lambda: _has_leader(ports[0][2]), children, "nats-server")
    return servers, [f"nats://127.0.0.1:{client}" for client, _, _ in ports]


def _binary(program: str, package: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise LabError(f"{program} is not installed", hint=f"apt-get install {package}")
    return found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def _has_leader(monitor: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/jsz", timeout=2) as answer:
            return bool(json.load(answer).get("meta_cluster", {}).get("leader"))
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _until(done: Callable[[], bool], children: Children, what: str) -> None:
    deadline = time.monotonic() + START_S
    while not done():
        children.check()
        if time.monotonic() > deadline:
            raise LabError(f"{what} does not answer after {START_S:g} s")
        time.sleep(0.05)
