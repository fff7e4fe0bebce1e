"""The `mcu` driver: a self-describing sensor board; each sample is acknowledged when it is durable."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from edge.drivers.mcu.config import McuConfig
from edge.drivers.mcu.session import Session, spec_of
from edge.ports import Duplex, open_port
from edge.shown import ShownDuplex
from firmware_bridges.mcu import messages
from firmware_bridges.mcu.messages import BoardEvent, Data, Hello, Log, Splitter
from tocsin.errors import CodecError, DriverError, DriverReason, LinkError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

_ASK_EVERY_S = 2.0
_TIME_EVERY_S = 60.0
_PROBE_S = 6.0


class McuDriver:
    """One board, one device."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = McuConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, McuConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._spec = spec_of(config)
        self._session = Session(config, self._spec)

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (self._spec,)

    async def _open(self) -> Duplex:
        config = self._config
        link = await open_port(
            config.port, config.baudrate, config.connect or "", config.connect_timeout_s
        )
        return ShownDuplex(link, partial(self._context.frame, config.device), b"\x00")

    async def run(self) -> None:
        """Until cancelled."""
        link = await self._open()
        try:
            await _Line(self._config, self._context, self._session, link).run()
        finally:
            link.close()

    async def probe(self) -> list[ProbeLine]:
        """Ask the board what it is."""
        device = self._config.device
        try:
            link = await self._open()
        except LinkError as exc:
            return [ProbeLine(device, False, exc.message + (f" ({exc.hint})" if exc.hint else ""))]
        try:
            async with asyncio.timeout(_PROBE_S):
                hello = await _first_hello(link)
            clock = self._context.clock
            Session(self._config, self._spec).greet(hello, clock.now_ns(), clock.mono_ns())
        except TimeoutError:
            return [ProbeLine(device, False, "no hello: check wiring (TX to RX), power, baudrate")]
        except DriverError as exc:
            return [ProbeLine(device, False, exc.message + (f" ({exc.hint})" if exc.hint else ""))]
        finally:
            link.close()
        sensors = ", ".join(f"{s.name} {s.unit}" for s in hello.sensors)
        return [ProbeLine(device, True, f"{hello.board}, firmware {hello.firmware}: {sensors}")]


async def _first_hello(link: Duplex) -> Hello:
    splitter = Splitter()
    while True:
        await link.write(messages.who())
        try:
            async with asyncio.timeout(_ASK_EVERY_S):
                while True:
                    for block in splitter.feed(await link.read()):
                        try:
                            told = messages.decode(block)
                        except CodecError:
                            continue
                        if isinstance(told, Hello):
                            return told
        except TimeoutError:
            continue


class _Line:
    """One open link, until it ends."""

    def __init__(
        self, config: McuConfig, context: DriverContext, session: Session, link: Duplex
    ) -> None:
        self._config, self._context, self._session, self._link = config, context, session, link
        self._splitter = Splitter()
        self._told: dict[str, int] = dict(session.counts)
        now = context.clock.mono_ns()
        self._heard_ns, self._asked_ns, self._timed_ns = now, 0, 0
        self._garbled = 0
        self._refused = ""

    async def run(self) -> None:
        """Read, keep, acknowledge."""
        await self._ask()
        pause_s = min(_ASK_EVERY_S, self._config.silence_s)
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    data = await self._link.read()
            except TimeoutError:
                data = b""
            await self._take(self._splitter.feed(data))
            self._count()
            self._watch_silence()
            if not self._session.introduced and self._since(self._asked_ns) >= _ASK_EVERY_S:
                await self._ask()

    def _since(self, mono_ns: int) -> float:
        return (self._context.clock.mono_ns() - mono_ns) / 1e9

    async def _ask(self) -> None:
        self._asked_ns = self._context.clock.mono_ns()
        await self._link.write(messages.who())

    async def _take(self, blocks: list[bytes]) -> None:
        samples: list[Sample] = []
        seqs: list[int] = []
        for block in blocks:
            try:
                told = messages.decode(block)
            except CodecError as error:
                self._garbled += 1
                self._context.count(f"mcu.refused.{error.reason}", 1)
                continue
            if isinstance(told, Hello):
                self._greet(told)
            elif isinstance(told, Log):
                self._context.log.info("%s says: %.200s", self._config.device, told.text)
            elif not self._session.introduced:
                continue  # it is sent again once the board has said what it is
            elif isinstance(told, BoardEvent):
                self._context.count("mcu.events", 1)
                self._context.log.info(
                    "%s: %.40s: %.200s", self._config.device, told.kind, told.text
                )
                seqs.append(told.seq)
            else:
                self._sample(told, samples, seqs)
        if samples:
            await self._context.keep(samples)
        if seqs:
            await self._link.write(messages.ack(seqs))
        if self._session.introduced and self._since(self._timed_ns) >= _TIME_EVERY_S:
            self._timed_ns = self._context.clock.mono_ns()
            await self._link.write(messages.time(self._context.clock.now_ns() // 1_000_000))

    def _sample(self, data: Data, samples: list[Sample], seqs: list[int]) -> None:
        clock = self._context.clock
        taken = self._session.take(data, clock.now_ns(), clock.mono_ns())
        if taken.acknowledge:
            seqs.append(data.seq)
            self._heard_ns, self._garbled = clock.mono_ns(), 0
            self._context.available(self._config.device)
        if taken.sample is not None:
            samples.append(taken.sample)

    def _greet(self, hello: Hello) -> None:
        clock = self._context.clock
        try:
            self._session.greet(hello, clock.now_ns(), clock.mono_ns())
        except DriverError as error:
            self._refused = error.message
            self._heard_ns = clock.mono_ns()
            self._context.unavailable(self._config.device, error)
            return
        self._refused = ""

    def _watch_silence(self) -> None:
        if self._since(self._heard_ns) < self._config.silence_s or self._refused:
            return
        self._heard_ns = self._context.clock.mono_ns()
        if self._garbled:
            reason, text = DriverReason.GARBAGE, f"{self._garbled} blocks, no whole frame"
            hint = "check the baud rate"
        else:
            reason, text = DriverReason.NO_ANSWER, "nothing received"
            hint = "check wiring (board TX to our RX), power and baud rate"
        error = DriverError(reason, text, device=self._config.device, hint=hint)
        self._context.unavailable(self._config.device, error)

    def _count(self) -> None:
        counts = {**self._session.counts, "overlong": self._splitter.overlong}
        for name, total in counts.items():
            if total > self._told.get(name, 0):
                self._context.count(f"mcu.{name}", total - self._told.get(name, 0))
                self._told[name] = total
