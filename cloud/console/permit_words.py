"""What the rules of permits say, as one sentence in the reader's language. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloud.api.rows import Row, row_of, text
from cloud.console.show import unit
from cloud.console.words import Language, quantity_name
from tocsin.permits import facts
from tocsin.permits.gas_limits import beyond
from tocsin.permits.journal import Entry
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.rule_rows import Rules, Topic
from tocsin.permits.sentences import SENTENCES
from tocsin.permits.space import Template
from tocsin.permits.words import said

Translate = Callable[..., str]
NOT_MINE = frozenset(
    {"wrong-state", "role-not-held", "role-may-not", "not-named", "unknown-person"}
)
TRIED_WITHOUT = (
    "malformed"  # an action that carries something is asked for without it: it may be done
)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A row of the rules as it is quoted beside a refusal."""

    id: str
    text: str
    citation: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in one sentence, and by which row."""

    reason: str
    sentence: str
    rule: Quoted | None


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


class PermitWords:
    """The words of one reader for one permit; `template` names its isolations."""

    def __init__(self, t: Translate, lang: Language, template: Template | None = None) -> None:
        self._t, self._lang = t, lang
        isolations = template.isolations if template else ()
        self._items = {i.id: i.text_zh if lang == "zh" else i.text_en for i in isolations}

    def refusal(self, told: Row) -> Refusal:
        """From the documented object: reason, args, rule."""
        reason, args = text(told, "reason"), row_of(told.get("args"))
        shown = _Blank({k: self._argument(k, str(v)) for k, v in args.items()})
        if reason in set(PermitRefusal):
            pair = SENTENCES[PermitRefusal(reason)]
            sentence = pair[0 if self._lang == "zh" else 1].format_map(shown)
        else:  # newer rules than words
            sentence = f"{reason} {', '.join(shown.values())}".strip()
        rule = row_of(told.get("rule"))
        return Refusal(reason, sentence, self._quoted(rule) if rule else None)

    def _quoted(self, rule: Row) -> Quoted:
        quoted = text(rule, f"text_{self._lang}")
        return Quoted(
            text(rule, "id"), quoted, text(rule, "citation"), rule.get("verified") is True
        )

    def _argument(self, name: str, value: str) -> str:
        match name:
            case "quantity":
                return quantity_name("gas", value, self._lang)
            case "unit":
                return unit(value)
            case "item":
                return self.item(value)
            case "field":
                return self._known(f"permit.{value}", value)
            case _:
                return said(name, value, self._lang)

    def _known(self, key: str, otherwise: str, **args: object) -> str:
        told = self._t(key, **args)
        return otherwise if told == key else told

    def word(self, kind: str, value: str) -> str:
        """A state, role, action, cause or depth as it stands alone."""
        told = said(kind, value, self._lang)
        return told[:1].upper() + told[1:]

    def item(self, name: str) -> str:
        """An isolation, a box of the checklist, a piece of equipment."""
        return self._items.get(name) or self._known(f"permit_item.{name}", name)

    def fact(
        self, entry: Entry, rules: Rules | None = None, holders: Mapping[str, str] | None = None
    ) -> str:
        """What an entry of the journal says happened; `holders` names who holds a grant, by its id."""
        fact, t = entry.fact, self._t
        match fact:
            case facts.Moved():
                source, target = (self.word("state", s.value) for s in (fact.source, fact.target))
                moved = t("permit_fact.moved", source=source, target=target)
                why = self.word("cause", fact.cause.value) if fact.cause else ""
                more = [why, *fact.conflicts, fact.place]
                return " · ".join([moved, *(m for m in more if m)])
            case facts.Isolated(item, on):
                return t(f"permit_fact.{'isolated' if on else 'reopened'}", item=self.item(item))
            case facts.Ventilated(on):
                return t(f"permit_fact.ventilation_{'on' if on else 'off'}")
            case facts.GasTested():
                same = rules if rules is not None and rules.version == entry.rules else None
                return t("permit_fact.gas-tested", values=self._points(fact, same))
            case facts.LockTold(cti=cti) if holders and cti in holders:
                return t("permit_fact.lock-told_by", **_fields(fact), account=holders[cti])
            case facts.ToolsCounted(way, count):
                return t(f"permit_fact.tools_{way}", count=count)
            case facts.Counted(inside):
                people = ", ".join(inside) or t("permit.nobody")
                return t("permit_fact.counted", people=people)
            case facts.Noted(what, detail):
                plain = t("permit_fact.noted", what=what, detail=detail)
                known = f"permit_fact.noted_{what}"
                return self._known(known, plain, detail=detail)
            case facts.Drafted():
                return t("permit_fact.drafted")
            case _:
                return t(f"permit_fact.{_tag(fact)}", **_fields(fact))

    def _points(self, test: facts.GasTested, rules: Rules | None) -> str:
        by_gas: dict[str, list[str]] = {}
        for p in test.points:
            by_gas.setdefault(
                f"{quantity_name('gas', p.quantity, self._lang)}|{p.unit}", []
            ).append(self._point(p, rules))
        shown = (
            f"{k.partition('|')[0]} {'/'.join(v)} {unit(k.partition('|')[2])}"
            for k, v in by_gas.items()
        )
        return f"{', '.join(shown)} ({', '.join(test.instruments)})"

    def _point(self, p: facts.Point, rules: Rules | None) -> str:
        """A value, marked where it is beyond the limits that it was judged by."""
        wrong = None
        if rules is not None:
            wrong = beyond(rules, Topic.GAS, p.quantity, p.value, p.unit, p.depth)
        if wrong is None or wrong.reason is not PermitRefusal.LIMIT_EXCEEDED:
            return f"{p.value:g}"
        return self._t("permit_fact.beyond", value=f"{p.value:g}", limit=wrong.args["limit"])


def _tag(fact: object) -> str:
    config = getattr(type(fact), "__struct_config__", None)
    return str(config.tag) if config is not None else type(fact).__name__


def _fields(fact: object) -> Mapping[str, object]:
    return {name: getattr(fact, name) for name in getattr(type(fact), "__struct_fields__", ())}
