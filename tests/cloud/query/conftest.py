"""A running cloud with every process it has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.testing import Process, run_process

TOCSIN = [sys.executable, "-m", "tocsin.cli"]


class WholeCloud:
    """`tocsin cloud run` with the embedded store."""

    def __init__(self, folder: Path) -> None:
        self.data, self.config = folder / "cloud", folder / "cloud.toml"
        self.config.write_text(
            'schema = 1\n[cloud]\ndata_dir = "cloud"\n[broker]\nkind = "mosquitto"\nport = 0\n[http]\nport = 0\n',
            "utf-8",
        )
        self.process: Process
        self.url = ""

    def token(self, *scopes: str) -> str:
        """A new API token, made as an administrator makes it."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        argv = [*TOCSIN, "token", "create", "test", *words, "--data", str(self.data)]
        with run_process(argv) as done:
            assert done.wait() == 0, done.stderr
            return done.stdout[0].strip()


@pytest.fixture(scope="module")
def whole_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    cloud = WholeCloud(tmp_path_factory.mktemp("whole"))
    argv = [*TOCSIN, "cloud", "run", "-c", str(cloud.config), "--json"]
    state = {"TOCSIN_DATA": str(cloud.data.parent / "state")}
    with run_process(argv, env=state) as cloud.process:
        cloud.url = str(json.loads(cloud.process.wait_line("broker_port", 60.0))["url"])
        yield cloud
