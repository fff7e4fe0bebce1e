"""Whatever anybody asks, in whatever order, on cloud and gateway, told one another or not: what must never be, is not."""

from __future__ import annotations

from itertools import product

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.permits.site import CREW, END_NS, FORM, MIN, PEOPLE, RULES, START_NS, Site, gas_values
from tocsin.permits import facts
from tocsin.permits.context import Context, Other
from tocsin.permits.decide import decide
from tocsin.permits.due import due
from tocsin.permits.grant_policy import GrantUntil, may_issue, may_relock, may_unlock
from tocsin.permits.journal import CLOUD, Entry, entry_hash, faults, gateway_source
from tocsin.permits.merge import merge
from tocsin.permits.names import IN_FORCE, MAY_HAVE_GRANTS, Action, Role, State, TimeQuality
from tocsin.permits.outcomes import Accepted
from tocsin.permits.permit import Permit, fold, permit_of
from tocsin.permits.requests import Request
from tocsin.permits.transitions import TRANSITIONS
from tocsin.permits.writing import written

GATEWAY = gateway_source("gw-1")
PERMITS = ("P1", "P2")
SITE = Site()
WHO = st.sampled_from(sorted(CREW))
INSIDE = st.sampled_from(("zhou", "wu", "zheng", "wang"))
ROLES = st.sampled_from(sorted(Role))
STOPS = st.sampled_from((Action.SUSPEND, Action.SOS, Action.EMERGENCY))
POINTS = SITE.test()


def target(entry: Entry) -> State | None:
    """Where an entry moves its permit."""
    return entry.fact.target if isinstance(entry.fact, facts.Moved) else None


