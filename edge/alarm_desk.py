"""Where alarm transitions go: outputs first, then the state file, then the outbox. And where people act on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from edge.alarm_file import AlarmFile
from edge.config import OutputConfig
from edge.journal import Journal
from edge.outputs import FileOutput
from edge.pipeline import AlarmBoard
from edge.pipeline.alarms import AlarmState
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import AlarmChange, Command
from tocsin.errors import (
    AlarmRefusedError,
    CommandRefusal,
    CommandRefusedError,
    OutboxCorruptError,
    OutboxError,
    OutboxFullError,
)
from tocsin.sdk import Clock

_AT_ONCE = 64  # transitions in one commit
_log = logging.getLogger("edge.alarms")


class AlarmDesk:
    """The gateway's alarms with their outside: outputs, file, outbox. One transition at a time."""

    def __init__(
        self,
        board: AlarmBoard,
        file: AlarmFile,
        journal: Journal,
        outputs: Sequence[FileOutput],
        clock: Clock,
        *,
        copy_at_once: bool = False,
    ) -> None:
        self.board = board
        self.outputs = list(outputs)
        self._file, self._journal, self._clock = file, journal, clock
        self._copy_at_once = copy_at_once
        self._turn = asyncio.Lock()
        self._owed: list[AlarmDraft] = []
        self._n = 0  # grows with every writing of the states
        self._whole = True  # the outbox has every state as of the last writing
        self._copied = True
        self._refused = self._unsaved = False
        self.raised = 0

    async def restore(self) -> None:
        """Take up the states of the last run from where they are newest, and hand over what it could not."""
        kept, self._n = await self._journal.alarm_states()
        saved = self._file.read()
        if saved is not None and (saved.n == 0 or saved.n > self._n):
            try:
                self.board.restore(bytes(saved.states))
                self._owed, self._n = saved.owed, max(saved.n, self._n)
                self._whole = False
            except msgspec.DecodeError as exc:
                self._file.put_aside(exc)
        if self._whole:
            try:
                self.board.restore(f"[{','.join(kept)}]".encode())
            except msgspec.DecodeError as exc:
                _log.error("the outbox's alarm states make no sense: %s", exc)
        for state in self.board.orphans:
            _log.warning("alarm %s of %s has no rule any more", state.rule, state.device)
        self.sound()
        async with self._turn:
            if not self._whole:  # from here on ours tell which is newer
                self._n += 1
                await self._save()
            await self._hand_over()

    def replace_outputs(self, configs: Sequence[OutputConfig]) -> None:
        """Other outputs from now on; one that stays as it was goes on, one that leaves is switched off."""
        before = list(self.outputs)
        kept = {id(o): o for o in before if o.config in configs}
        self.outputs = [
            next((o for o in kept.values() if o.config == config), None) or FileOutput(config)
            for config in configs
        ]
        for output in before:
            if id(output) not in kept:
                output.release()

    async def revise(self) -> None:
        """The rules or outputs are others: be heard by them, and durable."""
        self.sound()
        self._whole = False
        async with self._turn:
            await self._hand_over()

    def sound(self) -> None:
        """Let every output follow the open alarms; also tries again what failed."""
        states = self.board.active()
        for output in self.outputs:
            output.follow(states)

    async def publish(self, drafts: Sequence[AlarmDraft]) -> None:
        """Carry out transitions: heard at once, then durable, then on their way.

        Those that come while others are written go together in the next commit.
        """
        if not drafts:
            return
        self.sound()
        self._owed += drafts
        for draft in drafts:
            _log.warning("%s", _line(draft))
        self.raised += sum(d.change is AlarmChange.RAISED for d in drafts)
        async with self._turn:
            await self._hand_over()

    async def run(self) -> None:
        """Every second: try again what an output or the outbox refused, and bring the copy of the states up to date."""
        try:
            while True:
                await self._clock.sleep(1.0)
                self.sound()
                async with self._turn:
                    await self._hand_over()
                    await self._copy()
        finally:
            await self._copy()

    async def _hand_over(self) -> None:
        """Everything owed to the outbox, with what became of the states; what it refuses stays owed, in the file."""
        size = _AT_ONCE
        try:
            while self._owed or not self._whole:
                group = self._owed[:size]
                all_of_them = not self._whole
                keys = None if all_of_them else {(d.device, d.rule) for d in group}
                states, self._n = self.board.kept(keys), self._n + 1
                n = self._n
                if len(self._owed) > len(
                    group
                ):  # until the last is handed over, the file is the newer one
                    self._n += 1
                    await self._save()
                try:
                    await self._journal.put_alarms(group, states, n, all_of_them=all_of_them)
                except OutboxFullError:
                    if len(group) <= 1:
                        raise
                    size = 1  # some may fit
                    continue
                del self._owed[: len(group)]
                self._whole, self._copied = True, False
        except OutboxError as exc:
            if not self._refused:
                _log.error("the outbox takes no alarm: %s", exc.message)
            self._refused = True
            await self._save()
            if isinstance(exc, OutboxCorruptError):
                raise
        else:
            self._refused = False
            if self._copy_at_once:
                await self._copy()

    async def _copy(self) -> None:
        if not self._copied:
            await self._save()

    async def acknowledge(self, occurrence: str, *, actor: str, note: str = "") -> AlarmDraft:
        """Someone has seen it.

        Raises:
            AlarmRefusedError: the alarm's state forbids it.
        """
        now_ns = self._clock.now_ns()
        draft = self.board.acknowledge(occurrence, actor=actor, note=note, t_ns=now_ns)
        await self.publish([draft])
        return draft

    async def reset(self, occurrence: str, *, actor: str, note: str = "") -> AlarmDraft:
        """End a latched alarm.

        Raises:
            AlarmRefusedError: the alarm's state forbids it.
        """
        now_ns = self._clock.now_ns()
        draft = self.board.reset(occurrence, actor=actor, note=note, t_ns=now_ns)
        await self.publish([draft])
        return draft

    async def pressed(self, button: str) -> None:
        """A local acknowledge button: every alarm that nobody has acknowledged."""
        for state in self.board.active():
            if not state.acknowledged:
                await self.acknowledge(state.occurrence, actor=button, note="local button")

    async def command(self, command: Command) -> str:
        """An order from the cloud, already checked for signature and age; what was done.

        Raises:
            CommandRefusedError: unknown kind, or refused by the alarm's state.
        """
        acts = {"alarm.acknowledge": self.acknowledge, "alarm.reset": self.reset}
        act = acts.get(command.kind)
        if act is None:
            raise CommandRefusedError(CommandRefusal.UNKNOWN_KIND, f"no command {command.kind!r}")
        alarm, note = str(command.args.get("alarm", "")), str(command.args.get("note", ""))
        try:
            draft = await act(alarm, actor=command.actor, note=note)
        except AlarmRefusedError as exc:
            raise CommandRefusedError(
                CommandRefusal.REFUSED, f"{exc.reason.value}: {exc.message}", hint=exc.hint
            ) from exc
        return f"{draft.device} {draft.rule} {draft.change.value}"

    def views(self) -> list[AlarmView]:
        """Open alarms for people."""
        return [_view(self.board, state) for state in self.board.active()]

    async def _save(self) -> None:
        self._copied = True
        try:
            await self._file.save(self.board, self._owed, self._n)
        except OSError as exc:
            if not self._unsaved:
                _log.error("alarm states cannot be saved: %s", exc)
            self._unsaved, self._copied = True, False
        else:
            self._unsaved = False


class AlarmView(msgspec.Struct, frozen=True):
    """One open alarm."""

    alarm: str
    device: str
    rule: str
    quantity: str
    level: int
    beyond: bool
    acknowledged: bool
    actor: str
    value: float | None
    limit: float
    latched: bool
    raised_ns: int
    changed_ns: int


def _line(draft: AlarmDraft) -> str:
    value = "" if draft.value is None else f", {draft.quantity} = {draft.value:g} {draft.unit}"
    who = f" by {draft.actor}" if draft.actor else ""
    level = f"level {draft.level}"
    return f"alarm {draft.change.value}{who}: {draft.device} {draft.rule} {level}{value}"


def _view(board: AlarmBoard, state: AlarmState) -> AlarmView:
    rule = board.rule(state)
    return AlarmView(
        alarm=state.occurrence,
        device=state.device,
        rule=state.rule,
        quantity=rule.quantity,
        level=state.level,
        beyond=state.zone > 0,
        acknowledged=state.acknowledged,
        actor=state.actor,
        value=state.value,
        limit=rule.limit(state.level),
        latched=rule.latch,
        raised_ns=state.raised_ns,
        changed_ns=state.changed_ns,
    )
