"""A gateway with a gas head and a siren on a relay, each behind a port of its own, and a broker whose line can be cut."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge.control.client import ask
from tests.edge.app.conftest import Start, port_of, start_edge, start_head
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.errors import ControlError
from tocsin.testing import INGESTER, Process, free_port, run_process, wait_until_sync
from tocsin.testing.peer import Peer
from tocsin.testing.proxy import FaultProxy

__all__ = ["start_edge", "start_head"]


def plant_toml(head: int, relay: int, broker: int, more: str = "") -> str:
    """gateway.toml of the site."""
    return f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = {broker}
password = "gw-1-password"
resend_after_s = 1.0
[commands]
key = "gw-1-key"
[[drivers]]
type = "modbus"
name = "heads"
timeout_s = 0.5
backoff_max_s = 0.5
tcp = {{ host = "127.0.0.1", port = {head} }}
devices = [{{ id = "gas-01", unit_id = 1, profile = "four-gas-head", period_s = 0.1 }}]
[[drivers]]
type = "modbus"
name = "relays"
timeout_s = 0.5
backoff_max_s = 0.5
tcp = {{ host = "127.0.0.1", port = {relay} }}
devices = [{{ id = "siren-01", unit_id = 1, profile = "relay-8", period_s = 1.0 }}]
[permits]
{more}
[[spaces]]
id = "well-7"
gas = ["gas-01"]
siren = {{ device = "siren-01", command = "relay-1", on = {{ state = 1 }}, off = {{ state = 0 }} }}
"""


class Plant:
    """Everything that runs."""

    def __init__(
        self, folder: Path, broker: ChildBroker, stack: ExitStack, head: Start, edge: Start
    ) -> None:
        self.folder, self._stack, self._head, self._edge = folder, stack, head, edge
        self.ledger = folder / "relay.ndjson"
        argv = [
            sys.executable, "-m", "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0", "--unit",
            "unit=1,device=siren-01,model=actuator,profile=relay-8", "--ledger", str(self.ledger),
            "--stdin-lease",
        ]  # fmt: skip
        relay = stack.enter_context(run_process(argv))
        self.proxy = stack.enter_context(FaultProxy(broker.port))
        self.cloud = stack.enter_context(Peer(broker.port, INGESTER.user, INGESTER.password))
        assert self.cloud.subscribe("tocsin/1/+/+/+/up/#")
        self.head_port = free_port()
        self.head = head(self.head_port)
        self._relay_port = port_of(relay)
        self.agent: Process

    def start(
        self, more: str = "", *, connected: bool = True, drivers: str = "", **env: str
    ) -> Process:
        """The gateway; again after a kill. `more` goes into [permits], `drivers` to the end of the file."""
        toml = plant_toml(self.head_port, self._relay_port, self.proxy.port, more)
        if drivers:
            toml = toml.replace('gas = ["gas-01"]', 'gas = ["gas-01"]\nlocks = ["hatch-1"]')
        self.agent = self._edge(toml + drivers, **env)
        wait_until_sync(lambda: self._answers(connected), what=f"the gateway: {self.agent.stderr}")
        return self.agent

    def _answers(self, connected: bool) -> bool:
        try:
            status: Any = ask(self.socket, "status")
            return bool(ask(self.socket, "values")) and status["connected"] is connected
        except ControlError:
            return False

    @property
    def socket(self) -> Path:
        """Where the gateway can be asked."""
        return self.folder / "data" / "control.sock"

    def release(self) -> None:
        """Gas comes: another head takes the place of the first."""
        self.head.terminate()
        self.head = self._head(self.head_port, ",release_after_s=0")

    def clear(self) -> None:
        """The air is good again."""
        self.head.terminate()
        self.head = self._head(self.head_port)

    def coil(self) -> list[str]:
        """What was written to the siren's coil, in order."""
        if not self.ledger.exists():
            return []
        told = [json.loads(line) for line in self.ledger.read_text("utf-8").splitlines()]
        return [str(t["values"]) for t in told if t.get("mark") == "write"]

    def tell(self, down: bytes) -> None:
        """The cloud tells the gateway."""
        self.cloud.publish(topics.down("plant", "gw-1", "permit"), down)

    def permits(self) -> list[dict[str, Any]]:
        """As the control socket shows them."""
        found: Any = ask(self.socket, "permits")
        return list(found)

    def state(self) -> str:
        """Of the first permit; empty without one."""
        found = self.permits()
        return str(found[0]["state"]) if found else ""

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for it."""
        wait_until_sync(condition, 20.0, f"{what}: {self.agent.stderr[-5:]}")


@pytest.fixture
def plant(
    tmp_path: Path,
    mosquitto: ChildBroker,
    start_edge: Start,
    start_head: Start,
) -> Iterator[Plant]:
    """The site, its gateway not started yet."""
    with ExitStack() as stack:
        yield Plant(tmp_path, mosquitto, stack, start_head, start_edge)
