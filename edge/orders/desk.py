"""Commands to devices: from whoever asked to the driver that owns the port, and a result event for each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

import msgspec

from edge.journal import Journal
from edge.orders.results import OrderNote, Result, carried_out, noted, told
from edge.orders.two_step import (
    Arm,
    Armed,
    Ask,
    Carry,
    Confirm,
    Effect,
    Event,
    Expire,
    Guard,
    Refuse,
    Tick,
    step,
)
from tocsin.contract.ids import ulid
from tocsin.contract.messages import Command
from tocsin.contract.orders import ACCEPTED, DEVICE_CONFIRM, RESULT, Outcome, unpack
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    DeviceFaultError,
    DriverError,
    GrantRefusedError,
    OutboxError,
    UsageError,
)
from tocsin.sdk import Clock, DeviceSpec

MAX_AT_ONCE = 64
LONGEST_ANSWER_S = 330.0  # beyond its time to be sent; every driver has a shorter limit of its own
_CODE_BYTES = 3
_log = logging.getLogger("edge.orders")


class Carrier(Protocol):
    """A driver under supervision."""

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]: ...


class OrderDesk:
    """Takes commands of the cloud (`command`) and of this machine (`ask`, `confirm`).

    `find` gives a device's driver, `known` every device's id.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        find: Callable[[str], tuple[Carrier, DeviceSpec] | None],
        known: Callable[[], Sequence[str]],
        guards: Sequence[Guard] = (),
    ) -> None:
        self.guards = tuple(guards)
        self._known = known
        self._journal, self._clock, self._find = journal, clock, find
        self._armed: dict[str, Armed] = {}
        self._queue: asyncio.Queue[Command] = asyncio.Queue(MAX_AT_ONCE)
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._busy = 0
        self.counters: Counter[str] = Counter()  # results by outcome

    async def restore(self, notes: Mapping[str, str]) -> None:
        """Tell what became of the commands that the last run took and did not finish."""
        for command_id, note in notes.items():
            order = noted(note)
            text, outcome = "the agent ended before anything was known of it", Outcome.UNKNOWN
            if order.armed:
                text, outcome = "the agent ended before it was confirmed", Outcome.EXPIRED
            await self._tell(
                Result(command_id, order.device, order.name, order.actor, outcome, text)
            )

    async def command(self, command: Command) -> None:
        """A command of the cloud, already checked and remembered; its result follows as an event."""
        try:
            self._queue.put_nowait(command)
        except asyncio.QueueFull:
            device, name, _ = unpack(command.args)
            text = f"{MAX_AT_ONCE} commands wait already"
            await self._tell(
                Result(
                    command.id, device, name, command.actor, Outcome.REFUSED, text, reason="busy"
                )
            )

    async def run(self) -> None:
        """Carry out what comes, side by side, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="orders-watch")
            while True:
                command = await self._queue.get()
                await self._room.acquire()
                task = tasks.create_task(self._from_cloud(command), name=f"order:{command.id}")
                task.add_done_callback(lambda _task: self._room.release())

    async def settled(self) -> None:
        """Wait until every command that was begun has its result."""
        while self._busy:
            await self._clock.sleep(0.02)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            if self._armed:
                for effect in self._step(Tick()):
                    await self._other(effect)

    async def _from_cloud(self, command: Command) -> None:
        now_ns, mono_ns = self._clock.now_ns(), self._clock.mono_ns()
        deadline_ns = mono_ns + command.expires_ns - now_ns
        if command.kind == DEVICE_CONFIRM:
            code = str(command.args.get("code", ""))
            await self._take(Confirm(command.id, code, command.actor), deadline_ns)
            return
        device, name, args = unpack(command.args)
        ask = Ask(command.id, device, name, args, command.actor, _code())
        await self._take(ask, deadline_ns)

    async def ask(
        self, device: str, name: str, args: Mapping[str, Any], actor: str, within_s: float
    ) -> Result:
        """A command of someone at this machine; what came of it, or that it waits for a confirmation."""
        return await self._local(
            lambda i: Ask(i, device, name, args, actor, _code()),
            OrderNote(device, name, actor),
            within_s,
        )

    async def confirm(self, code: str, actor: str, within_s: float) -> Result:
        """Someone at this machine confirms an armed command; what came of it."""
        return await self._local(
            lambda i: Confirm(i, code, actor), OrderNote("", "", actor), within_s
        )

    async def _local(
        self, make: Callable[[str], Ask | Confirm], note: OrderNote, within_s: float
    ) -> Result:
        if not note.actor.strip():
            raise CommandRefusedError(CommandRefusal.REFUSED, "who are you?", hint="--actor NAME")
        now_ns = self._clock.now_ns()
        command_id, deadline_ns = ulid(now_ns), self._clock.mono_ns() + int(within_s * 1e9)
        await self._journal.remember_command(
            command_id, now_ns + int(within_s * 1e9), msgspec.json.encode(note).decode()
        )
        return await self._take(make(command_id), deadline_ns)

    async def _take(self, event: Ask | Confirm, deadline_ns: int) -> Result:
        self._busy += 1
        try:
            if isinstance(event, Ask) and (problem := self._problem(event.device, event.name)):
                return await self._tell(_refused(event, problem))
            effects = self._step(event)
            for effect in effects[:-1]:
                await self._other(effect)
            match effects[-1]:
                case Carry(ask, confirm):
                    return await self._carry(ask, confirm, deadline_ns)
                case Refuse(_, text):
                    return await self._tell(_refused(event, text))
                case Arm(armed):
                    return await self._arm(armed)
                case Expire():
                    raise AssertionError("an event of its own always has an effect of its own")
        finally:
            self._busy -= 1

    def _step(self, event: Event) -> list[Effect]:
        self._armed, effects = step(self._armed, event, self.guards, self._clock.mono_ns())
        return effects

    async def _other(self, effect: Effect) -> None:
        """What time has done to commands that nobody confirmed."""
        assert isinstance(effect, Expire)  # noqa: S101 - time does nothing else
        ask = effect.armed.ask
        text = "nobody confirmed it in time"
        await self._tell(Result(ask.id, ask.device, ask.name, ask.actor, Outcome.EXPIRED, text))

    def _problem(self, device: str, name: str) -> str:
        """Why this device cannot be told this; "" if it can."""
        found = self._find(device)
        if found is None:
            return f"no device {device!r} at this gateway{_meant(device, self._known())}"
        names = [command.name for command in found[1].commands]
        if not names or name in names:
            return ""  # a driver that declares none says itself what it does not know
        return (
            f"{device} takes no command {name!r}{_meant(name, names)} It takes: {', '.join(names)}"
        )

    async def _arm(self, armed: Armed) -> Result:
        ask = armed.ask
        who = f" by someone other than {ask.actor}" if armed.guard.by == "another" else ""
        within_s = armed.guard.within_ns / 1e9
        text = (
            f"{told(ask.device, ask.name, ask.args)} is carried out once it is confirmed with "
            f"{ask.code}{who} within {within_s:g} s"
        )
        until_ns = self._clock.now_ns() + armed.guard.within_ns
        return await self._tell(
            Result(
                ask.id, ask.device, ask.name, ask.actor, Outcome.ARMED, text,
                code=ask.code, confirm_until_ns=until_ns, confirm_by=armed.guard.by,
            )
        )  # fmt: skip

    async def _carry(self, ask: Ask, confirm: Confirm | None, deadline_ns: int) -> Result:
        began_ns = self._clock.mono_ns()
        outcome, text, reason, answer = await self._outcome(ask, (deadline_ns - began_ns) / 1e9)
        result = Result(
            ask.id, ask.device, ask.name, ask.actor, outcome, text, reason=reason, answer=answer,
            duration_s=round((self._clock.mono_ns() - began_ns) / 1e9, 3),
            confirmed_by=confirm.actor if confirm else "",
        )  # fmt: skip
        await self._tell(result)
        if confirm is not None:
            second = msgspec.structs.replace(
                result, id=confirm.id, actor=confirm.actor, confirms=ask.id, confirmed_by=""
            )
            return await self._tell(second)
        return result

    async def _outcome(
        self, ask: Ask, within_s: float
    ) -> tuple[Outcome, str, str, dict[str, Any] | None]:
        found = self._find(ask.device)
        if found is None:  # a reload took it away while the command was armed
            return Outcome.REFUSED, self._problem(ask.device, ask.name), "unknown-device", None
        if within_s <= 0:
            return Outcome.EXPIRED, "its time ran out before it was sent", "", None
        accepted: dict[str, object] = {"id": ask.id, "name": ask.name, "actor": ask.actor}
        try:
            await self._journal.put_event(
                ACCEPTED, ask.device, told(ask.device, ask.name, ask.args), accepted
            )
            async with asyncio.timeout(within_s + LONGEST_ANSWER_S):
                answer = await found[0].command(ask.device, ask.name, ask.args, within_s)
        except CommandRefusedError as exc:
            late = exc.reason is CommandRefusal.EXPIRED
            outcome = Outcome.EXPIRED if late else Outcome.REFUSED
            return outcome, exc.message, exc.reason.value, None
        except UsageError as exc:
            hint = f" ({exc.hint})" if exc.hint else ""
            return Outcome.REFUSED, f"{exc.message}{hint}", "usage", None
        except GrantRefusedError as exc:
            return Outcome.REFUSED, exc.message, exc.reason.value, None
        except DeviceFaultError as exc:
            return carried_out(exc), exc.message, exc.said or exc.reason.value, None
        except DriverError as exc:
            return carried_out(exc), exc.message, exc.reason.value, None
        except OutboxError as exc:
            return Outcome.REFUSED, f"it cannot be journalled: {exc.message}", "outbox", None
        except TimeoutError:
            return Outcome.UNKNOWN, "the driver gave no word of it", "no-answer", None
        return Outcome.DONE, f"{told(ask.device, ask.name, ask.args)}: done", "", answer

    async def _tell(self, result: Result) -> Result:
        """Journal a result; with it, in one commit, the command is no longer open (an armed one waits on)."""
        note = None
        self.counters[result.outcome.value] += 1
        if result.outcome is Outcome.ARMED:
            note = OrderNote(result.device, result.name, result.actor, armed=True)
        _log.info("%s by %s: %s, %s", result.name, result.actor, result.outcome.value, result.text)
        try:
            await self._journal.put_event(
                RESULT, result.device, result.text, result.data(),
                order=(result.id, msgspec.json.encode(note).decode() if note else ""),
            )  # fmt: skip
        except OutboxError as exc:
            _log.error("a command's result is not journalled: %s", exc.message)
        return result


def _refused(event: Ask | Confirm, text: str) -> Result:
    if isinstance(event, Ask):
        return Result(event.id, event.device, event.name, event.actor, Outcome.REFUSED, text)
    return Result(event.id, "", "", event.actor, Outcome.REFUSED, text, reason="confirm")


def _meant(given: str, names: Sequence[str]) -> str:
    near = get_close_matches(given, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _code() -> str:
    return secrets.token_hex(_CODE_BYTES)
