"""Transport alone: takes messages by the connection that the cloud uses, answers them, and keeps nothing.

A process of its own (`python -m tocsin.lab.receiver`) on a broker started as the cloud starts its own. It says `ready`, and
confirms every 200 ms by a commit-ack what came, so that the load goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import msgspec

from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import HEADER_BYTES, decode_header
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.mqtt import packets
from tocsin.mqtt.connection import Connection
from tocsin.mqtt.packets import Packet, Publish, Suback
from tocsin.testing.brokers import INGESTER, throwaway_broker

ACK_S = 0.2
ANSWER_S = 10.0
KEEPALIVE_S = 60
LEVEL: packets.Level = 5
MAX_PAYLOAD_BYTES = 2 << 20


class _Receiver:
    def __init__(self) -> None:
        self._streams: dict[str, tuple[str, int]] = {}  # topic -> stream, one past its last number
        self.subscribed = asyncio.Event()
        self.connection = Connection(LEVEL, MAX_PAYLOAD_BYTES, self._took, self._answered)

    def tell(self) -> None:
        for topic, (stream, upto) in self._streams.items():
            if (up := topics.parse_up(topic)) is not None:
                ack = CommitAck(VERSION, INGESTER.user, {stream: StreamAck(upto)})
                to = topics.down_ack(up.site, up.gateway, INGESTER.user)
                self.connection.send(packets.publish(LEVEL, to, msgspec.json.encode(ack)))

    def _took(self, messages: list[Publish]) -> None:
        for message in messages:
            header = decode_header(message.payload[:HEADER_BYTES])
            self._streams[message.topic] = header.stream, header.first_seq + header.rows
        self.connection.send(packets.pubacks([m.mid for m in messages if m.mid]))

    def _answered(self, packet: Packet) -> None:
        if isinstance(packet, Suback):
            self.subscribed.set()


async def _receive(port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    receiver = _Receiver()
    connection = receiver.connection
    connect = packets.connect(
        LEVEL,
        INGESTER.user,
        KEEPALIVE_S,
        username=INGESTER.user,
        password=INGESTER.password,
        clean=True,
    )
    await connection.dial("127.0.0.1", port, None, connect, ANSWER_S)
    answer = await connection.either(connection.connected, ANSWER_S)
    if answer is None or answer.code:
        raise SystemExit("the broker refuses the connection")
    connection.send(packets.subscribe(LEVEL, 1, [(f, 1) for f in topics.cloud_filters()]))
    connection.beat(KEEPALIVE_S)
    async with asyncio.timeout(ANSWER_S):
        await receiver.subscribed.wait()
    sys.stdout.write(msgspec.json.encode({"ready": True, "port": port}).decode() + "\n")
    sys.stdout.flush()
    stopping = asyncio.create_task(stopped.wait())
    while not (await asyncio.wait({stopping}, timeout=ACK_S))[0]:
        receiver.tell()
    await connection.close()


def main() -> None:
    """Runs until terminated."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.lab.receiver", description=__doc__)
    parser.add_argument("--gateway", action="append", required=True, help="an account")
    parser.add_argument("--password", required=True, help="of every gateway")
    given = parser.parse_args()
    accounts = [Account(name, given.password) for name in given.gateway]
    with throwaway_broker(accounts=accounts) as broker:
        asyncio.run(_receive(broker.port))


if __name__ == "__main__":
    main()