class Replica:
    """Cloud or gateway: what it knows of each permit."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.journal: dict[str, list[Entry]] = {permit: [] for permit in PERMITS}
        self._folded: dict[tuple[str, int], Permit] = {}

    def permit(self, name: str) -> Permit:
        key = name, len(self.journal[name])
        if key not in self._folded:
            self._folded[key] = permit_of(name, merge(self.journal[name]))
            assert faults(self.journal[name]) == []
        return self._folded[key]


class TwoPermitsOnOneSpace(RuleBasedStateMachine):
    """Two permits for the same hours on one space; the cloud and the gateway hear of one another only when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = START_NS
        self.cloud, self.gateway = Replica(CLOUD), Replica(GATEWAY)
        self.told = dict.fromkeys(PERMITS, 0)  # the gateway keeps so many of the cloud's entries
        self._merged: dict[str, list[Entry]] = {}
        self.h2s = 1.0

    # what is around

    def context(self, replica: Replica, name: str) -> Context:
        others = []
        for other in PERMITS:
            permit = replica.permit(other)
            if other != name and permit.form is not None:
                form = permit.form
                others.append(Other(other, form.space, permit.state, form.from_ns, form.until_ns))
        SITE.now_ns, SITE.air = self.now_ns, gas_values(h2s=self.h2s)
        mine = sum(entry.source == CLOUD for entry in replica.journal[name])
        current = replica is self.gateway or self.told[name] == mine
        return msgspec.structs.replace(
            SITE.look(), source=replica.source, others=tuple(others), gateway_current=current
        )

    def ask(self, replica: Replica, name: str, request: Request) -> bool:
        permit = replica.permit(name)
        context = self.context(replica, name)
        outcome = decide(permit, request, context, self.now_ns)
        accepted = isinstance(outcome, Accepted)
        told = outcome.facts if isinstance(outcome, Accepted) else outcome.keep
        replica.journal[name] += written(
            name, replica.journal[name], replica.source, request, told, self.now_ns,
            TimeQuality.SYNCED, RULES.version,
        )  # fmt: skip
        if accepted:
            self.check_one(replica, permit, request, replica.permit(name))
        return accepted

    def check_one(self, replica: Replica, before: Permit, request: Request, now: Permit) -> None:
        """What holds for every accepted request."""
        row = TRANSITIONS[request.action]
        assert request.role in row.roles
        if request.role is not Role.SYSTEM:
            assert request.role in CREW[request.actor]
        if now.state is State.ACTIVE and before.state is not State.ACTIVE:
            assert self.told[before.id] > 0, "the gateway never took it"
        if replica is self.gateway and now.state is State.ACTIVE:
            assert before.state is State.ACTIVE
        if now.state is State.CLOSED:
            assert not now.occupied
        if before.state is State.SUSPENDED and request.action is not Action.COUNT_PEOPLE:
            assert now.inside <= before.inside
        if len(now.grants) > len(before.grants):
            assert before.state in MAY_HAVE_GRANTS

    # what happens

    @initialize(steps=st.sampled_from((0, 3, 6, 6, 7, 7, 7)))
    def both_begin(self, steps: int) -> None:
        """From two drafts to two approved permits, or one of them active with somebody inside."""
        drafted = facts.Drafted(FORM)
        for name in PERMITS:
            self.ask(self.cloud, name, Request(Action.DRAFT, "zhao", Role.APPLICANT, said=drafted))
        for _ in range(min(steps, 6)):
            for name in PERMITS:
                self.the_usual_way(name, 0)
            if self.cloud.permit("P1").ventilated_since_ns == self.now_ns:
                self.now_ns += 31 * MIN
        if steps == 7:
            self.the_cloud_tells_the_gateway("P1")
            self.the_gateway_tells_the_cloud("P1")

    @rule(name=st.sampled_from(PERMITS), minutes=st.sampled_from((0, 31)))
    def the_usual_way(self, name: str, minutes: int) -> None:
        """One step towards work, as it should be done."""
        for step in self.steps(self.cloud.permit(name)):
            if step.action in (Action.ACTIVATE, Action.RESUME):
                self.the_gateway_keeps_all(name)
            self.ask(self.cloud, name, step)
        self.now_ns += minutes * MIN

    def steps(self, permit: Permit) -> list[Request]:
        def ask(action: Action, actor: str, said: facts.Fact | None = None) -> Request:
            return Request(action, actor, min(CREW[actor]), "because", said, None, "QR-7")

        template = SITE.context.template
        assert template is not None
        match permit.state:
            case State.DRAFT:
                return [ask(Action.SUBMIT, "zhao")]
            case State.SUBMITTED:
                return [ask(Action.PREPARE, "qian")]
            case State.PREPARED:
                signed = [facts.Isolated(i.id, photo="ab") for i in template.isolations]
                return [
                    ask(Action.TEST, "sun", POINTS),
                    *(ask(Action.ISOLATE, "zhao", item) for item in signed),
                    ask(Action.VENTILATE, "zhao", facts.Ventilated()),
                ]
            case State.TESTED:
                return [
                    *(ask(Action.BRIEF, p, facts.Briefed(p)) for p in (*FORM.entrants, "li")),
                    ask(Action.COUNT_TOOLS, "li", facts.ToolsCounted("in", 5)),
                    ask(Action.APPROVE, "qian"),
                    ask(Action.APPROVE, "feng"),
                ]
            case State.APPROVED:
                return [ask(Action.ACTIVATE, "li")]
            case State.ACTIVE:
                return [ask(Action.ENTER, "li", facts.Entered("zhou"))]
            case State.SUSPENDED:
                self.now_ns += MIN
                out = [ask(Action.EXIT, "li", facts.Exited(one)) for one in sorted(permit.inside)]
                return [*out, ask(Action.TEST, "sun", POINTS), ask(Action.RESUME, "qian")]
            case State.CLOSING | State.EXPIRED:
                return [
                    ask(Action.COUNT_TOOLS, "li", facts.ToolsCounted("out", 5)),
                    ask(Action.HAND_BACK, "zhao"),
                    ask(Action.CLOSE, "li"),
                    ask(Action.CLOSE, "qian"),
                ]
            case _:
                return []

    @rule(
        name=st.sampled_from(PERMITS),
        at_gateway=st.booleans(),
        action=st.sampled_from(sorted(Action)),
        actor=WHO,
        role=ROLES,
        right_role=st.booleans(),
        person=INSIDE,
    )
    def anybody_asks_anything(
        self, name: str, at_gateway: bool, action: Action, actor: str, role: Role,
        right_role: bool, person: str,
    ) -> None:  # fmt: skip
        chosen = min(CREW[actor]) if right_role else role
        self.ask(
            self.gateway if at_gateway else self.cloud,
            name,
            Request(action, actor, chosen, "x", self.said(action, actor, person), None, "QR-7"),
        )

    def said(self, action: Action, actor: str, person: str) -> facts.Fact | None:
        choices: dict[Action, facts.Fact] = {
            Action.DRAFT: facts.Drafted(FORM),
            Action.ISOLATE: facts.Isolated("inflow", photo="ab"),
            Action.REOPEN: facts.Isolated("inflow"),
            Action.VENTILATE: facts.Ventilated(on=person != "zhou"),
            Action.TEST: SITE.test(h2s=20.0) if person == "wang" else POINTS,
            Action.BRIEF: facts.Briefed(actor),
            Action.COUNT_TOOLS: facts.ToolsCounted("out", 5),
            Action.ENTER: facts.Entered(person),
            Action.EXIT: facts.Exited(person),
            Action.COUNT_PEOPLE: facts.Counted((person,) if person != "wang" else ()),
            Action.LOCK: facts.LockTold("lock-7", "unlock"),
        }
        return choices.get(action)

    @rule(name=st.sampled_from(PERMITS), at_gateway=st.booleans(), person=INSIDE)
    def somebody_goes_in_or_out(self, name: str, at_gateway: bool, person: str) -> None:
        replica = self.gateway if at_gateway else self.cloud
        came = person in replica.permit(name).inside
        fact = facts.Exited(person) if came else facts.Entered(person)
        action = Action.EXIT if came else Action.ENTER
        self.ask(replica, name, Request(action, "li", Role.ATTENDANT, said=fact))

    @rule(
        name=st.sampled_from(PERMITS),
        at_gateway=st.booleans(),
        what=STOPS,
    )
    def it_is_stopped(self, name: str, at_gateway: bool, what: Action) -> None:
        replica = self.gateway if at_gateway else self.cloud
        self.ask(replica, name, Request(what, "li", Role.ATTENDANT))

    @rule(name=st.sampled_from(PERMITS), at_gateway=st.booleans())
    def it_comes_to_its_end(self, name: str, at_gateway: bool) -> None:
        replica = self.gateway if at_gateway else self.cloud
        for action, actor in ((Action.END_RESCUE, "qian"), (Action.FINISH, "zhao")):
            self.ask(replica, name, Request(action, actor, min(CREW[actor])))

    @rule(name=st.sampled_from(PERMITS), told=st.booleans())
    def it_is_closed_from_wherever_it_stands(self, name: str, told: bool) -> None:
        out = facts.ToolsCounted("out", 5)
        self.ask(self.cloud, name, Request(Action.COUNT_TOOLS, "li", Role.ATTENDANT, said=out))
        for action, actor in (
            (Action.HAND_BACK, "zhao"),
            (Action.CLOSE, "li"),
            (Action.CLOSE, "qian"),
        ):
            if told:
                self.the_cloud_tells_the_gateway(name)
                self.the_gateway_tells_the_cloud(name)
            self.ask(self.cloud, name, Request(action, actor, min(CREW[actor])))

    @rule(name=st.sampled_from(PERMITS))
    def the_cloud_closes_while_the_gateway_lets_somebody_in(self, name: str) -> None:
        self.ask(self.cloud, name, Request(Action.FINISH, "zhao", Role.APPLICANT))
        self.it_is_closed_from_wherever_it_stands(name, told=False)
        entry = facts.Entered("wu")
        self.ask(self.gateway, name, Request(Action.ENTER, "li", Role.ATTENDANT, said=entry))

    @rule(name=st.sampled_from(PERMITS), gateway_first=st.booleans(), stop=STOPS)
    def both_stop_it_and_the_cloud_resumes(
        self, name: str, gateway_first: bool, stop: Action
    ) -> None:
        halt = Request(stop, "li", Role.ATTENDANT)
        order = [(self.gateway, halt), (self.cloud, Request(Action.SUSPEND, "li", Role.ATTENDANT))]
        for replica, request in order if gateway_first else reversed(order):
            self.ask(replica, name, request)
            self.now_ns += MIN
        if self.cloud.permit(name).state is State.SUSPENDED:
            self.the_usual_way(name, 0)

    @rule(
        name=st.sampled_from(PERMITS),
        holder=WHO,
        minutes=st.sampled_from((10, 31, 2000)),
        rescue=st.booleans(),
    )
    def a_grant_is_asked_for(self, name: str, holder: str, minutes: int, rescue: bool) -> None:
        permit = self.cloud.permit(name)
        end_ns = self.now_ns + minutes * MIN
        grant = facts.GrantNoted(
            f"{len(permit.grants):02x}", "lock-7", "cd", end_ns, rescue, holder
        )
        self.ask(self.cloud, name, Request(Action.GRANT, "cloud", Role.SYSTEM, said=grant))

    @rule(name=st.sampled_from(PERMITS), at_gateway=st.booleans())
    def the_system_looks(self, name: str, at_gateway: bool) -> None:
        replica = self.gateway if at_gateway else self.cloud
        for _ in range(5):
            context = self.context(replica, name)
            request = due(replica.permit(name), context, self.now_ns)
            if request is None:
                return
            assert self.ask(replica, name, request), request
        raise AssertionError("there is always something due")

    @rule(minutes=st.sampled_from((1, 5, 31, 120)))
    def time_passes(self, minutes: int) -> None:
        self.now_ns += minutes * MIN

    @rule(h2s=st.sampled_from((1.0, 1.0, 9.0)))
    def the_air_changes(self, h2s: float) -> None:
        self.h2s = h2s

    @rule(name=st.sampled_from(PERMITS))
    def the_cloud_tells_the_gateway(self, name: str) -> None:
        known = {(e.source, e.seq) for e in self.gateway.journal[name]}
        news = [e for e in self.cloud.journal[name] if (e.source, e.seq) not in known]
        self.gateway.journal[name] += [e for e in news if e.source == CLOUD]

    def the_gateway_keeps_all(self, name: str) -> None:
        """It says so, and what it wrote itself is still on its way."""
        self.the_cloud_tells_the_gateway(name)
        self.told[name] = sum(e.source == CLOUD for e in self.gateway.journal[name])

    @rule(name=st.sampled_from(PERMITS))
    def the_gateway_tells_the_cloud(self, name: str) -> None:
        known = {(e.source, e.seq) for e in self.cloud.journal[name]}
        news = [e for e in self.gateway.journal[name] if (e.source, e.seq) not in known]
        self.cloud.journal[name] += news
        self.told[name] = sum(e.source == CLOUD for e in self.gateway.journal[name])

    # what must never be

    def merged(self, name: str) -> list[Entry]:
        every = {(e.source, e.seq): e for e in self.cloud.journal[name]}
        every |= {(e.source, e.seq): e for e in self.gateway.journal[name]}
        if len(every) != len(self._merged.get(name, ())):
            self._merged[name] = merge(every.values())
        return self._merged[name]

    @invariant()
    def nobody_is_inside_a_closed_permit_in_any_view(self) -> None:
        for name in PERMITS:
            views = [
                self.cloud.permit(name),
                self.gateway.permit(name),
                permit_of(name, self.merged(name)),
            ]
            for permit in views:
                if permit.state in (State.CLOSED, State.ARCHIVED):
                    assert not permit.occupied
                if permit.occupied:
                    assert may_relock(permit) is not None

    @invariant()
    def a_grant_exists_only_while_active_or_emergency(self) -> None:
        for name in PERMITS:
            for replica in (self.cloud, self.gateway):
                permit = replica.permit(name)
                context = self.context(replica, name)
                for account, rescue in product(("li", "wang", "zhou"), (False, True)):
                    answer = may_issue(permit, context, account, self.now_ns, rescue=rescue)
                    if isinstance(answer, GrantUntil):
                        assert permit.state in MAY_HAVE_GRANTS
                        assert answer.rescue is rescue is (Role.RESCUE in CREW[account])
                        assert rescue or permit.state is State.ACTIVE
                        assert rescue or answer.exp_ns <= min(self.now_ns + 30 * MIN, END_NS)
                opened = may_unlock(permit, context, "lock-7", "cd", self.now_ns)
                if isinstance(opened, facts.GrantNoted):
                    assert permit.state in MAY_HAVE_GRANTS
                    assert opened.rescue is (permit.state is State.EMERGENCY)
                    assert opened.exp_ns > self.now_ns

    @invariant()
    def one_space_has_one_active_permit(self) -> None:
        for permits in ([self.cloud.permit(n) for n in PERMITS],
                        [permit_of(n, self.merged(n)) for n in PERMITS]):  # fmt: skip
            assert sum(p.state is State.ACTIVE for p in permits) <= 1

    @invariant()
    def every_move_has_an_actor_who_may_and_only_the_cloud_activates(self) -> None:
        for name in PERMITS:
            permit = Permit(name)
            for entry in self.merged(name):
                said = entry.fact
                if isinstance(said, facts.Moved):
                    assert entry.role in TRANSITIONS[entry.action].roles
                    known = PEOPLE.get(entry.actor)
                    assert (entry.role is Role.SYSTEM) is (known is None)
                    assert known is None or entry.role in known.roles
                    if said.target is State.ACTIVE:
                        assert entry.source == CLOUD
                before, permit = permit, fold(permit, entry)
                if before.state in IN_FORCE - {State.ACTIVE} and permit.state is State.ACTIVE:
                    assert entry.action is Action.RESUME
                    assert before.state is State.SUSPENDED
                if before.state is State.EMERGENCY and permit.state is not State.EMERGENCY:
                    assert entry.action is Action.END_RESCUE

    @invariant()
    def a_suspension_that_no_resumption_knew_of_holds(self) -> None:
        for name in PERMITS:
            merged = self.merged(name)
            if permit_of(name, merged).state is not State.ACTIVE:
                continue
            hashes = {entry_hash(e): e for e in merged}
            known: set[str] = set()
            look = [h for h, e in hashes.items() if target(e) is State.ACTIVE]
            while look:
                entry = hashes[look.pop()]
                fresh = {entry.prev, *entry.seen} & hashes.keys() - known
                known |= fresh
                look += fresh
            for h, entry in hashes.items():
                assert h in known or target(entry) not in (State.SUSPENDED, State.EMERGENCY)

    @invariant()
    def duties_are_separate(self) -> None:
        for name in PERMITS:
            permit = self.cloud.permit(name)
            parts = {permit.applicant, FORM.gas_tester, *FORM.attendants, *FORM.entrants}
            assert not parts.intersection(permit.approvers)
            assert len(set(permit.approvers)) == len(permit.approvers)
            if permit.state in IN_FORCE and permit.activated_ns is not None:
                assert len(permit.approvers) == 2

    @precondition(lambda self: self.now_ns >= END_NS)
    @rule(name=st.sampled_from(PERMITS))
    def past_its_end_nothing_stays_active(self, name: str) -> None:
        self.the_system_looks(name, at_gateway=False)
        assert self.cloud.permit(name).state is not State.ACTIVE


