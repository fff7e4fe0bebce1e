"""Copies to another broker: line protocol, ThingsBoard, SenML, Sparkplug B."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt

from edge.outlets import forms
from edge.outlets.forms import Origin, Units
from edge.outlets.options import GATEWAY_TELEMETRY, OutletConfig
from edge.outlets.outlet import Outlet
from edge.tls import tls_context
from firmware_bridges.sparkplug.node import EdgeNode, Point, Told
from tocsin.contract.columns import Layout, Row
from tocsin.errors import CodecError, UplinkError
from tocsin.sdk import Clock

Layouts = Sequence[tuple[Layout, Sequence[str]]]


class MqttOutlet(Outlet):
    """Publishes batches with QoS 1; a batch without its PUBACK is sent again."""

    def __init__(self, config: OutletConfig, clock: Clock, origin: Origin, units: Units) -> None:
        super().__init__(config, clock)
        assert config.mqtt is not None  # noqa: S101 - the configuration is validated
        self._mqtt, self._origin, self._units = config.mqtt, origin, units
        topic = config.mqtt.topic or GATEWAY_TELEMETRY
        self._topic = topic.replace("{site}", origin.site).replace("{gateway}", origin.gateway)

    async def session(self) -> None:
        async with self._connected() as client:
            while True:
                rows = await self.waiting.take(self.config.batch_rows)
                await self._deliver(client, rows, [(self._topic, self._body(rows))])

    def _body(self, rows: list[Row]) -> bytes:
        match self.config.form:
            case "thingsboard":
                return forms.thingsboard_json(rows)
            case "line":
                return forms.line_protocol(rows, self._origin)
            case form:
                cbor = form == "senml-cbor"
                return forms.senml(rows, self._origin, self._units, cbor=cbor)

    async def _deliver(
        self, client: aiomqtt.Client, rows: list[Row], messages: list[tuple[str, bytes]]
    ) -> None:
        try:
            for topic, body in messages:
                await client.publish(topic, body, qos=1)
        except (aiomqtt.MqttError, asyncio.CancelledError):
            self.waiting.give_back(rows)
            raise
        if rows:
            self.worked(len(rows))

    @asynccontextmanager
    async def _connected(self, will: aiomqtt.Will | None = None) -> AsyncIterator[aiomqtt.Client]:
        options = self._mqtt
        try:
            context = await asyncio.to_thread(tls_context, options.tls)
            client = aiomqtt.Client(
                options.host,
                options.port,
                identifier=options.client_id,
                username=options.username,
                password=options.password.reveal() if options.password else None,
                tls_context=context,
                timeout=self.config.timeout_s,
                will=will,
                clean_session=True,
                logger=_quiet(),
            )
            async with client:
                yield client
        except (aiomqtt.MqttError, OSError) as exc:
            raise UplinkError(f"{options.host}:{options.port}: {exc}") from exc


class SparkplugOutlet(MqttOutlet):
    """The gateway as an edge node: births first and when a host asks, then data; what waited is marked historical."""

    def __init__(
        self, config: OutletConfig, clock: Clock, origin: Origin, units: Units, layouts: Layouts
    ) -> None:
        super().__init__(config, clock, origin, units)
        self._layouts = layouts
        self._last: dict[str, Told] = {}
        group, began_s = config.group or origin.site, self._now_ms() // 1000
        self._node = EdgeNode(group, origin.gateway, self._points(), began_s % 256)

    def _points(self) -> dict[str, Sequence[Point]]:
        return {
            layout.device: forms.points(layout, units)
            for layout, units in self._layouts
            if self.wants(layout.device)
        }

    async def session(self) -> None:
        topic, body = self._node.begin(self._now_ms())
        async with self._connected(aiomqtt.Will(topic, body, 1)) as client:
            await client.subscribe(self._node.commands, 1)
            began_ns = self._clock.now_ns()
            asked = asyncio.Event()  # one task sends all, so that the numbers stay in order
            asked.set()
            hearing = asyncio.create_task(self._hear_commands(client, asked))
            try:
                while True:
                    if asked.is_set():
                        asked.clear()
                        await self._births(client)
                    rows = await self._rows(hearing, asked)
                    await self._deliver(client, rows, self._data(rows, began_ns))
            finally:
                hearing.cancel()
                with suppress(aiomqtt.MqttError):
                    await client.publish(topic, body, qos=1)  # a clean end sends no last will

    async def _rows(self, hearing: asyncio.Task[None], asked: asyncio.Event) -> list[Row]:
        """The next rows; none when births are asked for. Ends with the session when its commands end."""
        taking = asyncio.create_task(self.waiting.take(self.config.batch_rows))
        asking = asyncio.create_task(asked.wait())
        try:
            either: set[asyncio.Task[Any]] = {taking, asking, hearing}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()
                raise UplinkError("the session has ended")
            return taking.result() if taking.done() else []
        except BaseException:
            if taking.done() and not taking.cancelled():
                self.waiting.give_back(taking.result())
            raise
        finally:
            taking.cancel()
            asking.cancel()

    def _data(self, rows: list[Row], began_ns: int) -> list[tuple[str, bytes]]:
        found = []
        for row in rows:
            if not self._node.knows(row.layout.device, row.layout.quantities):
                continue  # it waited while the configuration changed
            told = forms.told(row)
            historical = row.time_ns < began_ns
            if not historical:
                self._last[told.device] = told
            found.append(self._node.data(told, self._now_ms(), historical=historical))
        return found

    async def _births(self, client: aiomqtt.Client) -> None:
        for topic, body in self._node.births(self._now_ms(), self._last.values()):
            await client.publish(topic, body, qos=1)

    async def _hear_commands(self, client: aiomqtt.Client, asked: asyncio.Event) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            with suppress(CodecError):  # whoever sends that is no host
                if self._node.asks_rebirth(message.topic.value, payload):
                    asked.set()

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _quiet() -> logging.Logger:
    """aiomqtt repeats what we say once."""
    logger = logging.getLogger("tocsin.outlets.mqtt")
    logger.setLevel(logging.CRITICAL)
    return logger
