"""A permit in force, taken there by the shared rules as the cloud does, and as the cloud tells a gateway of it."""

from __future__ import annotations

import time

import msgspec

from tocsin.cli.data import data_dir
from tocsin.config.rule_packs import load_rules, load_template
from tocsin.grants.grant import Grant
from tocsin.lab.children import LabError
from tocsin.permits import facts
from tocsin.permits.context import Account, Conditions, Context, Instrument, Reading
from tocsin.permits.decide import decide
from tocsin.permits.intervals import NS
from tocsin.permits.journal import CLOUD, Entry
from tocsin.permits.messages import PermitDown, Person, SealedGrant
from tocsin.permits.names import Action, Role, TimeQuality
from tocsin.permits.outcomes import Accepted
from tocsin.permits.permit import permit_of
from tocsin.permits.requests import Request
from tocsin.permits.signing import sign_down
from tocsin.permits.space import Space
from tocsin.permits.writing import written

RULES = "cn-industry-trade"
TEMPLATE = "sewer"
_CREW = {
    "applicant": Role.APPLICANT, "approver-1": Role.APPROVER, "approver-2": Role.APPROVER, "tester": Role.GAS_TESTER,
    "attendant": Role.ATTENDANT, "entrant-1": Role.ENTRANT, "entrant-2": Role.ENTRANT,
}  # fmt: skip
_AIR = {"o2": (20.9, "%{vol}"), "ex": (0.0, "%{LEL}"), "h2s": (1.0, "[ppm]"), "co": (2.0, "[ppm]")}
_ENTRANTS = ("entrant-1", "entrant-2")
_AGO_S, _VENTILATED_S, _LASTS_S = 2400, 1860, 8 * 3600
_CODE = "label-1"  # what is read at the space


class PermitMaker:
    """Makes permits that are active now, one for each space."""

    def __init__(self, site: str, gateway: str) -> None:
        folder = data_dir("configs") / "rules"
        self._site, self._gateway = site, gateway
        self.rules = load_rules(folder / f"{RULES}.toml")
        self.template = load_template(folder / "hazards" / f"{TEMPLATE}.toml")
        until_ns = time.time_ns() + 1000 * 3600 * NS
        self._until_ns = until_ns
        self._people = {n: Account(n, frozenset({r}), until_ns, until_ns) for n, r in _CREW.items()}

    def down(
        self,
        permit: str,
        space: str,
        gas: str,
        key: bytes,
        lock: str = "",
        grant: Grant | None = None,
    ) -> bytes:
        """The message for `down/permit`, signed: `permit` is active at `space`, `gas` watches it.

        With a grant for `lock` nobody is inside yet, without one two people are.
        """
        now_ns = time.time_ns()
        place = Space(
            space, self._site, self._gateway, space, self.template.id, self.rules.name, _CODE,
            locks=(lock,) if lock else (),
        )  # fmt: skip
        journal = _Journal(
            permit,
            Context(
                rules=self.rules,
                space=place,
                template=self.template,
                people=self._people,
                instruments={"gd-1": Instrument("gd-1", now_ns - 3600 * NS, 0, now_ns - 3600 * NS)},
            ),
            gas,
            now_ns - _AGO_S * NS,
        )
        self._release(journal, now_ns)
        if grant is None:
            for person in _ENTRANTS:
                journal.must(Action.ENTER, "attendant", facts.Entered(person))
        else:
            claims = grant.claims
            noted = facts.GrantNoted(
                claims.cti.hex(), lock, claims.sub.hex(), claims.exp * NS, account="attendant"
            )
            journal.must(Action.GRANT, CLOUD, noted)
        people = tuple(
            Person(n, n, (r.value,), trained_until_ns=self._until_ns, fit_until_ns=self._until_ns)
            for n, r in _CREW.items()
        )
        told = PermitDown(
            v=1, permit=permit, gateway=self._gateway, space=place, template=self.template, rules=self.rules,
            entries=tuple(journal.entries), people=people, instruments=tuple(journal.context.instruments.values()),
            grants=(SealedGrant(grant.raw),) if grant else (),
        )  # fmt: skip
        return msgspec.json.encode(sign_down(told, key))

    def _release(self, journal: _Journal, now_ns: int) -> None:
        template = self.template
        form = facts.Form(
            space=journal.space, template=template.id, purpose="bench", steps=("enter",), work_leader="applicant",
            attendants=("attendant",), entrants=_ENTRANTS, gas_tester="tester", rescue_plan="winch", rescue_call="119",
            from_ns=journal.now_ns, until_ns=now_ns + _LASTS_S * NS, equipment=template.equipment,
            checklist=template.checklist,
        )  # fmt: skip
        journal.must(Action.DRAFT, "applicant", facts.Drafted(form))
        journal.must(Action.SUBMIT, "applicant")
        journal.must(Action.PREPARE, "approver-1")
        for item in template.isolations:
            journal.must(Action.ISOLATE, "applicant", facts.Isolated(item.id, photo="ab" * 32))
        journal.must(Action.VENTILATE, "applicant", facts.Ventilated())
        journal.now_ns += _VENTILATED_S * NS
        points = tuple(
            facts.Point(depth, gas, *_AIR[gas], "gd-1")
            for gas in template.gases
            for depth in template.depths
        )
        journal.must(Action.TEST, "tester", facts.GasTested(("gd-1",), points, _CODE))
        for person in (*_ENTRANTS, "attendant"):
            journal.must(Action.BRIEF, person, facts.Briefed(person))
        journal.must(Action.COUNT_TOOLS, "attendant", facts.ToolsCounted("in", 1))
        journal.must(Action.APPROVE, "approver-1")
        if template.four_eyes:
            journal.must(Action.APPROVE, "approver-2")
        journal.now_ns = now_ns
        journal.must(Action.ACTIVATE, "attendant")


class _Journal:
    """The cloud's entries of one permit, each decided by the rules."""

    def __init__(self, permit: str, context: Context, gas: str, now_ns: int) -> None:
        self.permit, self.context, self.now_ns = permit, context, now_ns
        self.space = context.space.id if context.space else ""
        self._gas = gas
        self.entries: list[Entry] = []

    def must(self, action: Action, actor: str, said: facts.Fact | None = None) -> None:
        """Decide, and write what came of it. Raises LabError where it is refused."""
        readings = tuple(Reading(self._gas, q, v, u, self.now_ns) for q, (v, u) in _AIR.items())
        live = Conditions(readings=readings, attendant_ns=self.now_ns)
        context = msgspec.structs.replace(self.context, conditions=live)
        request = Request(action, actor, _CREW.get(actor, Role.SYSTEM), "bench", said, place=_CODE)
        outcome = decide(permit_of(self.permit, self.entries), request, context, self.now_ns)
        if not isinstance(outcome, Accepted):
            raise LabError(f"the bench's permit: {action} is refused: {outcome.reason}")
        self.entries += written(
            self.permit, self.entries, CLOUD, request, outcome.facts, self.now_ns, TimeQuality.SYNCED, self.rules_version,
        )  # fmt: skip

    @property
    def rules_version(self) -> str:
        """Of the pack that every entry names."""
        return self.context.rules.version
