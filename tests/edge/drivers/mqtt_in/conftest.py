"""A field broker and an agent that sees one driver."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge.drivers.mqtt_in.config import MqttInConfig
from edge.drivers.mqtt_in.driver import MqttInDriver
from tocsin.broker import ChildBroker
from tocsin.sdk import DriverContext, Sample, SystemClock
from tocsin.testing import throwaway_broker
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

T = [{"from": "t", "quantity": "temperature", "unit": "Cel"}]


@pytest.fixture
def field() -> Iterator[ChildBroker]:
    """A mosquitto with the account `FIELD`, which may use every topic."""
    with throwaway_broker("mosquitto", accounts=[FIELD]) as broker:
        yield broker


@pytest.fixture
def sender(field: ChildBroker) -> Iterator[Peer]:
    """A device that publishes."""
    with Peer(field.port, FIELD.user, FIELD.password, client_id="sender") as peer:
        yield peer


class Agent:
    """What the agent would see of one driver. `hold` keeps samples from becoming durable."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: list[tuple[str, str]] = []
        self.frames: list[tuple[str, str, bytes]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.asked = 0
        self.context = DriverContext(
            name="field",
            clock=SystemClock(),
            log=logging.getLogger("test.mqtt_in"),
            emit=self._emit,
            keep=self._keep,
            available=lambda device: self._state(device, "ok"),
            unavailable=lambda device, error: self._state(device, error.reason.value),
            count=lambda name, n: self.counts.update({name: n}),
            frame=lambda *frame: self.frames.append(frame),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def _keep(self, samples: Any) -> None:
        self.asked += len(samples)
        await self.hold.wait()
        self.samples.extend(samples)

    def _state(self, device: str, state: str) -> None:
        if [s for d, s in self.states if d == device][-1:] != [state]:
            self.states.append((device, state))

    def driver(self, **given: Any) -> MqttInDriver:
        table: dict[str, Any] = {
            "type": "mqtt_in",
            "name": "field",
            "host": "127.0.0.1",
            "port": self.port,
            "client_id": "tocsin-test",
            "username": FIELD.user,
            "password": FIELD.password,
            "subscriptions": [{"topic": "s/{device}", "format": "json"}],
            "devices": [{"id": "d1", "measurement": "weather", "values": T}],
        }
        return MqttInDriver(MqttInConfig.model_validate(table | given), self.context)

    @asynccontextmanager
    async def running(self, **given: Any) -> AsyncIterator[MqttInDriver]:
        driver = self.driver(**given)
        task = asyncio.create_task(driver.run())
        try:
            yield driver
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                raise error


@pytest.fixture
async def agent(field: ChildBroker) -> Agent:
    return Agent(field.port)
