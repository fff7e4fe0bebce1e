"""An agent whose file has mistakes: it runs with the rest, and says what it goes without."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.control.client import ask
from tests.edge.app.conftest import Start, gateway_toml, port_of, start_line, uplink_toml
from tocsin.broker import ChildBroker
from tocsin.cli.root import dispatch
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event, Health
from tocsin.errors import ControlError
from tocsin.testing import INGESTER, wait_until_sync
from tocsin.testing.ingester import TestIngester

WRONG = """
[[drivers]]
type = "modbus"
name = "broken"
tcp = { host = "127.0.0.1", port = 99999 }
devices = [{ id = "gas-09", unit_id = 1, profile = "four-gas-head" }]
"""


def test_a_wrong_driver_is_named_everywhere_and_the_others_run(
    tmp_path: Path,
    mosquitto: ChildBroker,
    start_edge: Start,
    capsys: pytest.CaptureFixture[str],
) -> None:
    socket, path = tmp_path / "data" / "control.sock", tmp_path / "gateway.toml"

    def status() -> dict[str, Any]:
        try:
            return msgspec.convert(ask(socket, "status"), dict[str, Any])
        except ControlError:
            return {}

    with (
        ExitStack() as stack,
        TestIngester(
            mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
        ) as ingester,
    ):
        good = gateway_toml(port_of(start_line(stack, 1, releasing=1)))
        good += uplink_toml(mosquitto.port)
        edge = start_edge(good + WRONG)
        wait_until_sync(lambda: status().get("alarms"), what=f"an alarm: {edge.stderr}")
        (left_out,) = status()["left_out"]
        line = 1 + (good + WRONG).splitlines().index('name = "broken"')
        assert left_out["name"] == "drivers[1]"
        (problem,) = left_out["problems"]
        assert problem.startswith(f"{path}:{line + 1}: drivers[1].tcp.port = 99999: must be")
        assert [text.count(problem) for text in edge.stderr].count(1) == 1, "said once"

        wait_until_sync(lambda: ingester.health)
        assert msgspec.json.decode(ingester.health[-1], type=Health).left_out == ["drivers[1]"]

        def left_out_events() -> list[Event]:
            events = [
                decode_body(decode_header(p), p, Event) for _, p in ingester.received("event")
            ]
            return [e for e in events if e.kind == "config.left-out"]

        wait_until_sync(left_out_events)
        (told,) = left_out_events()
        assert told.data["problems"][0]["line"] == line + 1

        assert dispatch(["edge", "status", "-c", str(path)]) == 0
        assert f"left out: drivers[1]: {problem}" in capsys.readouterr().err

        # mended and reloaded: nothing is left out any more
        path.write_text(good + WRONG.replace("99999", "1"), "utf-8")
        ask(socket, "reload")
        assert status()["left_out"] == []
        assert [d["name"] for d in status()["drivers"]] == ["heads", "broken"]
        assert edge.terminate() == 0


def test_with_strict_nothing_starts_while_anything_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(gateway_toml(1) + WRONG, "utf-8")
    assert dispatch(["edge", "run", "-c", str(path), "--strict", "--json"]) == 3
    problems = msgspec.json.decode(capsys.readouterr().out)["error"]["problems"]
    assert [p["key"] for p in problems] == ["drivers[1].tcp.port"]
