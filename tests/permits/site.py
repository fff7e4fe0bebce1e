"""A site for tests: one space, its crew, an instrument or two, and a permit that goes through decide()."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tocsin.config.rule_packs import load_rules, load_template
from tocsin.permits import facts
from tocsin.permits.context import Account, Conditions, Context, Instrument, Reading
from tocsin.permits.decide import decide
from tocsin.permits.intervals import NS
from tocsin.permits.journal import CLOUD, Entry, faults
from tocsin.permits.merge import merge
from tocsin.permits.names import Action, Cause, Role, State, TimeQuality
from tocsin.permits.outcomes import Accepted, Effect, Outcome, Refused
from tocsin.permits.permit import Permit, permit_of
from tocsin.permits.requests import Request
from tocsin.permits.space import Space
from tocsin.permits.writing import written

CONFIGS = Path("configs/rules")
RULES = load_rules(CONFIGS / "cn-industry-trade.toml")
SEWER = load_template(CONFIGS / "hazards" / "sewer.toml")
TANK = load_template(CONFIGS / "hazards" / "tank-toxic.toml")
MIN = 60 * NS
START_NS = 1_790_000_000 * NS
END_NS = START_NS + 8 * 60 * MIN
SPACE = Space("well-7", "north", "gw-1", "Well 7", "sewer", RULES.name, "QR-7", locks=("lock-7",))
CREW = {
    "zhao": {Role.APPLICANT},
    "qian": {Role.APPROVER},
    "feng": {Role.APPROVER},
    "sun": {Role.GAS_TESTER},
    "li": {Role.ATTENDANT},
    "zhou": {Role.ENTRANT},
    "wu": {Role.ENTRANT},
    "zheng": {Role.ENTRANT},
    "wang": {Role.RESCUE},
    "bureau": {Role.REGULATOR},
    "tech": {Role.TECHNICIAN},
}
PEOPLE = {
    name: Account(name, frozenset(roles), END_NS + NS, END_NS + NS) for name, roles in CREW.items()
}
INSTRUMENTS = {
    name: Instrument(name, calibrated_ns=START_NS - 1, bumped_ns=START_NS - 1)
    for name in ("gd-1", "gd-2")
}
FORM = facts.Form(
    space=SPACE.id,
    template=SEWER.id,
    purpose="clear the pump",
    steps=("ventilate", "test", "clear"),
    work_leader="zhao",
    attendants=("li",),
    entrants=("zhou", "wu", "zheng"),
    gas_tester="sun",
    rescue_plan="tripod and winch, team at gate 2",
    rescue_call="119",
    from_ns=START_NS,
    until_ns=END_NS,
    equipment=SEWER.equipment,
    checklist=SEWER.checklist,
)
GOOD = {"o2": (20.9, "%{vol}"), "ex": (0.0, "%{LEL}"), "h2s": (1.0, "[ppm]"), "co": (2.0, "[ppm]")}


def gas_values(**changed: float) -> dict[str, tuple[float, str]]:
    """Good air, some values changed."""
    return GOOD | {q: (v, GOOD[q][1]) for q, v in changed.items()}


class Site:
    """A permit, its journal, and everything around it; time only moves when told."""

    def __init__(self, source: str = CLOUD) -> None:
        self.now_ns = START_NS
        self.entries: list[Entry] = []
        self.air = gas_values()
        self.measured_ns: int | None = None  # None: just now
        self.attendant_ns: int | None = None
        self.effects: list[Effect] = []
        self.context = Context(
            rules=RULES,
            space=SPACE,
            template=SEWER,
            people=PEOPLE,
            instruments=INSTRUMENTS,
            source=source,
        )
        self.live = Conditions()

    def state(self) -> State:
        """Of the permit."""
        return self.permit.state

    @property
    def permit(self) -> Permit:
        """As the journal tells it."""
        return permit_of("P1", merge(self.entries))

    def look(self) -> Context:
        """The context now."""
        at_ns = self.now_ns if self.measured_ns is None else self.measured_ns
        heard_ns = self.now_ns if self.attendant_ns is None else self.attendant_ns
        readings = tuple(Reading("gas-1", q, v, u, at_ns) for q, (v, u) in self.air.items())
        conditions = msgspec.structs.replace(self.live, readings=readings, attendant_ns=heard_ns)
        return msgspec.structs.replace(self.context, conditions=conditions)

    def change(self, **changes: object) -> None:
        """Something around the permit is otherwise."""
        self.context = msgspec.structs.replace(self.context, **changes)

    def form(self, **changes: object) -> facts.Drafted:
        """The form, some fields changed."""
        return facts.Drafted(msgspec.structs.replace(FORM, **changes))

    def test(self, instruments: tuple[str, ...] = ("gd-1",), **changed: float) -> facts.GasTested:
        """A gas test of everything at every depth."""
        template = self.context.template
        assert template is not None
        points = tuple(
            facts.Point(depth, gas, *gas_values(**changed)[gas], name)
            for name in instruments
            for gas in template.gases
            for depth in template.depths
        )
        return facts.GasTested(instruments, points, "QR-7")

    def request(self, request: Request) -> Outcome:
        """Decide, and write what came of it."""
        outcome = decide(self.permit, request, self.look(), self.now_ns)
        told = outcome.facts if isinstance(outcome, Accepted) else outcome.keep
        self.entries += written(
            "P1",
            self.entries,
            self.context.source,
            request,
            told,
            self.now_ns,
            TimeQuality.SYNCED,
            RULES.version,
        )
        assert faults(self.entries) == []
        if isinstance(outcome, Accepted):
            self.effects += outcome.effects
        return outcome

    def ask(
        self,
        action: Action,
        actor: str,
        said: facts.Fact | None = None,
        *,
        role: Role | None = None,
        reason: str = "because",
        cause: Cause | None = None,
        place: str = "QR-7",
    ) -> Outcome:
        """A request of somebody in the role they hold."""
        capacity = role or (min(CREW[actor]) if actor in CREW else Role.SYSTEM)
        return self.request(Request(action, actor, capacity, reason, said, cause, place))

    def must(
        self, action: Action, actor: str, said: facts.Fact | None = None, role: Role | None = None
    ) -> Accepted:
        """A request that has to be accepted."""
        outcome = self.ask(action, actor, said, role=role)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def why(
        self, action: Action, actor: str, said: facts.Fact | None = None, role: Role | None = None
    ) -> str:
        """The reason of a request that has to be refused."""
        outcome = self.ask(action, actor, said, role=role)
        assert isinstance(outcome, Refused), outcome
        return outcome.reason.value

    def to_submitted(self) -> Site:
        """Drafted and submitted."""
        self.must(Action.DRAFT, "zhao", self.form())
        self.must(Action.SUBMIT, "zhao")
        return self

    def to_prepared(self) -> Site:
        """Isolated, and ventilated for long enough."""
        self.to_submitted().must(Action.PREPARE, "qian")
        template = self.context.template
        assert template is not None
        for item in template.isolations:
            self.must(Action.ISOLATE, "zhao", facts.Isolated(item.id, photo="ab" * 32))
        self.must(Action.VENTILATE, "zhao", facts.Ventilated())
        self.now_ns += 31 * MIN
        return self

    def to_tested(self) -> Site:
        """A good test."""
        self.to_prepared().must(Action.TEST, "sun", self.test())
        return self

    def to_briefed(self) -> Site:
        """Everybody has signed, tools are counted."""
        self.to_tested()
        for person in (*FORM.entrants, "li"):
            self.must(Action.BRIEF, person, facts.Briefed(person))
        self.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("in", 5))
        return self

    def to_approved(self) -> Site:
        """Approved on site, by two where the template says so."""
        self.to_briefed().approve()
        return self

    def approve(self) -> None:
        """As many as it takes."""
        self.must(Action.APPROVE, "qian")
        if self.context.template and self.context.template.four_eyes:
            self.must(Action.APPROVE, "feng")

    def to_active(self, *inside: str) -> Site:
        """The attendant has released the lock; some have gone in."""
        self.to_approved().must(Action.ACTIVATE, "li")
        for person in inside:
            self.must(Action.ENTER, "li", facts.Entered(person))
        return self

    def to_suspended(self, *inside: str) -> Site:
        """Stopped by the attendant."""
        self.to_active(*inside).must(Action.SUSPEND, "li")
        return self

    def to_emergency(self, *inside: str) -> Site:
        """Somebody needs help."""
        self.to_active(*inside).must(Action.EMERGENCY, "zhou")
        return self

    def to_closing(self, *inside: str) -> Site:
        """The work is done."""
        self.to_active(*inside).must(Action.FINISH, "zhao")
        return self

    def to_expired(self, *inside: str) -> Site:
        """Its time is over."""
        self.to_active(*inside)
        self.now_ns = END_NS
        self.must(Action.EXPIRE, "cloud", role=Role.SYSTEM)
        return self

    def settle(self) -> None:
        """Tools out, isolations handed back."""
        self.settle_tools()
        self.must(Action.HAND_BACK, "zhao")

    def settle_tools(self) -> None:
        """As many out as went in."""
        self.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("out", 5))

    def to_closed(self) -> Site:
        """Closed by both."""
        self.to_closing().settle()
        self.must(Action.CLOSE, "li")
        self.must(Action.CLOSE, "qian")
        return self
