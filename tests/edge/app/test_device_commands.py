"""Commands to devices: signed by the cloud or typed at the gateway, through a real broker to a vehicle terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.edge.app.conftest import Start, uplink_toml
from tocsin.broker import ChildBroker
from tocsin.cli.root import dispatch
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.orders import DEVICE_COMMAND, DEVICE_CONFIRM, pack
from tocsin.contract.signing import sign
from tocsin.sdk import SystemClock
from tocsin.testing import INGESTER, Process, free_port, run_process, wait_until_sync
from tocsin.testing.ingester import TestIngester

GUARD = """
[[guards]]
device = "truck-*"
command = "report-interval"
confirm_within_s = 30
confirm_by = "another"
"""


def gateway(port: int, broker: int) -> str:
    return f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "jt808"
name = "vehicles"
listen = "127.0.0.1:{port}"
auth_secret = "a secret of this test"
devices = [{{ id = "truck-1", phone = "013800138000" }}]
{GUARD}
{uplink_toml(broker)}
"""


def order(kind: str, name: str, args: dict[str, Any], **fields: Any) -> Command:
    now_ns = SystemClock().now_ns()
    full: dict[str, Any] = {
        "v": VERSION, "id": name, "site": "plant", "gateway": "gw-1", "kind": kind, "actor": "li",
        "issued_ns": now_ns, "expires_ns": now_ns + 60 * 10**9, "args": args,
    }  # fmt: skip
    return sign(msgspec.convert(full | fields, Command), b"gw-1-key")


def tell(number: str, name: str, device: str = "truck-1", **args: Any) -> Command:
    return order(DEVICE_COMMAND, number, pack(device, name, args))


def events(cloud: TestIngester) -> list[Event]:
    heard = [decode_body(decode_header(p), p, Event) for _, p in cloud.received(topics.EVENT)]
    return list({(e.stream, e.seq): e for e in heard}.values())


def results(cloud: TestIngester, number: str) -> list[Event]:
    mine = [e for e in events(cloud) if e.data.get("id") == number]
    return [e for e in mine if e.kind == "command.result"]


def outcome(cloud: TestIngester, number: str, n: int = 1) -> Event:
    wait_until_sync(lambda: len(results(cloud, number)) >= n, what=f"the result of {number}")
    return results(cloud, number)[n - 1]


@contextmanager
def ingester(port: int) -> Iterator[TestIngester]:
    with TestIngester(
        port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    ) as cloud:
        yield cloud


@contextmanager
def terminal(port: int, ledger: Path) -> Iterator[Process]:
    argv = [
        sys.executable, "-m", "firmware_bridges.jt808.device", "--connect", f"127.0.0.1:{port}",
        "--phone", "013800138000", "--period", "0.5", "--retry", "0.2", "--ledger", str(ledger),
        "--stdin-lease",
    ]  # fmt: skip
    with run_process(argv) as process:
        yield process


def texts(ledger: Path) -> list[str]:
    lines = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    return [line["text"] for line in lines if line.get("mark") == "text"]


