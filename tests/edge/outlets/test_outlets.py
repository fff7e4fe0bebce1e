"""Outlets of a running agent: a broker, a host of another hand, and an HTTP server, each real."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pysparkplug as peer
import pytest

from cloud.query.line_protocol import parse
from edge.control.client import ask
from firmware_bridges.mqtt import thingsboard
from firmware_bridges.senml.reports import reports as senml_reports
from firmware_bridges.sparkplug.host import Host, rebirth_command
from firmware_bridges.sparkplug.payload import decode
from tests.edge.app.conftest import TOCSIN
from tocsin.broker import ChildBroker
from tocsin.testing import free_port, run_process, throwaway_broker, wait_until_sync
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

HEAD = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
[[drivers]]
type = "generate"
name = "made-up"
devices = 2
channels = 3
samples_per_s = 40
"""


@pytest.fixture
def broker() -> Iterator[ChildBroker]:
    with throwaway_broker("mosquitto", accounts=[FIELD]) as made:
        yield made


@contextmanager
def running(folder: Path, outlets: str) -> Iterator[None]:
    (folder / "gateway.toml").write_text(HEAD + outlets, "utf-8")
    argv = [*TOCSIN, "edge", "run", "-c", str(folder / "gateway.toml"), "--strict"]
    with run_process(argv) as process:
        yield
        assert process.returncode is None, process.stderr


def outlet(name: str, form: str, port: int, topic: str = "", more: str = "") -> str:
    place = f'topic = "{topic}"\n' if topic else ""
    return (
        f'[[outlets]]\nname = "{name}"\nform = "{form}"\n{more}[outlets.mqtt]\nhost = "127.0.0.1"\n'
        f'port = {port}\nclient_id = "out-{name}"\nusername = "{FIELD.user}"\n'
        f'password = "{FIELD.password}"\n{place}'
    )


def counters(folder: Path) -> dict[str, int]:
    told = ask(folder / "data" / "control.sock", "counters")
    assert isinstance(told, dict)
    return told


def bodies(listener: Peer, topic: str) -> list[bytes]:
    return [body for at, body in listener.got if at == topic]


