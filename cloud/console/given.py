"""What a device can be told and what it was told, as its page shows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cloud.api.rows import Row, flag, number, row_of, rows_of, text, whole
from cloud.api.services import Services

SHOWN = 20


@dataclass(frozen=True, slots=True)
class ArgumentView:
    """One field of a form. `type`: number, integer, text, flag."""

    name: str
    type: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class FormView:
    """One command that can be given."""

    name: str
    title: str
    arguments: tuple[ArgumentView, ...]


@dataclass(frozen=True, slots=True)
class GivenView:
    """One command that was given."""

    id: str
    what: str
    actor: str
    state: str
    text: str
    given_ns: int
    told: bool
    can_be_confirmed: bool
    by_another: bool
    confirms: str


@dataclass(frozen=True, slots=True)
class Commands:
    """Both, for one device."""

    takes: tuple[FormView, ...]
    given: tuple[GivenView, ...]


async def commands_of(parts: Services, site: str, device: str) -> Commands:
    """What the device announced, and its newest commands."""
    devices, rows = await asyncio.gather(
        parts.spine.call("devices"),
        parts.spine.call("commands", site=site, device=device, limit=SHOWN),
    )
    takes: tuple[FormView, ...] = ()
    for row in rows_of(devices):
        if (text(row, "site"), text(row, "device")) == (site, device):
            announced = row_of(row.get("announced"))
            takes = tuple(map(_form, rows_of(announced.get("commands")))) or takes
    now_ns = parts.clock.now_ns()
    return Commands(takes, tuple(given_view(r, now_ns) for r in rows_of(rows)))


def _form(row: Row) -> FormView:
    arguments = tuple(map(_argument, rows_of(row.get("arguments"))))
    return FormView(text(row, "name"), text(row, "title"), arguments)


def _argument(row: Row) -> ArgumentView:
    choices = row.get("choices")
    return ArgumentView(
        name=text(row, "name"),
        type=text(row, "type") or "number",
        unit=text(row, "unit"),
        low=number(row, "low"),
        high=number(row, "high"),
        choices=tuple(map(str, choices)) if isinstance(choices, list | tuple) else (),
        required=row.get("required") is not False,
    )


def given_view(row: Row, now_ns: int) -> GivenView:
    """From what the spine says of a command."""
    args = row_of(row.get("args"))
    confirms = text(row, "confirms")
    pairs = [] if confirms else [f"{k}={v}" for k, v in args.items()]
    state = text(row, "state")
    return GivenView(
        id=text(row, "id"),
        what=" ".join([text(row, "name"), *pairs]),
        actor=text(row, "actor"),
        state=state,
        text=text(row, "text"),
        given_ns=whole(row, "issued_ns"),
        told=flag(row, "told"),
        can_be_confirmed=state == "armed" and whole(row, "confirm_until_ns") > now_ns,
        by_another=text(row, "confirm_by") == "another",
        confirms=confirms,
    )
