"""Three nats-servers with JetStream on free ports of this machine, in folders of their own, ended at the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from tocsin.testing import free_port, run_process, wait_until_sync
from tocsin.testing.processes import Process

BINARY = shutil.which("nats-server") or "/usr/sbin/nats-server"


class NatsCluster:
    """`kill9` and `start` work on one server; `urls` name all of them."""

    def __init__(self, folder: Path, n: int = 3, *, max_payload: str = "2MB") -> None:
        self._folder, self._max_payload = folder, max_payload
        self._ports = [(free_port(), free_port(), free_port()) for _ in range(n)]
        self._stack = contextlib.ExitStack()
        self._processes: dict[int, Process] = {}

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{client}" for client, _, _ in self._ports]

    def __enter__(self) -> Self:
        for i in range(len(self._ports)):
            self.start(i)
        wait_until_sync(lambda: self.leader is not None, 60.0, "a leader of the cluster")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, i: int) -> None:
        """On the ports and the folder it had."""
        client, route, monitor = self._ports[i]
        routes = ", ".join(f'"nats://127.0.0.1:{r}"' for _, r, _ in self._ports)
        config = self._folder / f"nats-{i}.conf"
        cluster = f"cluster {{ name: city, listen: 127.0.0.1:{route}, routes: [{routes}] }}\n"
        config.write_text(
            f"server_name: n{i}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\n"
            f"max_payload: {self._max_payload}\n"
            f'jetstream {{ store_dir: "{self._folder}/nats-{i}" }}\n'
            + (cluster if len(self._ports) > 1 else ""),
            "utf-8",
        )
        argv = [BINARY, "-c", str(config)]
        self._processes[i] = self._stack.enter_context(run_process(argv))

    def kill9(self, i: int) -> None:
        """SIGKILL, as a power cut would."""
        self._processes.pop(i).kill9()

    @property
    def leader(self) -> int | None:
        """Who leads, by the word of any that runs."""
        for i in self._processes:
            told = self._asked(i, "jsz")
            if len(self._ports) == 1 and told:
                return 0
            name = str(told.get("meta_cluster", {}).get("leader") or "")
            if name:
                return int(name.removeprefix("n"))
        return None

    def leaders(self) -> set[int]:
        """Who leads the cluster, its streams or their consumers."""
        names: set[str] = set()
        for i in self._processes:
            told = self._asked(i, "jsz?streams=true&consumers=true")
            names.add(told.get("meta_cluster", {}).get("leader", ""))
            for account in told.get("account_details", ()):
                for stream in account.get("stream_detail", ()):
                    led = [stream, *stream.get("consumer_detail", ())]
                    names |= {one.get("cluster", {}).get("leader", "") for one in led}
        return {int(name.removeprefix("n")) for name in names if name}

    def wait_whole(self) -> None:
        """Until every server holds all that the others hold."""
        wait_until_sync(self._is_whole, 60.0, "a whole cluster")

    def _is_whole(self) -> bool:
        for i in self._processes:
            told = self._asked(i, "jsz?streams=true&consumers=true&raft=true")
            if self._asked(i, "healthz").get("status") != "ok" or not told.get("meta_cluster"):
                return False
        return len(self._processes) == len(self._ports)

    def _asked(self, i: int, what: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._ports[i][2]}/{what}"
        with (
            contextlib.suppress(urllib.error.URLError, OSError, ValueError),
            urllib.request.urlopen(url, timeout=2) as answer,
        ):
            return dict(json.load(answer))
        return {}

    def log_table(self, lanes: int = 2, more: str = "") -> str:
        """`[log]` of a cloud.toml."""
        replicas = 3 if len(self._ports) > 1 else 1
        servers = ", ".join(f'"{url}"' for url in self.urls)
        return f"[log]\nservers = [{servers}]\nlanes = {lanes}\nreplicas = {replicas}\nack_wait_s = 2\nmax_bytes = 268435456\n{more}"