def test_each_form_reaches_its_topic_and_says_the_same(tmp_path: Path, broker: ChildBroker) -> None:
    tables = (
        outlet("lines", "line", broker.port, "copies/{site}/{gateway}/line")
        + outlet("tb", "thingsboard", broker.port, more='devices = ["*-001"]\n')
        + outlet("senml", "senml-json", broker.port, "senml")
        + outlet("cbor", "senml-cbor", broker.port, "cbor")
    )
    with Peer(broker.port, FIELD.user, FIELD.password) as listener:
        listener.subscribe("#")
        with running(tmp_path, tables):
            wanted = ("copies/plant/gw-1/line", "v1/gateway/telemetry", "senml", "cbor")
            wait_until_sync(lambda: all(len(bodies(listener, t)) > 3 for t in wanted))
            sent = counters(tmp_path)
    lines = [p for b in bodies(listener, wanted[0]) for p in parse(b.decode())[0]]
    rows = {
        (dict(p.tags)["device"], (p.time_ns or 0) // 10**6): {
            k: v for k, (_, v) in p.fields.items()
        }
        for p in lines
    }
    boards = [r for b in bodies(listener, wanted[1]) for r in thingsboard.reports(b)]
    assert {r.source for r in boards} < {device for device, _ in rows}
    same = [
        (r.values, rows[key])
        for r in boards
        if r.time_ns and (key := (r.source, r.time_ns // 10**6)) in rows
    ]
    assert len(same) > 3
    assert all(a == b for a, b in same)
    for topic in ("senml", "cbor"):
        found = [r for b in bodies(listener, topic) for r in senml_reports(b, 0)]
        assert {r.source for r in found} == {f"plant:gw-1:{device}" for device, _ in rows}
    assert sent["outlets.lines.sent"] > 3


def test_a_sparkplug_host_of_another_hand_follows_the_gateway(
    tmp_path: Path, broker: ChildBroker
) -> None:
    with Peer(broker.port, FIELD.user, FIELD.password) as listener:
        listener.subscribe("spBv1.0/#")
        with running(tmp_path, outlet("scada", "sparkplug", broker.port)):
            wait_until_sync(lambda: len(listener.got) > 10)
            command = "spBv1.0/plant/NCMD/gw-1"
            listener.publish(command, rebirth_command(1))
            births = "spBv1.0/plant/NBIRTH/gw-1"
            wait_until_sync(lambda: len(bodies(listener, births)) == 2)
            before = len(listener.got)
            wait_until_sync(lambda: len(listener.got) > before + 6)
            got = list(listener.got)
        wait_until_sync(lambda: bodies(listener, "spBv1.0/plant/NDEATH/gw-1"))
    names: dict[str, peer.DBirth] = {}
    seq = -1
    values = 0
    for topic, body in got:
        _, group, kind, node, *device = topic.split("/")
        assert (group, node) == ("plant", "gw-1")
        if kind == "NCMD":
            continue
        seq = 0 if kind == "NBIRTH" else (seq + 1) % 256
        assert decode(body).seq == seq
        if kind == "DBIRTH":
            names[device[0]] = peer.DBirth.decode(body)
        elif kind == "DDATA":
            data = peer.DData.decode(body, birth=names[device[0]])
            assert all(m.name and m.value is not None for m in data.metrics)
            values += len(list(data.metrics))
    assert values > 6
    assert len(names) == 2
    host = Host()
    outcomes = [host.receive(topic, body, 0) for topic, body in got]
    assert not any(o.ask or o.unknown for o in outcomes)
    assert sum(len(o.reports) for o in outcomes) > 6


def test_a_broker_that_goes_costs_nothing_until_the_queue_is_full(
    tmp_path: Path, broker: ChildBroker
) -> None:
    small = outlet("lines", "line", broker.port, "small", "queue_rows = 5\n")
    large = outlet("tb", "thingsboard", broker.port)
    with running(tmp_path, small + large):
        wait_until_sync(lambda: (tmp_path / "data" / "control.sock").exists())
        wait_until_sync(lambda: counters(tmp_path).get("outlets.tb.sent", 0) > 3)
        broker.kill9()
        wait_until_sync(lambda: counters(tmp_path).get("outlets.lines.dropped", 0) > 10)
        broker.start()
        with Peer(broker.port, FIELD.user, FIELD.password) as listener:
            listener.subscribe("#")
            told = counters(tmp_path)
            wait_until_sync(lambda: counters(tmp_path)["outlets.tb.sent"] > told["outlets.tb.sent"])
            wait_until_sync(lambda: len(bodies(listener, "small")) > 1)
        assert "outlets.tb.dropped" not in counters(tmp_path)


def test_an_outlet_is_added_and_taken_away_while_the_agent_runs(
    tmp_path: Path, broker: ChildBroker
) -> None:
    file, socket = tmp_path / "gateway.toml", tmp_path / "data" / "control.sock"
    with Peer(broker.port, FIELD.user, FIELD.password) as listener, running(tmp_path, ""):
        listener.subscribe("#")
        wait_until_sync(lambda: socket.exists() and ask(socket, "values"))
        file.write_text(HEAD + outlet("tb", "thingsboard", broker.port), "utf-8")
        told = ask(socket, "reload")
        assert isinstance(told, dict)
        parts = {part["section"]: part for part in told["sections"]}
        assert (parts["outlets"]["added"], told["restarted"]) == (["tb"], [])
        wait_until_sync(lambda: len(listener.got) > 2)
        file.write_text(HEAD, "utf-8")
        ask(socket, "reload")
        assert "outlets.tb.sent" not in counters(tmp_path)


class Collector(BaseHTTPRequestHandler):
    """Takes what is posted; says no as often as it is told to."""

    answers: list[int]
    got: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 204
        if status == 204:
            self.got.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_line_protocol_by_http_is_tried_again_and_what_is_refused_is_counted(
    tmp_path: Path,
) -> None:
    port = free_port()

    class Now(Collector):
        answers = [503, 400]  # noqa: RUF012
        got: list[tuple[str, str, bytes]] = []  # noqa: RUF012

    table = f"""[[outlets]]
name = "influx"
form = "line"
[outlets.http]
url = "http://127.0.0.1:{port}/api/v2/write?org=o&bucket=b"
token = "s3cret"
"""
    with running(tmp_path, table):
        wait_until_sync(lambda: (tmp_path / "data" / "control.sock").exists())
        server = ThreadingHTTPServer(("127.0.0.1", port), Now)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            wait_until_sync(lambda: len(Now.got) > 3, 60.0)
            told = counters(tmp_path)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    path, token, _ = Now.got[0]
    assert (path, token) == ("/api/v2/write?org=o&bucket=b", "Token s3cret")
    points, bad = parse(b"".join(body for _, _, body in Now.got).decode())
    assert not bad
    times = [(dict(p.tags)["device"], p.time_ns) for p in points]
    assert len(set(times)) == len(times) > 5
    assert told["outlets.influx.refused"] >= 1
    assert json.dumps(told)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('name = "a"\nform = "line"\n', "exactly one of mqtt, http"),
        (
            'name = "a"\nform = "thingsboard"\nhttp = { url = "http://x/" }\n',
            "http takes form line",
        ),
        (
            'name = "a"\nform = "line"\nmqtt = { host = "h", client_id = "c" }\n',
            "says where to publish",
        ),
        (
            'name = "a"\nform = "line"\nmqtt = { host = "h", client_id = "c", topic = "a/#" }\n',
            r"outlets\[0\].mqtt.topic",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, table: str, says: str) -> None:
    from edge.config import load_gateway
    from tocsin.errors import ConfigError

    path = tmp_path / "gateway.toml"
    path.write_text(f"{HEAD}[[outlets]]\n{table}", "utf-8")
    with pytest.raises(ConfigError, match=says):
        load_gateway(path)
