"""Occurrences, journal and commands in the state database; every call belongs to its caller's transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from cloud.alarms.model import Occurrence
from cloud.alarms.tables import alarms, commands, journal
from tocsin.contract.messages import VERSION, Alarm, Command

TELLS_WHY = ("raised", "noted")  # the transitions whose note says why a cloud's own alarm stands
_FIELDS = tuple(f.name for f in fields(Occurrence))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `place` is unique within the alarm; "" numbers it here."""

    change: str
    t_ns: int
    recorded_ns: int
    actor: str = ""
    note: str = ""
    place: str = ""
    claimed_ns: int | None = None


def get(c: Connection, alarm: str) -> Occurrence | None:
    """One alarm."""
    row = c.execute(select(alarms).where(alarms.c.alarm == alarm)).mappings().first()
    return _occurrence(row) if row is not None else None


def add(c: Connection, state: Occurrence) -> None:
    """A new one."""
    c.execute(insert(alarms).values(**_values(state)))


def save(c: Connection, state: Occurrence) -> None:
    """Insert or replace it."""
    done = c.execute(update(alarms).where(alarms.c.alarm == state.alarm).values(**_values(state)))
    if not done.rowcount:
        add(c, state)


def _values(state: Occurrence) -> dict[str, object]:
    return {**asdict(state), "active": state.active, "ended_ns": state.ended_ns}


def open_cloud_alarm(c: Connection, gateway: str, device: str, rule: str) -> Occurrence | None:
    """The open alarm that the cloud itself raised for this source."""
    row = (
        c.execute(
            select(alarms).where(
                alarms.c.gateway == gateway,
                alarms.c.device == device,
                alarms.c.quantity == "",
                alarms.c.rule == rule,
                alarms.c.active.is_(True),
            )
        )
        .mappings()
        .first()
    )
    return _occurrence(row) if row is not None else None


def siblings(c: Connection, state: Occurrence) -> list[Occurrence]:
    """Other alarms of the same rule that matter: those not yet superseded, and the newest."""
    same = (
        (alarms.c.gateway == state.gateway)
        & (alarms.c.device == state.device)
        & (alarms.c.quantity == state.quantity)
        & (alarms.c.rule == state.rule)
        & (alarms.c.alarm != state.alarm)
    )
    rows = c.execute(select(alarms).where(same, alarms.c.superseded.is_(False))).mappings()
    return [_occurrence(row) for row in rows]


def write(c: Connection, state: Occurrence, entry: Entry) -> None:
    """Append to the journal, which nothing ever changes."""
    place = entry.place
    if not place:
        n = c.scalar(select(func.count()).where(journal.c.alarm == state.alarm)) or 0
        place = f"cloud:{n:09d}"
    c.execute(
        insert(journal).values(
            alarm=state.alarm,
            place=place,
            t_ns=entry.t_ns,
            recorded_ns=entry.recorded_ns,
            claimed_ns=entry.claimed_ns,
            change=entry.change,
            level=state.level,
            value=state.value,
            unit=state.unit,
            limit=state.limit,
            beyond=state.beyond,
            acknowledged=state.acknowledged,
            actor=entry.actor,
            note=entry.note,
        )
    )


def is_written(c: Connection, alarm: str, place: str) -> bool:
    """Whether this transition is in the journal."""
    found = c.scalar(select(journal.c.id).where(journal.c.alarm == alarm, journal.c.place == place))
    return found is not None


def told_at(c: Connection, event: Alarm) -> int | None:
    """When it was, if the gateway told it before under another number (killed in between, it tells it again)."""
    found: int | None = c.scalar(
        select(journal.c.t_ns).where(
            journal.c.alarm == event.alarm,
            journal.c.change == event.change.value,
            func.coalesce(journal.c.claimed_ns, journal.c.t_ns) == event.t,
            ~journal.c.place.startswith("cloud:"),
        )
    )
    return found


def journal_of(c: Connection, alarm: str) -> list[dict[str, object]]:
    """Every transition, oldest first."""
    query = select(journal).where(journal.c.alarm == alarm).order_by(journal.c.t_ns, journal.c.id)
    return [dict(row) for row in c.execute(query).mappings()]


