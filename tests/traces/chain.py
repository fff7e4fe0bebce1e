"""The whole chain as processes: one edge that replays every recording, a broker, one cloud; and what the store returns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from cloud.rpc import call_once
from edge.control.client import ask
from firmware_bridges.nmea.encode import Position, burst
from tests.traces.compare import Got
from tocsin.broker import Account
from tocsin.errors import TocsinError
from tocsin.testing import Process, run_process, throwaway_broker, wait_until_sync
from tocsin.testing.brokers import INGESTER

_CONFIGS = Path(__file__).parent / "configs"
_FIXED = frozenset({"time", "site", "device", "gateway", "stream", "seq", "source_time", "nth_"})
GATEWAY = Account("gw-traces", "gw-traces-password")
LIMIT_S = 400.0

ROLLOVER = "nmea-rollover"  # a receiver of our own whose clock says 2034
ROLLOVER_NS, ROLLOVER_FIXES = 2_045_930_366 * 10**9, 50

_ROLLOVER = f"""
[[drivers]]
type = "replay"
name = "{ROLLOVER}"
device = "{ROLLOVER}"
file = "rollover.log"
format = "nmea"
speed = "max"
"""
_GATEWAY = """schema = 1

[gateway]
id = "{id}"
site = "lab"
data_dir = "edge"

[uplink]
host = "127.0.0.1"
port = {port}
password = "{password}"

"""
_CLOUD = """schema = 1

[cloud]
name = "{name}"
data_dir = "cloud"

[broker]
mode = "external"
port = {port}
password = "{password}"

[query]
max_rows = 1_000_000
timeout_s = 120

[[gateways]]
id = "{id}"
site = "lab"
"""


class Chain:
    """Everything has been replayed and committed; ask the store."""

    def __init__(self, socket: Path, status: dict[str, Any]) -> None:
        self._socket, self.status = socket, status

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of one SELECT, as the cloud's query door returns them."""
        answer = cast(
            "dict[str, Any]",
            call_once(
                self._socket,
                "query",
                call_timeout_s=120.0,
                sql=sql,
                max_rows=1_000_000,
                timeout_s=120.0,
            ),
        )
        assert not answer["truncated"]
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in zip(*answer["data"], strict=True)]

    def rows(self, measurement: str, device: str) -> list[Got]:
        """Every stored row of one device."""
        sql = f"SELECT * FROM {measurement} WHERE device = '{device}' ORDER BY time"
        out = []
        for row in self.query(sql):
            values = {
                name: value
                for name, value in row.items()
                if name not in _FIXED and not name.endswith(("_q", "_raw"))
            }
            quality = {name: row.get(f"{name}_q") or 0 for name in values}
            out.append(Got(row["time"], row["source_time"], values, quality))
        return out


@contextmanager
def run_chain(directory: Path, shared_data: Path) -> Iterator[Chain]:
    """Replay everything and yield once all of it is committed in the store."""
    with throwaway_broker("auto", accounts=[GATEWAY]) as broker:
        cloud_toml, gateway_toml = directory / "cloud.toml", directory / "gateway.toml"
        cloud_toml.write_text(
            _CLOUD.format(
                name=INGESTER.user, password=INGESTER.password, port=broker.port, id=GATEWAY.user
            )
        )
        drivers = "\n".join(path.read_text("utf-8") for path in sorted(_CONFIGS.glob("*.toml")))
        gateway_toml.write_text(
            _GATEWAY.format(id=GATEWAY.user, password=GATEWAY.password, port=broker.port)
            + drivers.replace('file = "traces/', f'file = "{shared_data}/traces/')
            + _ROLLOVER
        )
        standing = Position(22.5431, 114.0503, 14.0, 0.0, 90.0)
        periods = (burst(ROLLOVER_NS + i * 10**9, standing) for i in range(ROLLOVER_FIXES))
        (directory / "rollover.log").write_text("".join("".join(p.sentences) for p in periods))
        spine = directory / "cloud" / "spine.sock"
        with (
            run_process([sys.executable, "-m", "cloud.spine", str(cloud_toml)]) as cloud,
            run_process(
                [sys.executable, "-m", "tocsin.cli", "edge", "run", "-c", str(gateway_toml)]
            ) as edge,
        ):
            status = _wait(directory / "edge" / "control.sock", edge, cloud)
            yield Chain(spine, status)


def _wait(control: Path, edge: Process, cloud: Process) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def done() -> bool:
        for process in (edge, cloud):
            assert process.returncode is None, process.stderr
        try:
            found.update(cast("dict[str, Any]", ask(control, "status")))
        except TocsinError:
            return False
        finished = all(device["state"] == "finished" for device in found["devices"])
        return finished and not found["waiting_samples"] and not found["pending_rows"]

    try:
        wait_until_sync(done, LIMIT_S, "everything replayed and committed")
    except TimeoutError as exc:
        raise TimeoutError(f"{exc}: {found}\nedge: {edge.stderr}\ncloud: {cloud.stderr}") from exc
    return found