def known(config: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the terminal is connected and has told its position."""
    capsys.readouterr()
    if dispatch(["edge", "status", "-c", str(config), "--json"]) != 0:
        return False
    status = msgspec.json.decode(capsys.readouterr().out)
    return bool(status["connected"] and status["devices"][0]["state"] == "ok")


def test_a_text_reaches_a_terminal_once_and_what_came_of_each_command_is_told(
    mosquitto: ChildBroker, tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    port, ledger, config = free_port(), tmp_path / "truth.ndjson", tmp_path / "gateway.toml"
    toml = gateway(port, mosquitto.port)
    with ingester(mosquitto.port) as cloud, terminal(port, ledger):
        agent = start_edge(toml)
        wait_until_sync(lambda: known(config, capsys), what=f"the terminal: {agent.stderr}")
        text = tell("c1", "text", text="前方封路")
        cloud.command(text)
        done = outcome(cloud, "c1")
        assert (done.device, done.data["outcome"], done.data["answer"]) == (
            "truck-1",
            "done",
            {"result": 0},
        )
        assert (done.data["actor"], done.data["name"]) == ("li", "text")
        located = tell("c2", "locate")
        cloud.command(located)
        assert outcome(cloud, "c2").data["answer"]["location"]["fix_valid"] is True

        cloud.command(text)  # as a broker does that never heard the acknowledgement
        cloud.command(msgspec.structs.replace(tell("c3", "text", text="x"), actor="mallory"))
        late = {"issued_ns": 1, "expires_ns": 2}
        cloud.command(order(DEVICE_COMMAND, "c4", pack("truck-1", "text", {"text": "y"}), **late))
        cloud.command(tell("c5", "txt", text="z"))
        cloud.command(tell("c6", "text", device="truck-9", text="z"))
        cloud.command(tell("c7", "text", text="z" * 501))
        found = [(outcome(cloud, f"c{n}").data["outcome"], outcome(cloud, f"c{n}").text) for n in range(3, 8)]  # fmt: skip
        assert [o for o, _ in found] == ["refused", "expired", "refused", "refused", "refused"]
        assert "did you mean 'text'?" in found[2][1]
        assert "no device 'truck-9'" in found[3][1]

        cloud.command(tell("c8", "report-interval", seconds=5))
        armed = outcome(cloud, "c8")
        assert armed.data["outcome"] == "armed"
        assert "by someone other than li" in armed.text
        code = {"code": armed.data["code"]}
        cloud.command(order(DEVICE_CONFIRM, "c9", code))
        assert outcome(cloud, "c9").data["outcome"] == "refused"
        cloud.command(order(DEVICE_CONFIRM, "c10", code, actor="wang"))
        assert outcome(cloud, "c8", 2).data["outcome"] == "done"
        assert outcome(cloud, "c8", 2).data["confirmed_by"] == "wang"
        confirmed = outcome(cloud, "c10").data
        assert (confirmed["outcome"], confirmed["confirms"]) == ("done", "c8")

        cloud.command(tell("c11", "report-interval", seconds=6))
        assert outcome(cloud, "c11").data["outcome"] == "armed"
        agent.kill9()
        agent = start_edge(toml)
        wait_until_sync(lambda: known(config, capsys), what=f"the terminal: {agent.stderr}")
        assert outcome(cloud, "c11", 2).data["outcome"] == "expired"
        cloud.command(text)
        cloud.command(tell("c12", "text", text="second"))
        assert outcome(cloud, "c12").data["outcome"] == "done"
        assert texts(ledger) == ["前方封路", "second"]
        assert len(results(cloud, "c1")) == 1
        accepted = [e.data["id"] for e in events(cloud) if e.kind == "command.accepted"]
        assert accepted == ["c1", "c2", "c7", "c8", "c12"]
        assert agent.terminate() == 0


def test_someone_at_the_gateway_tells_a_device_something(
    mosquitto: ChildBroker, tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    port, ledger, config = free_port(), tmp_path / "truth.ndjson", tmp_path / "gateway.toml"

    def edge(*args: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = dispatch(["edge", "command", *args, "-c", str(config), "--json"])
        return code, msgspec.json.decode(capsys.readouterr().out)

    with terminal(port, ledger):
        agent = start_edge(gateway(port, mosquitto.port))
        wait_until_sync(lambda: known(config, capsys), what=f"the terminal: {agent.stderr}")
        code, listed = edge()
        assert (code, listed[0]["device"]) == (0, "truck-1")
        assert "text" in [command["name"] for command in listed[0]["commands"]]
        code, done = edge("truck-1", "text", "text=收到请回复", "flags=8", "--actor", "li")
        assert (code, done["outcome"]) == (0, "done")
        code, refused = edge("truck-1", "track", "interval_s=no", "--actor", "li")
        assert (code, refused["outcome"]) == (8, "refused")
        code, armed = edge("truck-1", "report-interval", "seconds=5", "--actor", "li")
        assert (code, armed["outcome"]) == (0, "armed")
        code, mine = edge("--confirm", armed["code"], "--actor", "Li")
        assert (code, mine["outcome"]) == (8, "refused")
        code, theirs = edge("--confirm", armed["code"], "--actor", "wang")
        assert (code, theirs["outcome"]) == (0, "done")
        assert edge("truck-1", "locate")[0] == 2
    assert texts(ledger) == ["收到请回复"]
    wait_until_sync(lambda: edge("truck-1", "locate", "--actor", "li")[1]["outcome"] == "failed")
    assert agent.terminate() == 0


def test_a_guard_that_fits_no_command_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    toml = gateway(1, 1).replace('"report-interval"', '"report-intervall"')
    path.write_text(toml + GUARD.replace("truck-*", "lorry-*"), "utf-8")
    assert dispatch(["check", "-c", str(path)]) == 3
    told = capsys.readouterr()
    assert "did you mean 'report-interval'?" in told.out + told.err
    assert "no device of this file has this id" in told.out + told.err


def valve_gateway(port: str, broker: int) -> str:
    return f"""schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "line"
timeout_s = 20
rtu = {{ port = "{port}" }}
devices = [{{ id = "valve-1", unit_id = 1, profile = "valve-actuator", period_s = 600 }}]
{uplink_toml(broker)}
"""


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_command_whose_gateway_ends_while_it_is_carried_out_is_unknown_and_not_repeated(
    end: str,
    mosquitto: ChildBroker,
    tmp_path: Path,
    start_edge: Start,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger, config = tmp_path / "truth.ndjson", tmp_path / "gateway.toml"

    def written() -> list[str]:
        told = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
        return [t["values"] for t in told if t.get("mark") == "write"]

    unit = "unit=1,device=valve-1,model=actuator,profile=valve-actuator"
    fault = (
        "unit=1,kind=silent,after=4,times=1"  # two requests of a scan, a write and its read-back
    )
    argv = [
        sys.executable, "-m", "firmware_bridges.modbus.device", "--link", str(tmp_path / "rs485"),
        "--unit", unit, "--fault", fault, "--ledger", str(ledger), "--stdin-lease",
    ]  # fmt: skip
    with ingester(mosquitto.port) as cloud, run_process(argv) as valve:
        valve.wait_line("ready")
        toml = valve_gateway(str(tmp_path / "rs485"), mosquitto.port)
        agent = start_edge(toml)
        wait_until_sync(lambda: known(config, capsys), what=f"the valve: {agent.stderr}")
        cloud.command(tell("v1", "move", device="valve-1", position=25.5))
        answer = outcome(cloud, "v1").data
        assert answer["outcome"] == "done"
        assert answer["answer"] == {"written": [255], "address": 0, "verified": True}
        lost = tell("v2", "move", device="valve-1", position=50)
        cloud.command(lost)
        wait_until_sync(lambda: written() == ["255", "500"])
        assert agent.kill9() if end == "killed" else agent.terminate() == 0
        agent = start_edge(toml)
        assert outcome(cloud, "v2").data["outcome"] == "unknown"
        wait_until_sync(lambda: known(config, capsys), what=f"the valve: {agent.stderr}")
        cloud.command(lost)
        cloud.command(tell("v3", "close", device="valve-1"))
        assert outcome(cloud, "v3").data["outcome"] == "done"
        assert written() == ["255", "500", "0"]
        assert len(results(cloud, "v2")) == 1
        assert agent.terminate() == 0


def test_a_command_that_waits_behind_a_slow_device_expires_and_is_never_written(
    mosquitto: ChildBroker, tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, config = tmp_path / "truth.ndjson", tmp_path / "gateway.toml"

    def marks(mark: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
        return [t for t in told if t.get("mark") == mark]

    argv = [
        sys.executable, "-m", "firmware_bridges.modbus.device", "--link", str(tmp_path / "rs485"),
        "--unit", "unit=1,device=valve-1,model=actuator,profile=valve-actuator",
        "--unit", "unit=2,device=valve-2,model=actuator,profile=valve-actuator",
        "--fault", "unit=2,kind=silent,after=2,times=1", "--ledger", str(ledger), "--stdin-lease",
    ]  # fmt: skip
    toml = valve_gateway(str(tmp_path / "rs485"), mosquitto.port)
    other = ', { id = "valve-2", unit_id = 2, profile = "valve-actuator", period_s = 1 }]'
    toml = toml.replace("timeout_s = 20", "timeout_s = 1.5").replace("}]", "}" + other, 1)
    with ingester(mosquitto.port) as cloud, run_process(argv) as valves:
        valves.wait_line("ready")
        agent = start_edge(toml)
        wait_until_sync(lambda: known(config, capsys), what=f"the valves: {agent.stderr}")
        wait_until_sync(lambda: len(marks("fault")) == 1)  # the line waits for valve-2 now
        soon = SystemClock().now_ns() + 5 * 10**8
        args = pack("valve-1", "move", {"position": 1})
        cloud.command(order(DEVICE_COMMAND, "s1", args, expires_ns=soon))
        cloud.command(tell("s2", "move", device="valve-1", position=2))
        assert outcome(cloud, "s1").data["outcome"] == "expired"
        assert outcome(cloud, "s2").data["outcome"] == "done"
        assert [m["values"] for m in marks("write")] == ["20"]
        assert agent.terminate() == 0
