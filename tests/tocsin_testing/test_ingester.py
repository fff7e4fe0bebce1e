"""The ingester that tests of gateways listen with, on a real broker."""

from __future__ import annotations

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.testing import INGESTER, wait_until_sync
from tocsin.testing.ingester import TestIngester


def test_evidence_of_a_camera_is_kept_apart_and_what_comes_after_it_still_arrives(
    mosquitto: ChildBroker,
) -> None:
    gateway = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gw-1")
    gateway.username_pw_set("gw-1", "gw-1-password")
    with TestIngester(mosquitto.port, INGESTER.user, INGESTER.password, site="east", gateway="gw-1") as ingester:  # fmt: skip
        gateway.connect("127.0.0.1", mosquitto.port)
        gateway.loop_start()
        for kind, payload in ((topics.EVIDENCE, b"a piece of a picture"), (topics.HEALTH, b"{}")):
            gateway.publish(topics.up("east", "gw-1", kind), payload, qos=1)
        wait_until_sync(lambda: ingester.health)
        gateway.disconnect()
        gateway.loop_stop()
    assert ingester.evidence == [b"a piece of a picture"]
    assert ingester.messages == []
