"""Keeps a session with the broker, for as long as the gateway runs, and says so when there is none."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import aiomqtt
import msgspec

from edge.options import UplinkOptions
from edge.orders.results import open_note, refused_data
from edge.outbox import Outbox
from edge.uplink.backoff import Backoff
from edge.uplink.cancel import raise_if_cancelled
from edge.uplink.guard import MAX_COMMAND_BYTES, CommandGuard, RefusedCommandError
from edge.uplink.sender import Sender
from edge.uplink.session import Connector
from tocsin.contract import topics
from tocsin.contract.messages import Command, CommitAck, Health
from tocsin.contract.orders import ORDER_KINDS, RESULT, unpack
from tocsin.contract.remote import MAX_COMMAND_BYTES as MAX_CONFIG_BYTES
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    OutboxCorruptError,
    OutboxError,
    UplinkError,
)
from tocsin.sdk import Clock

HEALTH_EVERY_S = 5.0
COMMAND_TIMEOUT_S = 30.0
_FAREWELL_S = 2.0
_MAX_REFUSAL_EVENTS_PER_MIN = 10
_DUPLICATE = CommandRefusal.DUPLICATE.value
_ack_decoder = msgspec.json.Decoder(CommitAck)
_encode = msgspec.json.Encoder().encode

CommandHandler = Callable[[Command], Awaitable[str | None]]


class Uplink:
    """One gateway's uplink. `counters` are for health and the control socket.

    `on_command` carries out a checked command and returns what to say of it, None when its result follows as an event
    of its own; it raises `CommandRefusedError`. `on_config` does the same with what comes on `down/config`. `others`
    judge by themselves what comes on `down/<name>`.
    `health` makes the message of the moment; without it none is sent. `evidence` sends by what it is given, as long as
    the session lasts.
    """

    def __init__(
        self,
        options: UplinkOptions,
        outbox: Outbox,
        *,
        site: str,
        gateway: str,
        clock: Clock,
        on_command: CommandHandler,
        on_config: CommandHandler | None = None,
        others: Mapping[str, Callable[[bytes], Awaitable[None]]] | None = None,
        command_key: bytes = b"",
        health: Callable[[], Health] | None = None,
        evidence: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]] | None = None,
        backoff: Backoff | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._options, self._outbox, self._clock = options, outbox, clock
        self._site, self._gateway = site, gateway
        self._on_command, self._on_config, self._health = on_command, on_config, health
        self._evidence = evidence
        self._others = {topics.down(site, gateway, what): do for what, do in (others or {}).items()}
        self._guard = CommandGuard(site, gateway, command_key)
        self._backoff = backoff or Backoff()
        self._log = log or logging.getLogger("tocsin.uplink")
        self._connector = Connector(options, site, gateway, self._publish_refused)
        self._refusals: list[int] = []
        self._said = ""
        self._said_refused = False
        self.counters: Counter[str] = Counter()
        self.connected = False
        self.last_error = ""
        self.window_bytes = 0

    @property
    def protocol(self) -> str:
        """`5` or `3.1.1`."""
        return "5" if self._connector.protocol is aiomqtt.ProtocolVersion.V5 else "3.1.1"

    def set_command_key(self, key: bytes) -> None:
        """Believe commands signed with this key from now on."""
        self._guard.set_key(key)

    async def run(self) -> None:
        """Hold a session until cancelled; on the way out tell the broker that we leave.

        Raises:
            OutboxCorruptError: the outbox broke.
        """
        remembers = False
        while True:
            started_ns = self._clock.mono_ns()
            lasted_s = 0.0
            try:
                if not remembers:
                    await self._remember()
                    remembers = True
                async with self._connector.session() as client:
                    started_ns = self._clock.mono_ns()
                    await self._serve(client)
            except* OutboxCorruptError:
                raise
            except* (UplinkError, aiomqtt.MqttError, OutboxError) as group:
                if self.connected:
                    lasted_s = (self._clock.mono_ns() - started_ns) / 1e9
                self._unavailable(group)
            finally:
                self.connected = False
            raise_if_cancelled()
            await self._clock.sleep(self._backoff.next_delay_s(lasted_s))

    async def _remember(self) -> None:
        """Take up the commands that were carried out before a restart."""
        self._guard.restore(*await self._outbox.commands())

    async def _serve(self, client: aiomqtt.Client) -> None:
        wanted = [(topics.down(self._site, self._gateway, "command"), 1), (self._acks(), 0)]
        if self._on_config is not None:
            wanted.append((topics.down(self._site, self._gateway, "config"), 1))
        wanted += [(topic, 1) for topic in self._others]
        for flt, qos in wanted:
            granted = await client.subscribe(flt, qos=qos)
            if any(getattr(code, "is_failure", code == 128) for code in granted):
                raise UplinkError(
                    f"the broker does not let {self._gateway} read {flt}",
                    hint="its access rules need: read tocsin/1/+/+/%u/down/#",
                )
        state = topics.state(self._site, self._gateway)
        await client.publish(state, b"online", qos=1, retain=True)
        self._available()
        sender = Sender(
            client, self._outbox, self._options, self._site, self._gateway, self._clock,
            self.counters,
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(client, sender), name="uplink-receive")
                tasks.create_task(self._publish_health(client, sender), name="uplink-health")
                if self._evidence is not None:
                    sending = self._evidence(partial(self._publish_evidence, client))
                    tasks.create_task(_awaited(sending), name="uplink-evidence")
                await sender.run(tasks)
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await client.publish(state, b"offline", qos=1, retain=True)
            except (aiomqtt.MqttError, TimeoutError):
                pass
            raise

    def _acks(self) -> str:
        return topics.down_ack(self._site, self._gateway, "+")

    async def _receive(self, client: aiomqtt.Client, sender: Sender) -> None:
        command_topic = topics.down(self._site, self._gateway, "command")
        config_topic = topics.down(self._site, self._gateway, "config")
        async for message in client.messages:
            payload = message.payload
            if not isinstance(payload, bytes):
                continue
            if message.topic.value == command_topic:
                await self._command(payload, self._on_command, MAX_COMMAND_BYTES)
            elif message.topic.value == config_topic:
                if self._on_config is not None:
                    await self._command(payload, self._on_config, MAX_CONFIG_BYTES)
            elif (take := self._others.get(message.topic.value)) is not None:
                await take(payload)
            else:
                await self._ack(payload, sender)

    async def _ack(self, payload: bytes, sender: Sender) -> None:
        try:
            ack = _ack_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.counters["acks_bad"] += 1
            return
        self.counters["acks"] += 1
        try:
            self.counters["settled"] += await self._outbox.settle(ack)
        except OutboxCorruptError:
            raise
        except OutboxError:  # the disk refuses; it is kept with the next one
            self.counters["acks_unkept"] += 1
        sender.acknowledged()
        self.window_bytes = sender.window.bytes

    async def _command(self, payload: bytes, carry_out: CommandHandler, max_bytes: int) -> None:
        now_ns = self._clock.now_ns()
        command: Command | None = None
        try:
            command = self._guard.check(payload, now_ns, max_bytes=max_bytes)
            note = open_note(command) if carry_out is self._on_command else ""
            await self._outbox.remember_command(command.id, command.expires_ns, note)
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                text = await carry_out(command)
        except CommandRefusedError as exc:
            if isinstance(exc, RefusedCommandError):
                command = exc.command
            self.counters["commands_refused"] += 1
            await self._tell(command, "command.refused", exc.message, exc.reason.value)
        except OutboxError as exc:
            self.counters["commands_refused"] += 1
            text = f"it cannot be remembered: {exc.message}"
            await self._tell(command, "command.refused", text, "refused")
        except TimeoutError:
            self.counters["commands_refused"] += 1
            await self._tell(command, "command.refused", "it took too long", "refused")
        else:
            self.counters["commands_done"] += 1
            if text is not None:
                await self._tell(command, "command.done", text, "")

    async def _tell(self, command: Command | None, kind: str, text: str, reason: str) -> None:
        """Journal the outcome; refusals of a flood are only counted."""
        now_ns = self._clock.mono_ns()
        if command is not None and command.kind in ORDER_KINDS and reason == _DUPLICATE:
            return  # whoever carries it out tells its result, once
        if reason:
            self._refusals = [t for t in self._refusals if now_ns - t < 60_000_000_000]
            if len(self._refusals) >= _MAX_REFUSAL_EVENTS_PER_MIN:
                return
            self._refusals.append(now_ns)
            self._log.warning("command refused: %s", text)
        data: dict[str, object] = {"reason": reason} if reason else {}
        device = ""
        if command is not None and command.kind in ORDER_KINDS:
            kind, device = RESULT, unpack(command.args)[0]
            data |= refused_data(command, reason)
        elif command is not None:
            data |= {"id": command.id, "kind": command.kind, "actor": command.actor}
        try:
            await self._outbox.put_event(kind, device, text, data)
        except OutboxError as exc:
            self._log.error("%s could not be journalled: %s", kind, exc.message)

    async def _publish_health(self, client: aiomqtt.Client, sender: Sender) -> None:
        topic = topics.up(self._site, self._gateway, topics.HEALTH)
        while self._health is not None:
            self.window_bytes = sender.window.bytes
            await client.publish(topic, _encode(self._health()), qos=0)
            raise_if_cancelled()
            await self._clock.sleep(HEALTH_EVERY_S)

    async def _publish_evidence(self, client: aiomqtt.Client, payload: bytes) -> None:
        topic = topics.up(self._site, self._gateway, topics.EVIDENCE)
        timeout_s = max(10.0, 1.5 * self._options.keepalive_s)
        await client.publish(topic, payload, qos=1, timeout=timeout_s)

    def _available(self) -> None:
        self.connected = True
        self.counters["connects"] += 1
        if self._said:
            self._log.warning("the broker is back after: %s", self._said)
        self._said = self.last_error = ""
        self._said_refused = False

    def _unavailable(self, group: BaseExceptionGroup[BaseException]) -> None:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        hint = error.hint if isinstance(error, UplinkError) else ""
        self.last_error = str(error) or type(error).__name__
        self.counters["disconnects" if self.connected else "connect_failures"] += 1
        if not self._said:
            self._log.warning(
                "no uplink, readings stay in the outbox: %s%s",
                self.last_error,
                f" ({hint})" if hint else "",
            )
            self._said = self.last_error

    def _publish_refused(self, reason: str) -> None:
        self.counters["publishes_refused"] += 1
        if not self._said_refused:
            self._said_refused = True
            self._log.error(
                "the broker refuses our messages (%s); its access rules need: write tocsin/1/+/+/%%u/up/#",
                reason,
            )


async def _awaited(work: Awaitable[None]) -> None:
    await work
