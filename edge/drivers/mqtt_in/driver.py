"""The `mqtt_in` driver: what devices publish to a broker, acknowledged when it is durable."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from edge.drivers.mqtt_in.config import MqttInConfig, Subscription
from edge.drivers.mqtt_in.devices import Device, Devices, block
from edge.drivers.mqtt_in.forms import read
from edge.drivers.mqtt_in.link import Burst, Inbox, Link, UnsupportedVersionError
from edge.drivers.mqtt_in.topics import TopicFilter
from edge.remembered import Remembered
from firmware_bridges.mqtt.report import Report
from firmware_bridges.sparkplug.host import Host, rebirth_command
from tocsin.errors import CodecError, DriverReason, LinkError
from tocsin.mqtt.packets import Level, Publish
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

_BATCH = 500
_FINISH_S = 0.4
_GATHER_S = 0.02
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_HELD_BYTES = 32 << 20
_TOPICS = 4096  # of which it is known which subscription takes them
_TOLD = 1000  # names and topics of which something was said


class MqttInDriver:
    """One broker, many devices."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = MqttInConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, MqttInConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._devices = Devices(config)
        self._subscriptions = [(TopicFilter(s.topic), s) for s in config.subscriptions]
        self._fits: dict[str, tuple[Subscription, dict[str, str]]] = {}
        self._taken_before = Remembered(2 * config.in_flight)  # messages of QoS 1
        self._host = Host()
        self._ending = False
        self._said: set[str] = set()
        self._seen: set[str] = set()
        self._level: Level = 4 if config.version == "3.1.1" else 5
        self._guessing = config.version == "auto"

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return self._devices.specs

    async def run(self) -> None:
        """Until cancelled. A lost connection is opened again; what the broker holds for us comes then.

        Raises:
            LinkError: there never was a connection.
        """
        inbox = Inbox(self._config.in_flight, _HELD_BYTES, self._context.clock, self._full)
        # from the start: a broker that resumes a session sends what it holds before it answers the subscription
        working = asyncio.create_task(self._work(inbox), name=f"{self._context.name}-work")
        link: Link | None = None
        try:
            link = await self._open(inbox)
            while True:
                await self._stand(link, working)
                await link.close()
                if self._first(why := link.ended.result()):
                    self._context.log.warning("the session ended: %s", why)
                link = await self._again(inbox)
        finally:
            self._ending = True
            inbox.close()
            await asyncio.wait({working}, timeout=_FINISH_S)  # keeps and acknowledges what it has
            working.cancel()
            await asyncio.wait({working})
            if link is not None:
                await link.close()

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other devices while it runs; the session and what is known of those that stay go on."""
        if not isinstance(config, MqttInConfig):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        self._config = config
        self._seen.difference_update(self._devices.replace(config))
        return True

    async def probe(self) -> list[ProbeLine]:
        """Look whether the broker takes a connection; the session is left alone."""
        where = f"{self._config.host}:{self._config.port}"
        try:
            async with asyncio.timeout(self._config.connect_timeout_s):
                _, writer = await asyncio.open_connection(self._config.host, self._config.port)
            writer.close()
        except (OSError, TimeoutError) as exc:
            return [ProbeLine(s.id, False, f"{where}: {exc or 'no answer'}") for s in self.devices]
        text = f"{where} takes connections; devices publish when they like"
        return [ProbeLine(spec.id, True, text) for spec in self.devices]

    async def _open(self, inbox: Inbox) -> Link:
        while True:
            link = Link(self._config, inbox, self._level)
            try:
                await link.open(probing=self._guessing and self._level == 5)
            except UnsupportedVersionError:
                await link.close()
                self._level = 4
            except BaseException:
                await link.close()
                raise
            else:
                self._guessing = False
                return link

    async def _stand(self, link: Link, working: asyncio.Task[None]) -> None:
        """Return when the connection has ended."""
        either: set[asyncio.Future[Any]] = {link.ended, working}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # raises what it died of

    def _full(self) -> None:
        self._context.count("mqtt_in.full", 1)

    async def _again(self, inbox: Inbox) -> Link:
        failures = 0
        while True:
            await self._context.clock.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            try:
                link = await self._open(inbox)
            except LinkError as exc:
                if failures == 0:
                    for spec in self.devices:
                        self._context.unavailable(spec.id, exc)
                failures += 1
            else:
                self._context.count("mqtt_in.reconnects", 1)
                if failures:  # what they told still holds; what they say now comes late
                    for device in self._seen:
                        self._context.available(device)
                return link

    async def _work(self, inbox: Inbox) -> None:
        while not self._ending:
            bursts = await inbox.take(_BATCH)
            if (room := _BATCH - _count(bursts)) > 0:
                # one commit for what comes together: flash lives longer
                await self._context.clock.sleep(_GATHER_S)
                bursts += inbox.more(room)
            samples = [
                sample
                for burst in bursts
                for message in burst.messages
                for sample in self._samples(burst.link, message, burst.received_ns)
            ]
            if samples:
                await self._context.keep(samples)
            inbox.release(bursts)
            for burst in bursts:
                burst.link.ack(burst.messages)

    def _resent(self, message: Publish) -> bool:
        """Whether it was taken before: a broker sends again, marked so and with the same number, what a lost connection
        left unacknowledged."""
        if not message.mid:
            return False
        identity = hash((message.mid, message.topic, message.payload))
        if message.again and identity in self._taken_before:
            return True
        self._taken_before.add(identity)
        return False

    def _samples(self, link: Link, message: Publish, received_ns: int) -> list[Sample]:
        if self._resent(message):
            self._context.count("mqtt_in.resent", 1)
            return []
        fit = self._fits.get(message.topic) or self._fit(message.topic)
        if fit is None:
            self._context.count("mqtt_in.other_topic", 1)
            return []
        subscription, fields = fit
        if message.retained and subscription.retained == "ignore":
            self._context.count("mqtt_in.retained", 1)
            return []
        found: list[Sample] = []
        try:
            for report in self._reports(subscription, fields, link, message, received_ns):
                found += self._sample(report, message, received_ns)
        except CodecError as error:
            self._refused(message.topic, error)
        return found

    def _fit(self, topic: str) -> tuple[Subscription, dict[str, str]] | None:
        """The first subscription that takes a topic, and the topic's named levels."""
        for pattern, subscription in self._subscriptions:
            fields = pattern.match(topic)
            if fields is not None:
                if len(self._fits) >= _TOPICS:
                    self._fits.clear()
                self._fits[topic] = subscription, fields
                return subscription, fields
        return None

    def _reports(
        self,
        subscription: Subscription,
        fields: dict[str, str],
        link: Link,
        message: Publish,
        received_ns: int,
    ) -> list[Report]:
        if len(message.payload) > self._config.max_message_bytes:
            self._context.count("mqtt_in.oversized", 1)
            return []
        if subscription.format == "sparkplug":
            return self._sparkplug(link, message, received_ns)
        return read(subscription, fields, message.payload, received_ns)

    def _sparkplug(self, link: Link, message: Publish, received_ns: int) -> list[Report]:
        context = self._context
        told = self._host.receive(message.topic, message.payload, context.clock.mono_ns())
        if told.unknown:
            context.count("mqtt_in.before_birth", told.unknown)
        if told.ask is not None:
            context.count("mqtt_in.rebirths_asked", 1)
            link.publish(str(told.ask), rebirth_command(received_ns // 1_000_000))
        gone = LinkError(DriverReason.CLOSED, "its Sparkplug node says that it is gone")
        for device in filter(None, map(self._devices.find, told.dead)):
            self._seen.discard(device.spec.id)
            context.unavailable(device.spec.id, gone)
        for device in filter(None, map(self._devices.find, told.born)):
            context.available(device.spec.id)
        return list(told.reports)

    def _sample(self, report: Report, message: Publish, received_ns: int) -> list[Sample]:
        device = self._devices.find(report.source, *report.aliases)
        if device is None:
            self._unknown(report)
            return []
        self._context.frame(device.spec.id, "rx", message.payload)
        key = device.key(report)
        if key is not None and key in device.told:
            self._context.count("mqtt_in.duplicates", 1)
            return []
        sample = self._taken(device, report, message, received_ns)
        if sample is None:
            return []
        if key is not None:
            device.told.add(key)
        if device.id not in self._seen:
            self._seen.add(device.id)
            self._context.available(device.id)
        return [sample]

    def _taken(
        self, device: Device, report: Report, message: Publish, received_ns: int
    ) -> Sample | None:
        try:
            sample = device.sample(report, received_ns)
        except CodecError as error:
            self._refused(f"{message.topic} ({device.spec.id})", error)
            return None
        if sample is None:
            self._context.count("mqtt_in.no_values", 1)
        return sample

    def _refused(self, where: str, error: CodecError) -> None:
        self._context.count(f"mqtt_in.{error.reason}", 1)
        if self._first(f"{where} {error.reason}"):
            self._context.log.warning("%s: refused: %s", where, error.message)

    def _unknown(self, report: Report) -> None:
        self._context.count("mqtt_in.unknown_device", 1)
        if self._first(f"? {report.source}"):
            self._context.log.warning(
                "device %s is not configured; to keep its values:\n%s",
                report.source[:128],
                block(report),
            )

    def _first(self, what: str) -> bool:
        """Whether this was not said before; beyond a bound nothing more is said."""
        if what in self._said or len(self._said) >= _TOLD:
            return False
        self._said.add(what)
        return True


def _count(bursts: list[Burst]) -> int:
    return sum(len(burst.messages) for burst in bursts)
