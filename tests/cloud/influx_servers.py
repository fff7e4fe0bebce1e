"""Real servers: Debian's influxd 1.6 and VictoriaMetrics, on free ports, gone with the test session."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tocsin.testing import free_port, run_process, wait_until_sync


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def running_influxd(directory: Path, port: int) -> Iterator[str]:
    """Address of an InfluxDB 1.6 on this port with what the directory holds; gone at the end."""
    config = directory / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
        f'[meta]\ndir = "{directory}/meta"\n'
        f'[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\nquery-log-enabled = false\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n'
        "[monitor]\nstore-enabled = false\n[subscriber]\nenabled = false\n",
        "utf-8",
    )
    url = f"http://127.0.0.1:{port}"
    home = {"HOME": str(directory)}
    with run_process(["/usr/bin/influxd", "-config", str(config)], env=home):
        wait_until_sync(lambda: _answers(f"{url}/ping"), timeout_s=120)
        yield url


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an InfluxDB 1.6 with the database `tocsin`."""
    with running_influxd(tmp_path_factory.mktemp("influxd"), free_port()) as url:
        for name in ("tocsin", "grafana"):
            create_database(url, name)
        yield url


def create_database(url: str, name: str) -> None:
    """And wait until it is there."""
    wait_until_sync(partial(_has_database, url, name), timeout_s=60)


def _has_database(url: str, name: str) -> bool:
    """Create it and look: a server that has only just started may answer 200 with an error inside."""
    urllib.request.urlopen(f"{url}/query?q=CREATE+DATABASE+{name}", b"", timeout=60).close()
    with urllib.request.urlopen(f"{url}/query?q=SHOW+DATABASES", timeout=60) as answer:
        return f'["{name}"]' in answer.read().decode()


@pytest.fixture(scope="session")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a VictoriaMetrics that keeps ten years."""
    directory: Path = tmp_path_factory.mktemp("victoria")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [
        "/usr/bin/victoria-metrics",
        "-storageDataPath",
        str(directory),
        "-retentionPeriod",
        "10y",
    ]
    with run_process([*argv, "-httpListenAddr", f"127.0.0.1:{port}", "-loggerLevel", "ERROR"]):
        wait_until_sync(lambda: _answers(f"{url}/health"), timeout_s=120)
        yield url
