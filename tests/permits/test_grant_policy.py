"""Grants: to whom, until when, only while everything holds; and a lock is not locked on anybody."""

from __future__ import annotations

import msgspec
import pytest

from tests.permits.site import END_NS, MIN, RULES, Site
from tocsin.permits import facts
from tocsin.permits.decide import keep_until_ns
from tocsin.permits.grant_policy import GrantUntil, may_issue, may_relock, may_unlock
from tocsin.permits.intervals import NS
from tocsin.permits.journal import gateway_source
from tocsin.permits.names import Action, Role, State
from tocsin.permits.outcomes import Effect, Refused


def why(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return answer.reason.value


def issue(site: Site, account: str = "li", *, rescue: bool = False) -> GrantUntil | Refused:
    return may_issue(site.permit, site.look(), account, site.now_ns, rescue=rescue)


def granted(
    site: Site, minutes: float = 30, account: str = "li", rescue: bool = False
) -> facts.GrantNoted:
    end_ns = site.now_ns + int(minutes * MIN)
    return facts.GrantNoted("ab", "lock-7", "cd", end_ns, rescue, account)


def test_half_an_hour_and_never_past_the_permits_end() -> None:
    site = Site().to_active()
    assert issue(site) == GrantUntil(site.now_ns + 30 * MIN)
    site.now_ns = END_NS - 7 * MIN
    assert issue(site) == GrantUntil(END_NS)
    site.now_ns = END_NS
    assert why(issue(site)) == "over"


def test_a_rule_pack_shortens_a_grant_but_does_not_lengthen_it() -> None:
    site = Site().to_active()
    for pack_s, minutes in ((600.0, 10), (7200.0, 30)):
        rows = tuple(
            msgspec.structs.replace(r, interval_s=pack_s) if r.id == "grant" else r
            for r in RULES.rows
        )
        site.change(rules=msgspec.structs.replace(RULES, rows=rows))
        assert issue(site) == GrantUntil(site.now_ns + minutes * MIN)


@pytest.mark.parametrize("account", ["zhou", "qian", "nobody", "wang"])
def test_only_an_attendant_of_the_permit_holds_one(account: str) -> None:
    assert why(issue(Site().to_active(), account)) == "holder-may-not"


@pytest.mark.parametrize(
    "way", [Site.to_approved, Site.to_suspended, Site.to_closing, Site.to_expired, Site.to_closed]
)
def test_none_in_any_other_state(way: object) -> None:
    site = way(Site())  # type: ignore[operator]
    assert why(issue(site)) == "no-grants-now"
    assert why(issue(site, "wang", rescue=True)) == "no-grants-now"
    assert site.why(Action.GRANT, "cloud", granted(site), role=Role.SYSTEM) == "wrong-state"


def test_none_while_a_condition_is_broken() -> None:
    site = Site().to_active()
    site.air["h2s"] = (9.0, "[ppm]")
    refused = issue(site)
    assert isinstance(refused, Refused)
    assert (refused.reason.value, refused.args["cause"]) == ("breach", "gas")
    assert refused.rule is not None


def test_rescue_grants_are_made_before_they_are_needed_and_open_in_an_emergency_only() -> None:
    site = Site().to_active("zhou")
    day = GrantUntil(site.now_ns + 24 * 60 * MIN, rescue=True)
    assert issue(site, "wang", rescue=True) == day
    assert why(issue(site, "li", rescue=True)) == "holder-may-not"
    ready = granted(site, 24 * 60, "wang", rescue=True)
    site.must(Action.GRANT, "cloud", ready, role=Role.SYSTEM)
    site.change(source=gateway_source("gw-1"))

    def unlock() -> facts.GrantNoted | Refused:
        return may_unlock(site.permit, site.look(), "lock-7", "cd", site.now_ns)

    assert why(unlock()) == "no-live-grant"
    assert site.permit.outstanding_until_ns(site.now_ns) is None
    site.air["h2s"] = (90.0, "[ppm]")
    site.must(Action.SUSPEND, "li")
    assert why(unlock()) == "no-grants-now"
    site.must(Action.EMERGENCY, "zhou")
    assert unlock() == ready
    assert Effect.ISSUE_RESCUE_GRANTS in site.effects
    assert issue(site, "wang", rescue=True) == day
    assert why(issue(site, "li", rescue=True)) == "holder-may-not"
    assert why(issue(site, "li")) == "no-grants-now"
    assert why(issue(site, "wang", rescue=False)) == "no-grants-now"


def test_what_is_written_into_the_journal_is_what_the_policy_allows() -> None:
    site = Site().to_active()

    def ask(said: facts.GrantNoted) -> str:
        return site.why(Action.GRANT, "cloud", said, role=Role.SYSTEM)

    assert ask(granted(site, 30.1)) == "grant-too-long"
    assert ask(granted(site, rescue=True)) == "holder-may-not"
    assert ask(granted(site, 24 * 60 + 1, "wang", rescue=True)) == "grant-too-long"
    assert ask(granted(site, account="zhou")) == "holder-may-not"
    site.must(Action.GRANT, "cloud", granted(site), role=Role.SYSTEM)
    assert site.permit.outstanding_until_ns(site.now_ns) == site.now_ns + 30 * MIN


def test_a_gateway_alone_opens_only_under_a_live_grant() -> None:
    site = Site().to_active()

    def unlock() -> facts.GrantNoted | Refused:
        return may_unlock(site.permit, site.look(), "lock-7", "cd", site.now_ns)

    assert why(unlock()) == "no-live-grant"
    site.must(Action.GRANT, "cloud", granted(site), role=Role.SYSTEM)
    site.change(source=gateway_source("gw-1"))
    assert unlock() == site.permit.grants[0]
    assert why(may_unlock(site.permit, site.look(), "lock-8", "cd", site.now_ns)) == "no-live-grant"
    assert why(may_unlock(site.permit, site.look(), "lock-7", "ef", site.now_ns)) == "no-live-grant"
    assert site.why(Action.GRANT, "gw-1", granted(site), role=Role.SYSTEM) == "needs-cloud"
    site.air["o2"] = (19.0, "%{vol}")
    assert why(unlock()) == "breach"
    site.air["o2"] = (20.9, "%{vol}")
    site.change(denied=frozenset({"ab"}))
    assert why(unlock()) == "grant-denied"
    site.change(denied=frozenset())
    site.now_ns += 30 * MIN
    assert why(unlock()) == "no-live-grant"
    site.now_ns -= MIN
    site.must(Action.SUSPEND, "li")
    assert why(unlock()) == "no-grants-now"
    assert site.why(Action.RESUME, "qian") == "resume-needs-cloud"
    assert Site(gateway_source("gw-1")).why(Action.ACTIVATE, "li") == "activate-needs-cloud"


def test_no_lock_is_locked_on_anybody() -> None:
    site = Site().to_active("zhou")
    assert why(may_relock(site.permit)) == "still-inside"
    site.must(Action.EXIT, "li", facts.Exited("zhou"))
    assert may_relock(site.permit) is None
    lost = msgspec.structs.replace(site.permit, headcount_known=False)
    assert why(may_relock(lost)) == "headcount-unknown"


def test_evidence_of_an_incident_is_kept_for_ever() -> None:
    site = Site().to_closed()
    kept_ns = keep_until_ns(site.permit, site.look())
    assert kept_ns == site.permit.since_ns + 3 * 365 * 86_400 * NS
    site = Site().to_active()
    site.must(Action.SOS, "zhou")
    assert site.state() is State.SUSPENDED
    assert keep_until_ns(site.permit, site.look()) is None
