"""kill -9 of a whole gateway at every step, between a broker whose messages it must answer for and the cloud."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.uplink.dying import GATEWAY_POINTS, Child, run_gateway
from tests.edge.uplink.test_uplink_kill import arrived
from tocsin.broker import Account, ChildBroker
from tocsin.testing import INGESTER, throwaway_broker, wait_until
from tocsin.testing.ingester import TestIngester
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

T0_MS = 1_764_000_000_000
TOML = """schema = 1
[gateway]
id = "gw-1"
site = "east"
data_dir = "data"
[outbox]
commit_interval_ms = 20
keep_committed_bytes = 0
[uplink]
host = "127.0.0.1"
port = {port}
password = "gw-1-password"
resend_after_s = 1.0
[[drivers]]
type = "mqtt_in"
name = "field"
host = "127.0.0.1"
port = {port}
client_id = "tocsin-field"
username = "{user}"
password = "{password}"
max_past_s = 1e9
subscriptions = [{{ topic = "s/{{device}}", format = "json", time_path = "ts" }}]
devices = [{{ id = "d1", measurement = "weather", values = [{{ from = "t", quantity = "temperature", unit = "Cel" }}] }}]
"""
IN_CI = ("kept", "answered")


@pytest.fixture
def broker() -> Iterator[ChildBroker]:
    with throwaway_broker("mosquitto", accounts=[Account("gw-1", "gw-1-password"), FIELD]) as found:
        yield found


@pytest.mark.parametrize(
    "point",
    [p if p in IN_CI else pytest.param(p, marks=pytest.mark.release) for p in GATEWAY_POINTS],
)
async def test_every_message_of_the_field_arrives_once_whenever_the_gateway_dies(
    broker: ChildBroker, tmp_path: Path, point: str
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(TOML.format(port=broker.port, user=FIELD.user, password=FIELD.password))
    published = 0
    with (
        TestIngester(
            broker.port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1"
        ) as cloud,
        Peer(broker.port, FIELD.user, FIELD.password) as field,
    ):

        def publish() -> None:
            nonlocal published
            field.publish("s/d1", b'{"ts": %d, "t": %d}' % (T0_MS + published, published))
            published += 1

        def goes_on(child: Child) -> bool:
            publish()
            return child.status is not None

        def subscribed() -> bool:
            field.publish("s/d1", b'{"ts": %d, "t": -1}' % T0_MS)
            return -1 in arrived(cloud)

        with Child(tmp_path / "before", run_gateway, config) as before:
            await wait_until(subscribed, what=before.told())  # from here on the broker queues
            before.kill9()
        with Child(tmp_path / "first", run_gateway, config, point, 6) as first:
            await wait_until(lambda: goes_on(first), what=first.told())
            assert first.status == -signal.SIGKILL, first.told()
        for _ in range(20):
            publish()
        with Child(tmp_path / "second", run_gateway, config) as second:
            await wait_until(lambda: len(arrived(cloud)) == published + 1, what=second.told())
        found = arrived(cloud)
        del found[-1]
        assert found == Counter(range(published))
        assert cloud.changed == []
