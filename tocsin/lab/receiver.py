"""Transport alone: an MQTT client that takes messages by the library the cloud uses, answers them, and keeps nothing.

A process of its own (`python -m tocsin.lab.receiver`) on a broker started as the cloud starts its own. It says `ready`, and
confirms every 200 ms by a commit-ack what came, so that the load goes on.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import HEADER_BYTES, decode_header
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.testing.brokers import INGESTER, throwaway_broker

ACK_S = 0.2


class _Receiver:
    def __init__(self) -> None:
        self._streams: dict[str, tuple[str, str, int]] = {}  # topic -> site, gateway and stream

    def on_message(self, client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        header = decode_header(bytes(message.payload[:HEADER_BYTES]))
        self._streams[message.topic] = (
            header.stream,
            message.topic,
            header.first_seq + header.rows,
        )
        client.ack(message.mid, message.qos)

    def tell(self, client: mqtt.Client) -> None:
        for stream, topic, upto in list(self._streams.values()):
            if (up := topics.parse_up(topic)) is not None:
                ack = CommitAck(VERSION, INGESTER.user, {stream: StreamAck(upto)})
                to = topics.down_ack(up.site, up.gateway, INGESTER.user)
                client.publish(to, msgspec.json.encode(ack), qos=1)


def main() -> None:
    """Runs until terminated."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.lab.receiver", description=__doc__)
    parser.add_argument("--gateway", action="append", required=True, help="an account")
    parser.add_argument("--password", required=True, help="of every gateway")
    given = parser.parse_args()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    accounts = [Account(name, given.password) for name in given.gateway]
    with throwaway_broker(accounts=accounts) as broker:
        receiver = _Receiver()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=INGESTER.user, manual_ack=True)
        client.username_pw_set(INGESTER.user, INGESTER.password)
        client.on_message = receiver.on_message
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.subscribe([(f, 1) for f in topics.cloud_filters()])
        if not subscribed.wait(10.0):
            raise SystemExit("the broker did not answer the subscription")
        sys.stdout.write(msgspec.json.encode({"ready": True, "port": broker.port}).decode() + "\n")
        sys.stdout.flush()
        while not stopped.wait(ACK_S):
            receiver.tell(client)
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    main()