TwoPermitsOnOneSpace.TestCase.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None
)
test_what_must_never_be_is_not = TwoPermitsOnOneSpace.TestCase


def begun() -> TwoPermitsOnOneSpace:
    """P1 is active and both know it."""
    both = TwoPermitsOnOneSpace()
    both.both_begin(steps=7)
    assert {r.permit("P1").state for r in (both.cloud, both.gateway)} == {State.ACTIVE}
    return both


def test_the_cloud_does_not_close_over_somebody_whom_a_gateway_let_in() -> None:
    both = begun()
    both.the_cloud_closes_while_the_gateway_lets_somebody_in("P1")
    assert both.gateway.permit("P1").inside == {"wu"}
    assert both.cloud.permit("P1").state is State.CLOSING
    both.nobody_is_inside_a_closed_permit_in_any_view()


@pytest.mark.parametrize("gateway_first", [True, False])
@pytest.mark.parametrize("stop", [Action.SUSPEND, Action.SOS, Action.EMERGENCY])
def test_a_resumption_lifts_no_stop_that_it_did_not_know(gateway_first: bool, stop: Action) -> None:
    both = begun()
    both.both_stop_it_and_the_cloud_resumes("P1", gateway_first, stop)
    assert both.cloud.permit("P1").state is State.ACTIVE  # as far as it knows
    stopped = State.EMERGENCY if stop is Action.EMERGENCY else State.SUSPENDED
    assert permit_of("P1", both.merged("P1")).state is stopped
    both.the_gateway_tells_the_cloud("P1")
    assert both.cloud.permit("P1").state is stopped
    both.a_suspension_that_no_resumption_knew_of_holds()
    both.every_move_has_an_actor_who_may_and_only_the_cloud_activates()
