"""A working day as the rules see it, from the draft to the archive, with the refusals on its way."""

from __future__ import annotations

from tests.permits.site import MIN, Site
from tocsin.permits import facts
from tocsin.permits.due import due
from tocsin.permits.grant_policy import GrantUntil, may_issue, may_relock
from tocsin.permits.intervals import NS
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import Effect, Refused


def test_a_day_with_rising_hydrogen_sulfide_ends_closed_and_archived() -> None:
    site = Site().to_submitted()
    site.must(Action.PREPARE, "qian")
    assert site.why(Action.TEST, "sun", site.test()) == "isolation-missing"
    site = Site().to_briefed()
    site.now_ns += 30 * MIN
    assert site.why(Action.APPROVE, "qian") == "test-old"
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    assert request.action is Action.BACK_TO_PREPARED
    site.request(request)
    site.must(Action.TEST, "sun", site.test())
    site.approve()
    assert Effect.ISSUE_GRANTS in site.must(Action.ACTIVATE, "li").effects
    until = may_issue(site.permit, site.look(), "li", site.now_ns)
    assert until == GrantUntil(site.now_ns + 30 * MIN)
    site.must(Action.LOCK, "gw-1", facts.LockTold("lock-7", "unlock"))
    for person in ("zhou", "wu", "zheng"):
        site.must(Action.ENTER, "li", facts.Entered(person))
    site.now_ns += 20 * MIN
    site.air["h2s"] = (8.0, "[ppm]")  # 11.3 mg/m3
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    assert (request.action, request.cause) == (Action.SUSPEND, Cause.GAS)
    site.request(request)
    assert site.state() is State.SUSPENDED
    assert Effect.SIREN_ON in site.effects
    assert isinstance(may_issue(site.permit, site.look(), "li", site.now_ns), Refused)
    site.must(Action.EXIT, "zhou", facts.Exited("zhou"))
    assert site.why(Action.ENTER, "li", facts.Entered("zhou")) == "wrong-state"
    site.must(Action.EXIT, "li", facts.Exited("wu"))
    refusal = may_relock(site.permit)
    assert refusal is not None
    assert refusal.reason == "still-inside"
    assert site.why(Action.RESUME, "qian") == "still-inside"
    assert Effect.SIREN_OFF in site.must(Action.EXIT, "zheng", facts.Exited("zheng")).effects
    assert may_relock(site.permit) is None
    assert site.why(Action.RESUME, "qian") == "test-before-suspension"
    site.air["h2s"] = (0.5, "[ppm]")
    site.now_ns += 10 * MIN
    site.must(Action.TEST, "sun", site.test())
    site.must(Action.RESUME, "qian")
    site.must(Action.ENTER, "li", facts.Entered("wu"))
    site.must(Action.FINISH, "zhao")
    site.must(Action.EXIT, "li", facts.Exited("wu"))
    assert site.why(Action.CLOSE, "li") == "tools-left"
    site.settle()
    assert site.why(Action.CLOSE, "li") == "lock-open"
    site.must(Action.LOCK, "gw-1", facts.LockTold("lock-7", "relock"))
    assert site.why(Action.CLOSE, "qian") == "attendant-first"
    site.must(Action.CLOSE, "li")
    assert site.state() is State.CLOSING
    assert Effect.BUNDLE in site.must(Action.CLOSE, "qian").effects
    site.must(Action.ARCHIVE, "cloud", role=Role.SYSTEM)
    assert site.state() is State.ARCHIVED
    assert site.now_ns % NS == 0
