"""From the fields of a form to the fact that an action carries. Pure."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.datastructures import FormData

from cloud.api.permit_bodies import GasTestBody, IsolationBody, PersonBody, RollCallBody, ToolsBody
from tocsin.errors import BadRequestError
from tocsin.permits import facts
from tocsin.permits.names import Action

POINT = "point."  # point.<quantity>.<depth>[.2]: a value; unit.<quantity>: its unit


def fact_of(action: Action, sent: FormData, actor: str) -> facts.Fact | None:
    """What an action carries, None where it carries nothing.

    Raises:
        BadRequestError: what was filled in is no such thing.
    """
    try:
        return _fact(action, sent, actor)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequestError(f"{where}: {first['msg']}") from error


def _fact(action: Action, sent: FormData, actor: str) -> facts.Fact | None:
    match action:
        case Action.ISOLATE | Action.REOPEN:
            body = IsolationBody(photo=_text(sent, "photo"))
            return facts.Isolated(_text(sent, "item"), action is Action.ISOLATE, body.photo)
        case Action.VENTILATE:
            return facts.Ventilated(_text(sent, "on") != "no")
        case Action.TEST:
            return _gas_test(sent)
        case Action.BRIEF:
            return facts.Briefed(actor)
        case Action.COUNT_TOOLS:
            tools = ToolsBody.model_validate(
                {"way": _text(sent, "way"), "count": _text(sent, "count")}
            )
            return facts.ToolsCounted(tools.way, tools.count)
        case Action.ENTER:
            return facts.Entered(PersonBody(person=_text(sent, "person")).person)
        case Action.EXIT:
            return facts.Exited(PersonBody(person=_text(sent, "person")).person)
        case Action.COUNT_PEOPLE:
            inside = tuple(v for v in sent.getlist("inside") if isinstance(v, str))
            return facts.Counted(tuple(RollCallBody(inside=inside).inside))
        case _:
            return None


def _gas_test(sent: FormData) -> facts.GasTested:
    names = [_text(sent, "instrument"), _text(sent, "instrument2")]
    points = []
    for field, value in sent.items():
        if not field.startswith(POINT) or not isinstance(value, str) or not value.strip():
            continue
        quantity, depth, *second = field.removeprefix(POINT).split(".")
        told = value.strip().replace(",", ".")
        unit = _text(sent, f"unit.{quantity}")
        instrument = names[1] if second else names[0]
        points.append(
            {"quantity": quantity, "depth": depth, "value": told, "unit": unit, "instrument": instrument}
        )  # fmt: skip
    body = GasTestBody.model_validate(
        {
            "instruments": [n for n in names if n],
            "points": points,
            "place": _text(sent, "place"),
            "temperature_c": _text(sent, "temperature_c") or None,
            "pressure_kpa": _text(sent, "pressure_kpa") or None,
            "method": _text(sent, "method"),
        }
    )
    return facts.GasTested(
        tuple(body.instruments),
        tuple(facts.Point(**p.model_dump()) for p in body.points),
        body.place,
        body.temperature_c,
        body.pressure_kpa,
        body.method,
    )


def _text(sent: FormData, name: str) -> str:
    value = sent.get(name, "")
    return value.strip() if isinstance(value, str) else ""
