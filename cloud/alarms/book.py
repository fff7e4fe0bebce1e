"""The cloud's alarms: durable, journalled, one active per source. Safe to call from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from msgspec import structs
from sqlalchemy import Connection, Engine

from cloud.alarms import records
from cloud.alarms.model import (
    Occurrence,
    acknowledged_here,
    believed,
    check_acknowledge,
    check_reset,
    is_local,
    mirrored,
    place,
    raised_by_cloud,
    returned_by_cloud,
)
from cloud.alarms.records import Entry
from cloud.alarms.silence import Condition
from cloud.db import Turns, read, write
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, Command, Event
from tocsin.contract.signing import sign
from tocsin.errors import AlarmRefusal, AlarmRefusedError, NotFoundError
from tocsin.sdk import Clock

_AT_ONCE = 64  # of the cloud's own in one commit; a gateway's alarm waits for no more
ACKNOWLEDGE, RESET = "alarm.acknowledge", "alarm.reset"
_CONFIRMS = {AlarmChange.ACKNOWLEDGED: ACKNOWLEDGE, AlarmChange.RESET: RESET}
_FORGOTTEN = ("unknown-alarm", "not-active")  # the gateway's reasons for having nothing to act on

Changed = Callable[[dict[str, object]], None]


class AlarmBook:
    """`changed` hears every alarm that moved, after its commit; `send` takes a signed command to its gateway."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        keys: Mapping[str, bytes],
        command_expires_s: float,
        changed: Changed,
        send: Callable[[Command], None],
    ) -> None:
        self._engine, self._clock, self._keys = engine, clock, keys
        self._expires_ns = int(command_expires_s * 1e9)
        self._changed, self._send = changed, send
        self._lock = Turns()
        with read(engine) as c:
            self._standing = {  # why each stands
                (str(r["gateway"]), str(r["device"]), str(r["rule"])): str(r["why"])
                for r in records.rows(c, True, 1_000_000)
                if r["origin"] == "cloud" and r["beyond"]
            }

    def mirror(self, alarm: Alarm, received_ns: int) -> bool:
        """As `mirror_all`, of one."""
        return self.mirror_all([(alarm, received_ns)]) == 1

    def mirror_all(self, told: Iterable[tuple[Alarm, int]]) -> int:
        """Transitions at gateways with when they came, in one commit; how many are news.

        A second time, under whatever number, one changes nothing.
        """
        shown: list[dict[str, object]] = []
        news = 0
        with self._lock, write(self._engine) as c:
            for alarm, received_ns in told:
                moved = self._mirror(c, alarm, received_ns)
                news += bool(moved)
                shown += [records.row(c, name) for name in moved]
        self._tell(shown)
        return news

    def _mirror(self, c: Connection, alarm: Alarm, received_ns: int) -> set[str]:
        """The alarms that moved by it."""
        before = records.get(c, alarm.alarm)
        if before is not None:
            if records.is_written(c, alarm.alarm, place(alarm)):
                return set()
            if before.gateway != alarm.gateway:
                return set()  # another gateway's alarm is not this one's to change
            if (told_ns := records.told_at(c, alarm)) is not None:
                again = structs.replace(believed(alarm, told_ns), n=1)
                records.save(c, mirrored(before, again))
                return set()
        claimed_ns, alarm = alarm.t, believed(alarm, received_ns)
        state = mirrored(before, alarm)
        moved = self._supersede(c, state, received_ns)
        state = replace(state, superseded=state.alarm in moved)
        (records.add if before is None else records.save)(c, state)
        entry = Entry(
            alarm.change.value,
            alarm.t,
            received_ns,
            alarm.actor,
            alarm.note,
            place(alarm),
            claimed_ns if claimed_ns != alarm.t else None,
        )
        told = replace(
            state,
            level=alarm.level,
            value=alarm.value,
            limit=alarm.limit,
            beyond=alarm.beyond,
            acknowledged=alarm.acknowledged,
        )
        records.write(c, told, entry)
        if (kind := _CONFIRMS.get(alarm.change)) is not None:
            records.settle_commands_of(c, alarm.alarm, kind)
        return {alarm.alarm, *moved}

    def on_event(self, event: Event, received_ns: int) -> None:
        """`command.done` and `command.refused` close a command."""
        if event.kind not in ("command.done", "command.refused"):
            return
        command = event.data.get("command", event.data.get("id"))
        if not isinstance(command, str):
            return
        done = event.kind == "command.done"
        why = str(event.data.get("reason", "")) + " " + str(event.data.get("detail", event.text))
        if not done and why.startswith("duplicate"):
            return
        with self._lock, write(self._engine) as c:
            settled = records.settle_command(c, command, "done" if done else "refused", why.strip())
            if settled is None:
                return
            alarm, kind = settled
            state = records.get(c, alarm)
            if state is None or state.gateway != event.gateway:
                return
            if not done:
                verb = kind.removeprefix("alarm.")
                at_ns = received_ns if event.data.get("clock") == "unset" else event.t
                entry = Entry(f"{verb}-refused", at_ns, received_ns, note=why.strip())
                if any(reason in why for reason in _FORGOTTEN) and state.active:
                    state = replace(state, closed_ns=received_ns, changed_ns=received_ns)
                    records.save(c, state)
                records.write(c, state, entry)
            shown = [records.row(c, alarm)]
        self._tell(shown)

    def acknowledge(self, alarm: str, actor: str, note: str) -> dict[str, object]:
        """Someone has seen it. A gateway's alarm is acknowledged once its gateway says so; until then it is pending.

        Raises:
            AlarmRefusedError: the alarm's state forbids it.
        """
        return self._act(alarm, actor, note, ACKNOWLEDGE)

    def reset(self, alarm: str, actor: str, note: str) -> dict[str, object]:
        """End a latched alarm, by way of its gateway.

        Raises:
            AlarmRefusedError: the alarm's state forbids it, above all while the value is beyond its limit.
        """
        return self._act(alarm, actor, note, RESET)

    def watch(self, conditions: Iterable[Condition]) -> None:
        """Raise and return the cloud's own alarms; one with an occasion is told anew whenever its `why` is another."""
        moved = [c for c in conditions if self._moves(c)]
        for at in range(0, len(moved), _AT_ONCE):
            part = moved[at : at + _AT_ONCE]
            self._move(part)
            for condition in part:
                if condition.standing:
                    self._standing[condition.key] = condition.why
                else:
                    self._standing.pop(condition.key, None)

    def _moves(self, condition: Condition) -> bool:
        before = self._standing.get(condition.key)
        if before is None or not condition.standing:
            return condition.standing != (before is not None)
        return bool(condition.occasion) and before != condition.why

    def expire(self) -> None:
        """Give up commands that no gateway confirmed in time."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            if not any(cmd.expires_ns <= now_ns for cmd in records.pending(c)):
                return
        with self._lock, write(self._engine) as c:
            late = [cmd for cmd in records.pending(c) if cmd.expires_ns <= now_ns]
            shown = []
            for command in late:
                alarm = str(command.args["alarm"])
                records.settle_command(c, command.id, "expired", "")
                if (state := records.get(c, alarm)) is not None:
                    verb = command.kind.removeprefix("alarm.")
                    records.write(c, state, Entry(f"{verb}-expired", now_ns, now_ns, command.actor))
                    shown.append(records.row(c, alarm))
        self._tell(shown)

    def resend(self, gateway: str | None = None) -> None:
        """Send what is pending, to one gateway or all; they know a command they have seen."""
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            waiting = records.pending(c, gateway)
        for command in waiting:
            key = self._keys.get(command.gateway)
            if key and command.expires_ns > now_ns:
                self._send(sign(command, key))

    def rows(self, *, active: bool, limit: int) -> list[dict[str, object]]:
        """Alarms, newest first."""
        with read(self._engine) as c:
            return records.rows(c, active, limit)

    def journal(self, alarm: str) -> list[dict[str, object]]:
        """Every transition of one alarm, oldest first.

        Raises:
            NotFoundError: there is no such alarm.
        """
        with read(self._engine) as c:
            entries = records.journal_of(c, alarm)
        if not entries:  # the first entry is written with the alarm
            raise NotFoundError(
                f"there is no alarm {alarm!r}", hint="`tocsin alarms list --all` names them"
            )
        return entries

    def _act(self, alarm: str, actor: str, note: str, kind: str) -> dict[str, object]:
        command: Command | None = None
        now_ns = self._clock.now_ns()
        verb = kind.removeprefix("alarm.")
        with self._lock, write(self._engine) as c:
            state = records.get(c, alarm)
            if state is None:
                raise AlarmRefusedError(AlarmRefusal.UNKNOWN_ALARM, f"there is no alarm {alarm!r}")
            (check_acknowledge if kind == ACKNOWLEDGE else check_reset)(state, actor)
            if is_local(state):
                state = acknowledged_here(state, actor, note, now_ns)
                records.save(c, state)
                records.write(c, state, Entry("acknowledged", now_ns, now_ns, actor, note))
            else:
                command = self._command(c, state, actor, note, kind, now_ns)
                records.add_command(c, command, alarm)
                records.write(c, state, Entry(f"{verb}-requested", now_ns, now_ns, actor, note))
            shown = records.row(c, alarm)
        self._tell([shown])
        if command is not None:
            self._send(sign(command, self._keys[command.gateway]))
        return shown

    def _command(
        self, c: Connection, state: Occurrence, actor: str, note: str, kind: str, now_ns: int
    ) -> Command:
        if not self._keys.get(state.gateway):
            raise AlarmRefusedError(
                AlarmRefusal.NO_COMMAND_KEY,
                f"the cloud has no command key for gateway {state.gateway!r}",
                hint="set command_key of this gateway in cloud.toml, or act at the gateway",
            )
        same = (cmd for cmd in records.pending(c, state.gateway) if cmd.kind == kind)
        if any(cmd.args["alarm"] == state.alarm for cmd in same):
            raise AlarmRefusedError(
                AlarmRefusal.ON_ITS_WAY, "this was asked before and waits for the gateway"
            )
        return Command(
            v=VERSION,
            id=ulid(now_ns),
            site=state.site,
            gateway=state.gateway,
            kind=kind,
            actor=actor,
            issued_ns=now_ns,
            expires_ns=now_ns + self._expires_ns,
            args={"alarm": state.alarm, "note": note},
        )

    def _move(self, conditions: Iterable[Condition]) -> None:
        shown: list[dict[str, object]] = []
        with self._lock, write(self._engine) as c:
            for condition in conditions:
                moved = self._moved(c, condition, self._clock.now_ns())
                shown += [records.row(c, alarm) for alarm in moved]
        self._tell(shown)

    def _moved(self, c: Connection, condition: Condition, now_ns: int) -> list[str]:
        """The alarms that moved."""
        before = records.open_cloud_alarm(c, *condition.key)
        moved: list[str] = []
        if condition.standing:
            if before is not None and condition.occasion:
                known = self._standing.get(condition.key, "")
                if before.beyond and known.startswith(condition.occasion + ";"):
                    state = replace(before, changed_ns=now_ns)
                    return [self._kept(c, state, "noted", condition.why, now_ns)]
                moved.append(self._set_aside(c, before, now_ns))
                before = None
            state = raised_by_cloud(
                before,
                alarm=ulid(now_ns),
                site=condition.site,
                gateway=condition.gateway,
                device=condition.device,
                measurement=condition.measurement,
                rule=condition.rule,
                t_ns=now_ns,
                level=condition.level,
            )
            change = "raised"
        elif before is not None:
            state, change = returned_by_cloud(before, now_ns), "returned"
        else:
            return []
        return [*moved, self._kept(c, state, change, condition.why, now_ns)]

    @staticmethod
    def _kept(c: Connection, state: Occurrence, change: str, note: str, now_ns: int) -> str:
        records.save(c, state)
        records.write(c, state, Entry(change, now_ns, now_ns, note=note))
        return state.alarm

    def _set_aside(self, c: Connection, before: Occurrence, now_ns: int) -> str:
        """Another occasion of the same rule takes its place; one that still stood returns by it."""
        if before.beyond:
            before = returned_by_cloud(before, now_ns)
            self._kept(c, before, "returned", "", now_ns)
        return self._kept(c, replace(before, superseded=True), "superseded", "", now_ns)

    def _supersede(self, c: Connection, state: Occurrence, now_ns: int) -> set[str]:
        """Of two alarms of one rule only the newer one can be open; the older one's journal says why it ended."""
        moved: set[str] = set()
        for other in records.siblings(c, state):
            if other.first_key > state.first_key:
                moved.add(state.alarm)
                continue
            was_active = other.active
            other = replace(other, superseded=True)
            records.save(c, other)
            if was_active:
                records.write(c, other, Entry("superseded", now_ns, now_ns, note=state.alarm))
            moved.add(other.alarm)
        return moved

    def _tell(self, shown: Iterable[dict[str, object]]) -> None:
        for told in shown:
            self._changed(told)