def rows(c: Connection, active: bool, limit: int) -> list[dict[str, object]]:
    """Alarms, newest first, with what operators asked for and no gateway has confirmed yet."""
    query = select(alarms).order_by(alarms.c.raised_ns.desc(), alarms.c.alarm.desc()).limit(limit)
    if active:
        query = query.where(alarms.c.active.is_(True))
    asked: dict[str, list[str]] = {}
    waiting = select(commands.c.alarm, commands.c.kind).where(commands.c.state == "pending")
    for alarm, kind in c.execute(waiting):
        asked.setdefault(alarm, []).append(kind.removeprefix("alarm."))
    whys = _whys(c, query)
    return [_told(row, asked, whys) for row in c.execute(query).mappings()]


def _whys(c: Connection, query: Select[Any]) -> dict[str, str]:
    """Why each of the cloud's own stands, or stood last."""
    own = query.where(alarms.c.origin == "cloud").with_only_columns(alarms.c.alarm)
    newest = (
        select(func.max(journal.c.id))
        .where(journal.c.alarm.in_(own), journal.c.change.in_(TELLS_WHY))
        .group_by(journal.c.alarm)
    )
    told = select(journal.c.alarm, journal.c.note).where(journal.c.id.in_(newest))
    return {row.alarm: row.note for row in c.execute(told)}


def row(c: Connection, alarm: str) -> dict[str, object]:
    """One alarm as `rows` tells it."""
    waiting = select(commands.c.kind).where(
        commands.c.alarm == alarm, commands.c.state == "pending"
    )
    asked = {alarm: [kind.removeprefix("alarm.") for (kind,) in c.execute(waiting)]}
    query = select(alarms).where(alarms.c.alarm == alarm)
    return _told(c.execute(query).mappings().one(), asked, _whys(c, query))


def add_command(c: Connection, command: Command, alarm: str) -> None:
    """Keep a command until its gateway confirms it."""
    c.execute(
        insert(commands).values(
            id=command.id,
            alarm=alarm,
            site=command.site,
            gateway=command.gateway,
            kind=command.kind,
            actor=command.actor,
            note=str(command.args.get("note", "")),
            issued_ns=command.issued_ns,
            expires_ns=command.expires_ns,
            state="pending",
            detail="",
        )
    )


def pending(c: Connection, gateway: str | None = None) -> list[Command]:
    """Commands nobody has confirmed, oldest first, unsigned."""
    query = select(commands).where(commands.c.state == "pending").order_by(commands.c.id)
    if gateway is not None:
        query = query.where(commands.c.gateway == gateway)
    return [
        Command(
            v=VERSION,
            id=r["id"],
            site=r["site"],
            gateway=r["gateway"],
            kind=r["kind"],
            actor=r["actor"],
            issued_ns=r["issued_ns"],
            expires_ns=r["expires_ns"],
            args={"alarm": r["alarm"], "note": r["note"]},
        )
        for r in c.execute(query).mappings()
    ]


def settle_command(c: Connection, command: str, state: str, detail: str) -> tuple[str, str] | None:
    """Close a pending command; its (alarm, kind), or None when it was not pending."""
    found = c.execute(
        select(commands.c.alarm, commands.c.kind).where(
            commands.c.id == command, commands.c.state == "pending"
        )
    ).first()
    if found is None:
        return None
    c.execute(update(commands).where(commands.c.id == command).values(state=state, detail=detail))
    return str(found[0]), str(found[1])


def settle_commands_of(c: Connection, alarm: str, kind: str) -> None:
    """The gateway's own transition shows that they were carried out, or are moot."""
    c.execute(
        update(commands)
        .where(commands.c.alarm == alarm, commands.c.kind == kind, commands.c.state == "pending")
        .values(state="done")
    )


def _occurrence(found: RowMapping) -> Occurrence:
    return Occurrence(**{name: found[name] for name in _FIELDS})


_INTERNAL = ("first_key", "head_key", "ack_key", "return_key", "reset_key")


def _told(
    found: RowMapping, asked: dict[str, list[str]], whys: dict[str, str]
) -> dict[str, object]:
    told = {name: value for name, value in found.items() if name not in _INTERNAL}
    told["pending"] = asked.get(found["alarm"], [])
    told["why"] = whys.get(found["alarm"], "")
    return told
