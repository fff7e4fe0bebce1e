"""A third-party driver that crashes, installed as a real plug-in: the other devices never notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge.control.client import ask
from tests.edge.app.conftest import Start, gateway_toml, port_of
from tocsin.errors import ControlError
from tocsin.testing import wait_until_sync

PLUGIN = """
from typing import ClassVar
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Channel, DeviceSpec, DriverConfig, Sample

class CrashyDriver:
    sdk: ClassVar[int] = 1
    Config = DriverConfig

    def __init__(self, config, context):
        self._context = context
        self._spec = DeviceSpec("shaky-01", "gas", (Channel("h2s", "[ppm]"),))

    @property
    def devices(self):
        return (self._spec,)

    async def probe(self):
        return []

    async def run(self):
        await self._context.emit(Sample(self._spec, self._context.clock.now_ns(), (1.0,)))
        await self._context.clock.sleep(0.05)
        raise ZeroDivisionError("a bug in a plug-in")

class PortlessDriver(CrashyDriver):
    async def run(self):
        raise LinkError(DriverReason.NO_PORT, "no such port")
"""


def install(folder: Path) -> None:
    """What pip would have laid down."""
    info = folder / "crashy-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "crashy.py").write_text(PLUGIN, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crashy\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[tocsin.drivers]\ncrashy = crashy:CrashyDriver\nportless = crashy:PortlessDriver\n",
        "utf-8",
    )


def test_a_crashing_driver_is_said_once_and_run_again_while_the_others_go_on(
    tmp_path: Path, start_edge: Start, start_head: Start
) -> None:
    install(tmp_path / "plugins")
    socket = tmp_path / "data" / "control.sock"
    toml = gateway_toml(port_of(start_head()))
    toml += '[[drivers]]\ntype = "crashy"\nname = "shaky"\n'
    edge = start_edge(toml, PYTHONPATH=str(tmp_path / "plugins"))

    def status() -> dict[str, Any]:
        try:
            return msgspec.convert(ask(socket, "status"), dict[str, Any])
        except ControlError:
            return {}

    def crashes() -> int:
        return int(status().get("counters", {}).get("driver_crashes", 0))

    wait_until_sync(lambda: crashes() >= 2, what=f"two crashes: {edge.stderr}")
    reads = status()["devices"][0]["reads"]
    wait_until_sync(lambda: status()["devices"][0]["reads"] > reads + 5)
    devices = {d["id"]: d["state"] for d in status()["devices"]}
    assert devices["gas-01"] == "ok"
    assert edge.terminate() == 0
    log = "\n".join(edge.stderr)
    assert log.count("ZeroDivisionError: a bug in a plug-in") == 1 + log.count("is unavailable")
    assert log.count("Traceback") == 1
    assert msgspec.json.decode(edge.stdout[-1])["driver_crashes"] >= 2


def test_a_driver_that_must_work_at_start_ends_the_agent_with_the_device_exit_code(
    tmp_path: Path, start_edge: Start
) -> None:
    install(tmp_path / "plugins")
    toml = gateway_toml(1)
    toml += '[[drivers]]\ntype = "portless"\nname = "gone"\non_start_failure = "error"\n'
    edge = start_edge(toml, PYTHONPATH=str(tmp_path / "plugins"))
    assert edge.wait() == 5
    error = msgspec.json.decode(edge.stdout[-1])["error"]
    assert (error["code"], error["message"]) == ("driver.link", "no such port")
    assert not (tmp_path / "data" / "control.sock").exists()


def test_a_second_agent_on_the_same_data_is_told_so(tmp_path: Path, start_edge: Start) -> None:
    toml = gateway_toml(1)
    first = start_edge(toml)
    socket = tmp_path / "data" / "control.sock"
    wait_until_sync(socket.exists, what=f"the first agent: {first.stderr}")
    second = start_edge(toml)
    assert second.wait() == 7
    assert msgspec.json.decode(second.stdout[-1])["error"]["code"] == "outbox.locked"
    assert first.terminate() == 0
    assert not socket.exists()
