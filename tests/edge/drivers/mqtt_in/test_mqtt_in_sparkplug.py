"""A Sparkplug node of another hand publishes to a real broker; the driver is its host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pysparkplug as peer
import pytest

from tests.edge.drivers.mqtt_in.conftest import Agent
from tocsin.broker import ChildBroker
from tocsin.testing import wait_until
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

NOW_MS = 1_764_000_000_000

DEVICES = [
    {
        "id": "tank-1",
        "source": "plant/node-1",
        "measurement": "water",
        "values": [{"from": "Inputs/Level", "quantity": "level", "unit": "m"}],
    },
    {
        "id": "pump-1",
        "source": "plant/node-1/pump",
        "measurement": "machine",
        "values": [{"from": "on", "quantity": "running"}],
    },
]


class Node:
    """An edge node whose payloads another hand encodes (pysparkplug's own client wants an older paho)."""

    def __init__(self, port: int) -> None:
        self._peer = Peer(port, FIELD.user, FIELD.password, client_id="node-1")
        self._seq = -1
        death = peer.NDeath(timestamp=NOW_MS, bd_seq_metric=self._bd_seq())
        self._peer.will("spBv1.0/plant/NDEATH/node-1", death.encode())
        self._peer.connect()
        self._peer.subscribe("spBv1.0/plant/NCMD/node-1")

    @property
    def commands(self) -> list[peer.NCmd]:
        return [peer.NCmd.decode(data) for _, data in self._peer.got]

    def births(self) -> None:
        self._send("NBIRTH/node-1", peer.NBirth, [level(1.0, 0), self._bd_seq()], -1)
        running = peer.Metric(NOW_MS, "on", peer.DataType.BOOLEAN, True, alias=2)
        self._send("DBIRTH/node-1/pump", peer.DBirth, [running])

    def data(self, value: float, n: int) -> None:
        bare = peer.Metric(NOW_MS + n, None, peer.DataType.DOUBLE, value, alias=1)
        self._send("NDATA/node-1", peer.NData, [bare])

    def drop(self) -> None:
        """Without a DISCONNECT: the broker publishes the last will."""
        self._peer.drop()

    def _bd_seq(self) -> peer.Metric:
        return peer.Metric(NOW_MS, "bdSeq", peer.DataType.INT64, 3)

    def _send(
        self, topic: str, kind: type[Any], metrics: list[peer.Metric], before: int | None = None
    ) -> None:
        self._seq = ((self._seq if before is None else before) + 1) % 256
        payload = kind(timestamp=NOW_MS, seq=self._seq, metrics=metrics)
        self._peer.publish(f"spBv1.0/plant/{topic}", payload.encode())

    def close(self) -> None:
        self._peer.__exit__(None, None, None)


@pytest.fixture
def node(field: ChildBroker) -> Iterator[Node]:
    made = Node(field.port)
    yield made
    made.close()


def level(value: float, n: int) -> peer.Metric:
    return peer.Metric(NOW_MS + n, "Inputs/Level", peer.DataType.DOUBLE, value, alias=1)


async def test_a_node_is_asked_for_its_births_and_then_heard_until_its_death(
    agent: Agent, node: Node
) -> None:
    topics = [{"topic": "spBv1.0/#", "format": "sparkplug"}]
    async with agent.running(subscriptions=topics, devices=DEVICES):

        async def asked() -> bool:
            await asyncio.to_thread(node.data, 9.0, 9)
            return bool(node.commands)

        await wait_until(asked)
        (metric,) = node.commands[0].metrics
        assert (metric.name, metric.value) == ("Node Control/Rebirth", True)
        assert agent.counts["mqtt_in.before_birth"] >= 1
        assert agent.samples == []
        await asyncio.to_thread(node.births)
        for n in range(1, 4):
            await asyncio.to_thread(node.data, 1.0 + n, n)
        await wait_until(lambda: len(agent.samples) >= 5)
        await asyncio.to_thread(node.drop)
        await wait_until(lambda: ("tank-1", "closed") in agent.states)
    told = [(s.spec.id, s.values[0], s.source_ns) for s in agent.samples]
    assert told == [
        ("tank-1", 1.0, NOW_MS * 10**6),
        ("pump-1", True, NOW_MS * 10**6),
        *(("tank-1", 1.0 + n, (NOW_MS + n) * 10**6) for n in range(1, 4)),
    ]
    assert ("pump-1", "closed") in agent.states
