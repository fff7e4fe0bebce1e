"""The `lock` driver: the smart locks around one Bluetooth adapter, heard all the time, asked now and then, told what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar

from edge.drivers.lock.config import LockConfig, LockDevice
from edge.drivers.lock.orders import carry_out
from edge.drivers.lock.values import sample_of, spec_of
from edge.locks.contact import Contact, Timing
from edge.locks.dialogue import LockIdentity
from edge.locks.host import open_radio
from edge.locks.lock_client import LockClient
from edge.locks.log_reader import LogReader
from edge.locks.radio import Radio, Sighting
from edge.locks.recognise import Recogniser
from edge.locks.surroundings import LockRules, NoRules, Surroundings
from tocsin.errors import DriverError, DriverReason, GrantRefusedError, LinkError, UsageError
from tocsin.grants.issuers import IssuerKeys
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine

_ASKED_AT_ONCE = 2  # locks that are polled side by side; commands wait for nobody
_LEAST_GAP_S = 5.0  # between two contacts that advertisements call for: anyone can forge those
_AGAIN_S = 30.0  # a lock that does not answer is tried again so often
_ORDERS_AGAIN_S = 2.0  # one that answers and has not taken an order yet


class LockDriver:
    """Several locks, one radio. `rules` is what the rest of the gateway says of its locks."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = LockConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, LockConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._specs = {device.id: spec_of(device, config.period_s) for device in config.devices}
        self._tasks: asyncio.TaskGroup | None = None
        self._clients: dict[str, LockClient] = {}
        self._wanted: dict[str, asyncio.Event] = {}
        self._rssi_dbm: dict[str, int] = {}
        self._fresh: set[str] = set()  # locks that a command has just dealt with
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._recogniser = Recogniser({})
        self.rules: LockRules = NoRules()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return tuple(self._specs.values())

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            MissingExtraError: bleak is not installed.
            LinkError: there is no Bluetooth, or it went away.
        """
        async with open_radio(self._config.adapter, self._config.hci) as radio:
            self._begin(radio)
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    tasks.create_task(radio.listen(self._heard), name="lock-listen")
                    for client in self._clients.values():
                        tasks.create_task(self._keep(client), name=f"lock:{client.name}")
            except ExceptionGroup as group:
                raise _first(group) from group
            finally:
                self._tasks = None
                for client in self._clients.values():
                    await client.close()

    async def probe(self) -> list[ProbeLine]:
        """Have each lock prove that it is the one configured."""
        try:
            async with open_radio(self._config.adapter, self._config.hci) as radio:
                self._begin(radio, quiet=True)
                listening = asyncio.create_task(radio.listen(self._heard), name="lock-probe")
                try:
                    return [await self._probed(c, listening) for c in self._clients.values()]
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        except LinkError as exc:
            return [ProbeLine(id_, False, _with_hint(exc)) for id_ in self._specs]

    async def _probed(self, client: LockClient, listening: asyncio.Task[None]) -> ProbeLine:
        if listening.done():
            await listening
        try:
            told = await client.greet()
        except DriverError as exc:
            return ProbeLine(client.name, False, _with_hint(exc))
        return ProbeLine(client.name, True, told)

    def _begin(self, radio: Radio, *, quiet: bool = False) -> None:
        """Fresh clients of all locks; quiet ones tell the agent nothing."""
        config, context = self._config, self._context
        around = Surroundings(
            clock=context.clock,
            log=context.log,
            issuers=issuers(config),
            count=_ignore if quiet else context.count,
            frame=context.frame,
            available=_ignore if quiet else context.available,
            unavailable=_ignore if quiet else context.unavailable,
            tell=context.tell,
            spawn=self._spawn,
            rules=NoRules() if quiet else self.rules,
            clock_error_s=config.clock_error_s,
        )
        timing = Timing(config.find_s, config.connect_s)
        locks = {device.id: identity(config, device) for device in config.devices}
        self._recogniser = Recogniser(locks)
        for device in config.devices:
            lock = locks[device.id]
            place = config.log_dir / f"{lock.lock_id.hex()}.json" if config.log_dir else None
            log = LogReader(device.id, lock.lock_id, place, around)
            contact = Contact(device.id, lock, radio, timing, around)
            self._clients[device.id] = LockClient(device.id, lock, contact, log, around)
            self._wanted[device.id] = asyncio.Event()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(work, name=name)

    def _heard(self, sighting: Sighting) -> None:
        name, advert = self._recogniser.whose(sighting.address, sighting.makers)
        client = self._clients.get(name)
        if client is None:
            return
        client.saw(sighting)
        self._rssi_dbm[name] = sighting.rssi_dbm
        since_s = (self._context.clock.now_ns() - client.tried_ns) / 1e9
        if since_s < _LEAST_GAP_S:
            return
        if not client.state.available or (advert is not None and advert.shown != client.shown):
            self._wanted[name].set()

    def wake(self, lock: str) -> None:
        """Contact a lock at once: the cloud orders something."""
        if lock in self._wanted:
            self._wanted[lock].set()

    async def _keep(self, client: LockClient) -> None:
        """Ask one lock at the start, every period, and whenever it shows something new."""
        wanted = self._wanted[client.name]
        while True:
            wanted.clear()
            is_fresh = client.name in self._fresh
            self._fresh.discard(client.name)
            if (client.has_orders or not is_fresh) and not client.is_in_use:
                try:
                    async with self._asking:
                        await client.read()
                except (DriverError, GrantRefusedError) as exc:
                    self._context.log.debug("%s: %s", client.name, exc.message)
            if client.shown is not None and client.state.available:
                now_ns, rssi = self._context.clock.now_ns(), self._rssi_dbm.get(client.name)
                spec = self._specs[client.name]
                await self._context.emit(sample_of(spec, client, rssi, now_ns))
            pause_s = self._config.period_s if client.state.available else _AGAIN_S
            if client.has_orders and client.state.available:
                pause_s = _ORDERS_AGAIN_S  # somebody was at it, or it is busy
            try:
                async with asyncio.timeout(pause_s):
                    await wanted.wait()
            except TimeoutError:
                continue

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """One of `read`, `challenge`, `unlock`, `relock`, `rescue`, `order`. See `TakesCommands`."""
        client = self._clients.get(device)
        if client is None:
            raise UsageError(f"no lock {device!r} here")
        if self._tasks is None:
            raise LinkError(DriverReason.CLOSED, "Bluetooth is not there", device=device)
        try:
            answer = await carry_out(client, name, args, self._context.clock)
            if name != "challenge":
                self._fresh.add(device)  # nobody need ask again
        finally:
            if name != "challenge":  # what came of it becomes a sample
                self._wanted[device].set()
        return answer


def _ignore(*_told: object) -> None:
    pass


def identity(config: LockConfig, device: LockDevice) -> LockIdentity:
    """A lock as the client knows it."""
    advert = device.advert_key
    return LockIdentity(
        bytes.fromhex(device.lock_id),
        bytes.fromhex(config.gateway_id),
        bytes.fromhex(device.key.reveal().strip()),
        bytes.fromhex(advert.reveal().strip()) if advert else None,
        device.address,
    )


def issuers(config: LockConfig) -> IssuerKeys:
    """Whose grants open."""
    return IssuerKeys({bytes.fromhex(k.kid): bytes.fromhex(k.public) for k in config.issuers})


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """One of several at once; the others are of the same end."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


def _with_hint(error: DriverError) -> str:
    return error.message + (f" ({error.hint})" if error.hint else "")
