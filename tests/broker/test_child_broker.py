"""Both child brokers, asked by real clients."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tocsin.broker import Account, ChildBroker, Kind, mosquitto_binary
from tocsin.broker.accounts import covers, hash_password, verify_password
from tocsin.contract import topics
from tocsin.errors import BrokerError
from tocsin.testing import INGESTER, run_process, throwaway_broker, wait_until_sync
from tocsin.testing.peer import Peer

UP_1 = topics.up("east", "gw-1", "telemetry")
UP_2 = topics.up("east", "gw-2", "telemetry")
DOWN_1 = topics.down("east", "gw-1", "command")
ACK_1 = topics.down_ack("east", "gw-1", "ingest-0")


@pytest.fixture(scope="module", params=["mosquitto", "amqtt"])
def standing_broker(request: pytest.FixtureRequest) -> Iterator[ChildBroker]:
    """Each kind once, for the tests that leave it as it is."""
    accounts = [Account(name, f"{name}-password") for name in ("gw-1", "gw-2")]
    with throwaway_broker(cast("Kind", request.param), accounts=accounts) as broker:
        yield broker


def ingester(broker: ChildBroker, *, clean: bool = True) -> Peer:
    return Peer(broker.port, INGESTER.user, INGESTER.password, client_id="ingest-0", clean=clean)


def gateway(broker: ChildBroker, name: str = "gw-1", *, clean: bool = True) -> Peer:
    return Peer(broker.port, name, f"{name}-password", client_id=name, clean=clean)


def test_only_the_right_password_is_let_in(standing_broker: ChildBroker) -> None:
    for user, password, welcome in (
        ("gw-1", "gw-1-password", True),
        ("gw-1", "gw-2-password", False),
        ("nobody", "gw-1-password", False),
        ("gw-1", "", False),
    ):
        peer = Peer(standing_broker.port, user, password)
        assert peer.connect() is welcome, user
        peer.close()


def test_a_gateway_writes_its_own_up_and_state_and_nothing_else(
    standing_broker: ChildBroker,
) -> None:
    with ingester(standing_broker) as cloud:
        cloud.subscribe("tocsin/1/#")
        for topic in (UP_2, DOWN_1, ACK_1, topics.state("east", "gw-2"), "other", "tocsin/1/x"):
            with contextlib.suppress(RuntimeError), gateway(standing_broker) as gw:
                gw.publish(topic, b"forged")  # mosquitto hangs up on a 3.1.1 client that tries
        with gateway(standing_broker) as gw:
            gw.publish(topics.state("east", "gw-1"), b"online")
            gw.publish(UP_1, b"mine")
        wait_until_sync(lambda: (UP_1, b"mine") in cloud.got)
        assert [m for m in cloud.got if m[1] == b"forged"] == []
        assert (topics.state("east", "gw-1"), b"online") in cloud.got


def test_a_gateway_reads_its_own_down_and_nothing_else(standing_broker: ChildBroker) -> None:
    with (
        ingester(standing_broker) as cloud,
        gateway(standing_broker) as gw,
        gateway(standing_broker, "gw-2") as g2,
    ):
        gw.subscribe(topics.down_filter("east", "gw-2"))
        gw.subscribe("#")
        assert gw.subscribe(topics.down_filter("east", "gw-1"))
        g2.subscribe(topics.down_filter("east", "gw-2"))
        cloud.publish(topics.down("east", "gw-2", "command"), b"for gw-2")
        wait_until_sync(lambda: g2.got)
        cloud.publish(DOWN_1, b"for gw-1")
        wait_until_sync(lambda: (DOWN_1, b"for gw-1") in gw.got)
        assert {topic for topic, _ in gw.got} == {DOWN_1}


def test_a_last_will_cannot_forge_an_ack(standing_broker: ChildBroker) -> None:
    with ingester(standing_broker) as cloud:
        cloud.subscribe("tocsin/1/#")
        forger = gateway(standing_broker)
        forger.will(ACK_1, b"forged")
        if forger.connect():
            forger.drop()
        honest = gateway(standing_broker, "gw-2")
        honest.will(topics.state("east", "gw-2"), b"offline")
        assert honest.connect()
        honest.drop()
        wait_until_sync(lambda: cloud.got)
        assert cloud.got == [(topics.state("east", "gw-2"), b"offline")]


def test_a_persistent_session_keeps_what_came_while_it_was_away(
    any_broker: ChildBroker,
) -> None:
    away = ingester(any_broker, clean=False)
    assert away.connect()
    assert away.subscribe("tocsin/1/+/+/+/up/#")
    away.close()
    sent = [b"%d" % i for i in range(1500)]
    with gateway(any_broker) as gw:
        for payload in sent:
            gw.publish(UP_1, payload)
    back = ingester(any_broker, clean=False)
    assert back.connect()
    wait_until_sync(lambda: {p for _, p in back.got} == set(sent))  # at least once
    back.close()


def test_after_kill_9_it_serves_again_on_the_same_port_and_directory(
    any_broker: ChildBroker,
) -> None:
    port, pid = any_broker.port, any_broker.pid
    any_broker.kill9()
    assert any_broker.pid == 0
    any_broker.start()
    assert any_broker.port == port
    assert any_broker.pid not in (0, pid)
    with gateway(any_broker) as gw:
        gw.publish(UP_1, b"again")


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_mosquitto_keeps_saved_sessions(mosquitto: ChildBroker, end: str) -> None:
    away = ingester(mosquitto, clean=False)
    assert away.connect()
    assert away.subscribe("tocsin/1/+/+/+/up/#")
    away.close()
    with gateway(mosquitto) as gw:
        gw.publish(UP_1, b"kept")
    if end == "kill9":
        saved = mosquitto.directory / "mosquitto.db"
        wait_until_sync(lambda: saved.exists() and b"kept" in saved.read_bytes())
        mosquitto.kill9()
    else:
        mosquitto.stop()
    mosquitto.start()
    back = ingester(mosquitto, clean=False)
    assert back.connect()
    wait_until_sync(lambda: any(p == b"kept" for _, p in back.got))
    back.close()


_PARENT = """
import sys, os, time
from pathlib import Path
from tocsin.broker import Account, ChildBroker
broker = ChildBroker(sys.argv[1], Path(sys.argv[2]), accounts=[Account("gw-1", "p")])
broker.start()
print("broker", broker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_child_dies_with_a_killed_parent(kind: str, tmp_path: Path) -> None:
    with run_process([sys.executable, "-c", _PARENT, kind, str(tmp_path)]) as parent:
        pid = int(parent.wait_line("broker").split()[1])
        assert _is_alive(pid)
        parent.kill9()
        wait_until_sync(lambda: not _is_alive(pid))


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_a_taken_port_is_a_clear_error(mosquitto: ChildBroker, tmp_path: Path) -> None:
    second = ChildBroker("mosquitto", tmp_path, accounts=[INGESTER], port=mosquitto.port)
    with pytest.raises(BrokerError, match=str(mosquitto.port)):
        second.start()
    assert second.pid == 0


def test_secrets_are_private_on_disk_and_absent_from_repr(mosquitto: ChildBroker) -> None:
    for name in ("passwords", "acl", "mosquitto.conf"):
        assert (mosquitto.directory / name).stat().st_mode & 0o077 == 0
    assert INGESTER.password not in (mosquitto.directory / "passwords").read_text()
    assert "secret" not in repr(Account("gw-1", "secret"))


def test_password_hashes_are_those_of_mosquitto_passwd(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-H", "sha512-pbkdf2", "-c", "-b", str(file), "gw-1", "päss"],
        check=True,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
    )
    stored = file.read_text().strip().split(":", 1)[1]
    assert verify_password("päss", stored)
    assert not verify_password("pass", stored)
    assert verify_password("x", hash_password("x"))


@pytest.mark.parametrize(
    ("rule", "topic", "expected"),
    [
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "b", False),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/+/c", True),
        ("a/+/c", "a/#", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/+", False),
        ("a/b/#", "#", False),
    ],
)
def test_a_rule_covers_only_filters_within_it(rule: str, topic: str, expected: bool) -> None:
    assert covers(rule, topic) is expected


def test_a_user_name_cannot_widen_its_own_rules() -> None:
    for name in ("+", "#", "a/b", "", "a:b", "a\nb"):
        with pytest.raises(ValueError, match="broker user"):
            Account(name, "p")


def test_auto_prefers_mosquitto(tmp_path: Path) -> None:
    assert mosquitto_binary()
    with throwaway_broker("auto", directory=tmp_path) as broker:
        assert broker.kind == "mosquitto"
