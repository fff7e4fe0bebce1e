"""Every state, every action, everybody: exactly the moves of the table are possible, by exactly those."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
import pytest

from tests.permits.site import CREW, END_NS, MIN, Site
from tocsin.permits import facts
from tocsin.permits.decide import decide
from tocsin.permits.journal import gateway_source
from tocsin.permits.names import Action, Role, State
from tocsin.permits.outcomes import Accepted
from tocsin.permits.permit import EXPIRY_WARNING
from tocsin.permits.requests import Request

# state, action, who may, where it leads ("-": the state stays; two targets: by the values)
TABLE = """
draft draft applicant -
draft submit applicant submitted
draft revoke approver,regulator revoked
submitted reject approver rejected
submitted prepare approver prepared
submitted revoke approver,regulator revoked
prepared isolate applicant,attendant,technician -
prepared reopen applicant,approver,attendant,system,technician -
prepared ventilate applicant,attendant,gas-tester,system,technician -
prepared test gas-tester tested
prepared brief attendant,entrant -
prepared count-tools attendant -
prepared hand-back applicant,attendant,technician -
prepared revoke approver,regulator revoked
tested isolate applicant,attendant,technician -
tested reopen applicant,approver,attendant,system,technician prepared
tested ventilate applicant,attendant,gas-tester,system,technician prepared
tested test gas-tester -
tested brief attendant,entrant -
tested count-tools attendant -
tested approve approver approved
tested back-to-prepared approver,system prepared
tested revoke approver,regulator revoked
approved isolate applicant,attendant,technician -
approved reopen applicant,approver,attendant,system,technician prepared
approved ventilate applicant,attendant,gas-tester,system,technician prepared
approved test gas-tester -
approved brief attendant,entrant -
approved count-tools attendant -
approved activate attendant active
approved back-to-prepared approver,system prepared
approved expire system expired
approved revoke approver,regulator revoked
active reopen applicant,approver,attendant,system,technician suspended
active ventilate applicant,attendant,gas-tester,system,technician suspended
active test gas-tester -
active brief attendant,entrant -
active count-tools attendant -
active enter attendant,entrant -
active exit approver,attendant,entrant,rescue -
active count-people approver,attendant,rescue suspended
active suspend approver,attendant,regulator,system suspended
active sos * suspended
active emergency *,system emergency
active finish applicant closing
active warn system -
active expire system expired
active grant system -
suspended isolate applicant,attendant,technician -
suspended reopen applicant,approver,attendant,system,technician -
suspended ventilate applicant,attendant,gas-tester,system,technician -
suspended test gas-tester -
suspended brief attendant,entrant -
suspended count-tools attendant -
suspended exit approver,attendant,entrant,rescue -
suspended count-people approver,attendant,rescue -
suspended sos * suspended
suspended resume approver active
suspended emergency *,system emergency
suspended warn system -
suspended expire system expired
suspended back-to-prepared approver,system prepared
suspended hand-back applicant,attendant,technician -
suspended close attendant -
suspended close approver closed
emergency reopen applicant,approver,attendant,system,technician -
emergency ventilate applicant,attendant,gas-tester,system,technician -
emergency test gas-tester -
emergency count-tools attendant -
emergency enter attendant,rescue -
emergency exit approver,attendant,entrant,rescue -
emergency count-people approver,attendant,rescue -
emergency sos * emergency
emergency end-rescue rescue -
emergency end-rescue approver suspended
emergency grant system -
closing reopen applicant,approver,attendant,system,technician suspended
closing ventilate applicant,attendant,gas-tester,system,technician suspended
closing test gas-tester -
closing count-tools attendant -
closing exit approver,attendant,entrant,rescue -
closing count-people approver,attendant,rescue suspended
closing suspend approver,attendant,regulator,system suspended
closing sos * suspended
closing emergency *,system emergency
closing warn system -
closing expire system expired
closing hand-back applicant,attendant,technician -
closing close attendant -
closing close approver closed
expired reopen applicant,approver,attendant,system,technician -
expired ventilate applicant,attendant,gas-tester,system,technician -
expired test gas-tester -
expired count-tools attendant -
expired exit approver,attendant,entrant,rescue -
expired count-people approver,attendant,rescue -
expired sos * expired
expired emergency *,system emergency
expired hand-back applicant,attendant,technician -
expired close attendant -
expired close approver closed
rejected archive system archived
closed archive system archived
revoked archive system archived
"""
EVERYBODY = {role.value for role in Role} - {"system"}
ANYWHERE = {(state.value, "lock", "system", "-") for state in State}


def expected() -> set[tuple[str, str, str, str]]:
    rows = set(ANYWHERE)
    for line in TABLE.split("\n"):
        if line:
            state, action, roles, target = line.split()
            for role in roles.split(","):
                who = EVERYBODY if role == "*" else {role}
                rows |= {(state, action, one, target) for one in who}
    return rows


def retested(site: Site) -> Site:
    site.now_ns += 5 * MIN
    site.must(Action.TEST, "sun", site.test())
    return site


def settled(site: Site) -> Site:
    site.settle()
    site.must(Action.CLOSE, "li")
    return site


def ended(action: Action, actor: str) -> Callable[[Site], Site]:
    def end(site: Site) -> Site:
        site.to_submitted().must(action, actor)
        return site

    return end


def drafted(site: Site) -> Site:
    site.must(Action.DRAFT, "zhao", site.form())
    return site


def archived(site: Site) -> Site:
    site.to_closed().must(Action.ARCHIVE, "cloud", role=Role.SYSTEM)
    return site


WAYS: dict[State, tuple[Callable[[Site], Site], ...]] = {
    State.DRAFT: (drafted,),
    State.SUBMITTED: (Site.to_submitted,),
    State.PREPARED: (Site.to_prepared,),
    State.TESTED: (Site.to_briefed,),
    State.APPROVED: (Site.to_approved,),
    State.ACTIVE: (Site.to_active, lambda s: s.to_active("zhou")),
    State.SUSPENDED: (
        lambda s: retested(s.to_suspended()),
        lambda s: s.to_suspended("zhou"),
        lambda s: settled(s.to_suspended()),
    ),
    State.EMERGENCY: (Site.to_emergency, lambda s: s.to_emergency("zhou")),
    State.CLOSING: (lambda s: settled(s.to_closing()), lambda s: s.to_closing("zhou")),
    State.EXPIRED: (lambda s: settled(s.to_expired()), lambda s: s.to_expired("zhou")),
    State.CLOSED: (Site.to_closed,),
    State.REJECTED: (ended(Action.REJECT, "qian"),),
    State.REVOKED: (ended(Action.REVOKE, "bureau"),),
    State.ARCHIVED: (archived,),
}


@cache
def sites(state: State) -> tuple[Site, ...]:
    """A site in that state in every way that matters, and each at its end."""
    found = []
    for way in WAYS[state]:
        for later_ns in (0, END_NS):
            site = way(Site())
            site.context = msgspec.structs.replace(site.context, template=one_approver(site))
            site.now_ns = min(max(site.now_ns + later_ns, site.now_ns), END_NS)
            assert site.state() is state
            found.append(site)
    return tuple(found)


def one_approver(site: Site) -> object:
    assert site.context.template is not None
    return msgspec.structs.replace(site.context.template, four_eyes=False)


def said(site: Site, action: Action, actor: str) -> tuple[facts.Fact | None, ...]:
    """What an action may carry."""
    item = "x" if site.context.template is None else site.context.template.isolations[0].id
    until_ns = site.now_ns + 10 * MIN
    rescue = site.state() is State.EMERGENCY
    account = "wang" if rescue else "li"
    choices: dict[Action, tuple[facts.Fact | None, ...]] = {
        Action.DRAFT: (site.form(),),
        Action.ISOLATE: (facts.Isolated(item, photo="ab"),),
        Action.REOPEN: (facts.Isolated(item, on=False),),
        Action.VENTILATE: (facts.Ventilated(on=False),),
        Action.TEST: (site.test(),),
        Action.BRIEF: (facts.Briefed(actor),),
        Action.COUNT_TOOLS: (facts.ToolsCounted("out", 5),),
        Action.ENTER: (facts.Entered("wang" if rescue else "wu"), facts.Entered(actor)),
        Action.EXIT: (facts.Exited("zhou"),),
        Action.COUNT_PEOPLE: (facts.Counted(("zhou", "wu")),),
        Action.LOCK: (facts.LockTold("lock-7", "closed"),),
        Action.GRANT: (facts.GrantNoted("ab", "lock-7", "cd", until_ns, rescue, account),),
        Action.WARN: (facts.Noted(EXPIRY_WARNING, "30"),),
    }
    return choices.get(action, (None,))


def possible(state: State, source: str = "cloud") -> set[tuple[str, str, str, str]]:
    """What somebody can do there."""
    found = set()
    for site in sites(state):
        permit = site.permit
        context = msgspec.structs.replace(site.look(), source=source)
        for action in Action:
            for actor, role in [
                *((n, r) for n, rs in CREW.items() for r in rs),
                ("gw", Role.SYSTEM),
            ]:
                for fact in said(site, action, actor):
                    request = Request(action, actor, role, "because", fact, None, "QR-7")
                    outcome = decide(permit, request, context, site.now_ns)
                    if isinstance(outcome, Accepted):
                        moves = [f for f in outcome.facts if isinstance(f, facts.Moved)]
                        assert all(m.source is state for m in moves)
                        target = moves[-1].target.value if moves else "-"
                        found.add((state.value, action.value, role.value, target))
    return found


@pytest.mark.parametrize("state", State)
def test_the_table_is_what_is_possible(state: State) -> None:
    assert possible(state) == {row for row in expected() if row[0] == state.value}


@pytest.mark.parametrize("state", State)
def test_a_gateway_can_do_some_of_it_and_never_moves_towards_active(state: State) -> None:
    alone = possible(state, gateway_source("gw-1"))
    assert alone <= expected()
    assert {row[3] for row in alone} <= {
        "-", "prepared", "suspended", "emergency", "closing", "expired"
    }  # fmt: skip
    cloud_only = {"draft", "submit", "reject", "prepare", "approve", "activate", "resume", "close"}
    cloud_only |= {"back-to-prepared", "revoke", "archive", "grant"}
    assert {row[1] for row in alone} & cloud_only == set()
    if state in (State.ACTIVE, State.CLOSING):
        assert (state.value, "suspend", "system", "suspended") in alone
        assert (state.value, "sos", "entrant", "suspended") in alone


def test_four_eyes_want_two_approvers_who_are_two() -> None:
    site = Site().to_briefed()
    site.must(Action.APPROVE, "qian")
    assert site.state() is State.TESTED
    assert site.why(Action.APPROVE, "qian") == "already-signed"
    site.must(Action.APPROVE, "feng")
    assert site.state() is State.APPROVED
    assert site.permit.approvers == ("qian", "feng")
