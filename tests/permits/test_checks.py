"""Each check refuses with its own reason, and with the row of the rules where there is one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.permits.site import (
    CONFIGS,
    END_NS,
    FORM,
    INSTRUMENTS,
    MIN,
    PEOPLE,
    RULES,
    SEWER,
    SPACE,
    START_NS,
    TANK,
    Site,
)
from tocsin.config.rule_packs import load_rules
from tocsin.permits import facts
from tocsin.permits.context import Account, Other
from tocsin.permits.due import due
from tocsin.permits.intervals import NS
from tocsin.permits.names import Action, Role, State
from tocsin.permits.outcomes import Accepted, Refused
from tocsin.permits.refusals import PermitRefusal
from tocsin.permits.sentences import sentence


def refusal(
    site: Site, action: Action, actor: str, said: facts.Fact | None = None, **how: str
) -> Refused:
    outcome = site.ask(action, actor, said, **how)  # type: ignore[arg-type]
    assert isinstance(outcome, Refused), outcome
    return outcome


def other(space: str = "well-7", state: State = State.ACTIVE, *doing: str) -> Other:
    return Other("P2", space, state, START_NS, END_NS, doing)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": ""}, "field-missing"),
        ({"entrants": ()}, "field-missing"),
        ({"rescue_plan": ""}, "field-missing"),
        ({"contractor": "Deep Ltd"}, "field-missing"),
        ({"checklist": ()}, "checklist-open"),
        ({"linked": ("P7",)}, "link-unknown"),
        ({"linked": ("P1",)}, "link-unknown"),
        ({"equipment": FORM.equipment[1:]}, "equipment-missing"),
        ({"until_ns": START_NS + 25 * 60 * MIN}, "too-long"),
        ({"until_ns": START_NS - 1}, "too-long"),
        ({"from_ns": START_NS - 90 * MIN, "until_ns": START_NS - 5 * MIN}, "over"),
        ({"attendants": ("zhou",)}, "role-not-held"),
        ({"attendants": ("nobody",)}, "unknown-person"),
    ],
)
def test_an_incomplete_form_is_not_submitted(changes: dict[str, object], reason: str) -> None:
    site = Site()
    site.must(Action.DRAFT, "zhao", site.form(**changes))
    assert site.why(Action.SUBMIT, "zhao") == reason


def test_a_missing_rescue_plan_quotes_the_rule_against_blind_rescue() -> None:
    site = Site()
    site.must(Action.DRAFT, "zhao", site.form(rescue_plan=""))
    rule = refusal(site, Action.SUBMIT, "zhao").rule
    assert rule is not None
    assert rule.verified
    assert "69" in rule.citation


def test_a_form_for_another_space_or_template_is_no_draft() -> None:
    site = Site()
    assert site.why(Action.DRAFT, "zhao", site.form(space="well-8")) == "unknown-space"
    assert site.why(Action.DRAFT, "zhao", site.form(template="tank")) == "unknown-template"
    assert site.why(Action.SUBMIT, "zhao") == "wrong-state"


@pytest.mark.parametrize(
    ("until", "reason"),
    [({"trained_until_ns": START_NS}, "untrained"), ({"fit_until_ns": START_NS}, "unfit")],
)
@pytest.mark.parametrize("who", ["zhou", "li", "sun"])
def test_whoever_is_not_trained_and_fit_is_on_no_permit(
    who: str, until: dict[str, int], reason: str
) -> None:
    site = Site()
    site.change(people=PEOPLE | {who: msgspec.structs.replace(PEOPLE[who], **until)})
    site.must(Action.DRAFT, "zhao", site.form())
    assert site.why(Action.SUBMIT, "zhao") == reason


def everything(*names: str) -> dict[str, Account]:
    people = set(Role) - {Role.SYSTEM}
    return PEOPLE | {n: Account(n, frozenset(people), END_NS + 1, END_NS + 1) for n in names}


@pytest.mark.parametrize("other_part", ["attendants", "gas_tester"])
def test_an_entrant_has_no_other_part(other_part: str) -> None:
    site = Site()
    site.change(people=everything("zhou"))
    value = "zhou" if other_part == "gas_tester" else ("zhou",)
    site.must(Action.DRAFT, "zhao", site.form(**{other_part: value}))
    assert site.why(Action.SUBMIT, "zhao") == "same-person"


@pytest.mark.parametrize("who", ["zhao", "li", "sun", "zhou"])
def test_nobody_approves_a_permit_they_have_a_part_in(who: str) -> None:
    for way, action in (
        (Site.to_submitted, Action.PREPARE),
        (Site.to_briefed, Action.APPROVE),
        (Site.to_suspended, Action.RESUME),
        (Site.to_closing, Action.CLOSE),
    ):
        site = way(Site())
        site.change(people=everything(who))
        assert site.why(action, who, role=Role.APPROVER) == "same-person"


def test_a_part_in_the_permit_keeps_nobody_from_stopping_it() -> None:
    site = Site().to_active("zhou")
    site.change(people=everything("zhou"))
    site.must(Action.SUSPEND, "zhou", role=Role.APPROVER)
    assert site.state() is State.SUSPENDED


def test_a_person_is_never_the_system_and_acts_only_in_roles_held() -> None:
    site = Site().to_active()
    assert site.why(Action.EXPIRE, "li", role=Role.SYSTEM) == "role-not-held"
    assert site.why(Action.SUSPEND, "zhou", role=Role.APPROVER) == "role-not-held"
    assert site.why(Action.SOS, "stranger", role=Role.ENTRANT) == "unknown-person"


def test_what_has_to_be_named_is_named() -> None:
    site = Site().to_tested()
    site.change(people=everything("wang", "feng"))
    assert site.why(Action.BRIEF, "wang", facts.Briefed("wang"), role=Role.ENTRANT) == "not-named"
    assert site.why(Action.BRIEF, "zhou", facts.Briefed("wu")) == "not-named"
    site = Site().to_prepared()
    site.change(people=everything("feng"))
    assert site.why(Action.TEST, "feng", site.test(), role=Role.GAS_TESTER) == "not-named"
    assert Site().to_submitted().why(Action.REVOKE, "zhao") == "role-may-not"


def test_work_nearby_that_does_not_go_together_needs_a_reason_and_then_must_not_be_going_on() -> (
    None
):
    site = Site().to_submitted()
    assert site.context.template is not None
    clash = site.context.template.conflicts[0]
    site.change(
        space=msgspec.structs.replace(SPACE, near=("well-8",)),
        others=(other("well-8", State.APPROVED, clash),),
    )
    assert refusal(site, Action.PREPARE, "qian", reason="").args["permit"] == "P2"
    site.must(Action.PREPARE, "qian")
    assert site.permit.conflicts == (f"P2: {clash}",)
    site = Site().to_approved()
    site.change(
        space=msgspec.structs.replace(SPACE, near=("well-8",)),
        others=(other("well-8", State.ACTIVE, clash),),
    )
    found = refusal(site, Action.ACTIVATE, "li")
    assert (found.reason, found.args["cause"]) == (PermitRefusal.BREACH, "simops")
    site.change(others=(other("well-9", State.ACTIVE, clash),))
    site.must(Action.ACTIVATE, "li")


@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.EMERGENCY, State.CLOSING])
def test_a_space_has_one_permit_in_force(state: State) -> None:
    site = Site().to_approved()
    site.change(others=(other(state=state),))
    assert site.why(Action.ACTIVATE, "li") == "space-taken"
    fresh = Site()
    fresh.change(others=(other(state=state),))
    assert fresh.why(Action.DRAFT, "zhao", fresh.form()) == "space-taken"


def test_ventilate_then_test_then_enter() -> None:
    site = Site().to_submitted()
    site.must(Action.PREPARE, "qian")
    first, second = (i.id for i in site.context.template.isolations)  # type: ignore[union-attr]
    assert site.why(Action.ISOLATE, "zhao", facts.Isolated("moon")) == "isolation-unknown"
    assert site.why(Action.ISOLATE, "zhao", facts.Isolated(first)) == "photo-missing"
    site.must(Action.ISOLATE, "zhao", facts.Isolated(first, photo="ab"))
    missing = refusal(site, Action.TEST, "sun", site.test())
    assert (missing.reason.value, missing.args["item"]) == ("isolation-missing", second)
    site.must(Action.ISOLATE, "zhao", facts.Isolated(second, photo="ab"))
    assert site.why(Action.TEST, "sun", site.test()) == "ventilation-off"
    site.must(Action.VENTILATE, "zhao", facts.Ventilated())
    site.now_ns += 30 * MIN - NS
    early = refusal(site, Action.TEST, "sun", site.test())
    assert (early.reason.value, early.args) == (
        "ventilation-short",
        {"minutes": "29", "limit": "30"},
    )
    assert early.rule is not None
    site.now_ns += NS
    assert site.why(Action.ACTIVATE, "li") == "wrong-state"
    site.must(Action.TEST, "sun", site.test())


Spoil = Callable[[Site], facts.GasTested]


def without_bottom(site: Site) -> facts.GasTested:
    test = site.test()
    return msgspec.structs.replace(
        test, points=tuple(p for p in test.points if (p.quantity, p.depth) != ("h2s", "bottom"))
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_bottom, "point-missing"),
        (lambda s: msgspec.structs.replace(s.test(), place="QR-8"), "not-at-space"),
        (lambda s: msgspec.structs.replace(s.test(), instruments=()), "instrument-unknown"),
        (lambda s: s.test(instruments=("gd-9",)), "instrument-unknown"),
        (lambda s: s.test(o2=19.4), "limit-exceeded"),
        (lambda s: s.test(o2=23.6), "limit-exceeded"),
        (lambda s: s.test(ex=10.1), "limit-exceeded"),
        (lambda s: s.test(h2s=7.2), "limit-exceeded"),  # 10.2 mg/m3
        (lambda s: s.test(h2s=float("nan")), "limit-exceeded"),
    ],
)
def test_a_test_that_is_not_good_opens_nothing(spoil: Spoil, reason: str) -> None:
    site = Site().to_prepared()
    assert site.why(Action.TEST, "sun", spoil(site)) == reason
    assert site.state() is State.PREPARED


def test_a_bad_value_is_kept_and_the_refusal_quotes_its_row() -> None:
    site = Site().to_prepared()
    found = refusal(site, Action.TEST, "sun", site.test(h2s=9.0))
    assert found.rule is not None
    assert (found.rule.id, found.args["value"], found.args["unit"]) == ("h2s-entry", "9", "[ppm]")
    assert site.permit.test is not None
    assert any(p.value == 9.0 for p in site.permit.test.told.points)
    site.must(Action.TEST, "sun", site.test(h2s=7.0))  # 9.9 mg/m3


def test_a_gas_that_the_rules_do_not_speak_of_is_not_waved_through() -> None:
    site = Site().to_prepared()
    test = site.test()
    odd = msgspec.structs.replace(
        test, points=(*test.points, facts.Point("top", "voc", 1.0, "[ppm]"))
    )
    assert site.why(Action.TEST, "sun", odd) == "limit-unknown"


def test_oxygen_is_tested_first_then_what_burns_then_what_is_toxic_where_the_pack_says_so() -> None:
    site = Site().to_prepared()
    osha = load_rules(CONFIGS / "osha.toml")
    order = next(row for row in osha.rows if row.id == "test-order")
    good = site.test()
    by_gas = {gas: [p for p in good.points if p.quantity == gas] for gas in SEWER.gases}
    upside_down = msgspec.structs.replace(
        good, points=tuple(p for gas in reversed(SEWER.gases) for p in by_gas[gas])
    )
    site.change(rules=msgspec.structs.replace(RULES, rows=(*RULES.rows, order)))
    refused = refusal(site, Action.TEST, "sun", upside_down)
    assert refused.rule == order
    assert refused.args == {"quantity": "ex", "depth": "top", "other": "h2s"}
    assert "ex is tested before h2s" in sentence(refused, "en")
    deep_first = sorted(good.points, key=lambda p: p.depth)
    site.must(Action.TEST, "sun", msgspec.structs.replace(good, points=tuple(deep_first)))
    Site().to_prepared().must(Action.TEST, "sun", upside_down)


def test_instruments_are_calibrated_and_bumped() -> None:
    site = Site().to_prepared()
    old = INSTRUMENTS["gd-1"]
    for changes, reason in (
        ({"calibrated_ns": START_NS - 366 * 86_400 * NS}, "calibration-lapsed"),
        ({"calibrated_ns": 0}, "calibration-lapsed"),
        ({"calibrated_until_ns": START_NS}, "calibration-lapsed"),
        ({"bumped_ns": START_NS - 86_400 * NS}, "bump-old"),
    ):
        site.change(instruments={"gd-1": msgspec.structs.replace(old, **changes)})
        assert site.why(Action.TEST, "sun", site.test()) == reason


def two_instruments() -> Site:
    site = Site()
    assert site.context.template is not None
    strict = msgspec.structs.replace(site.context.template, two_instruments=True)
    site.change(template=strict)
    return site.to_prepared()


def test_two_instruments_agree_where_the_template_says_so() -> None:
    assert TANK.two_instruments
    site = two_instruments()
    assert site.why(Action.TEST, "sun", site.test()) == "second-instrument-missing"
    both = site.test(instruments=("gd-1", "gd-2"))
    apart = msgspec.structs.replace(
        both,
        points=tuple(
            msgspec.structs.replace(p, value=3.0)
            if (p.quantity, p.instrument, p.depth) == ("h2s", "gd-2", "bottom")
            else p
            for p in both.points
        ),
    )
    found = refusal(site, Action.TEST, "sun", apart)
    assert (found.reason.value, found.args["depth"]) == ("instruments-disagree", "bottom")
    site.must(Action.TEST, "sun", both)


def test_approval_is_given_at_the_space_with_a_reason_after_everybody_signed() -> None:
    site = Site().to_tested()
    assert refusal(site, Action.APPROVE, "qian", reason=" ").reason == "reason-missing"
    assert refusal(site, Action.APPROVE, "qian", place="QR-8").reason == "not-at-space"
    for person in FORM.entrants:
        assert refusal(site, Action.APPROVE, "qian").args["person"] == person
        site.must(Action.BRIEF, person, facts.Briefed(person))
    assert refusal(site, Action.APPROVE, "qian").args["person"] == "li"
    site.must(Action.BRIEF, "li", facts.Briefed("li"))
    assert site.why(Action.APPROVE, "qian") == "tools-uncounted"
    bad = facts.ToolsCounted("in", -1)
    assert site.why(Action.COUNT_TOOLS, "li", bad) == "malformed"
    assert site.why(Action.COUNT_TOOLS, "li", facts.Briefed("li")) == "malformed"
    site.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("in", 0))
    site.now_ns += 30 * MIN - NS
    site.must(Action.APPROVE, "qian")
    site.now_ns += NS
    old = refusal(site, Action.APPROVE, "feng")
    assert (old.reason.value, old.rule and old.rule.id) == ("test-old", "test-age")


def test_work_begins_at_the_space() -> None:
    site = Site().to_approved()
    for elsewhere in ("", "QR-8"):
        refused = refusal(site, Action.ACTIVATE, "li", place=elsewhere)
        assert (refused.reason, refused.args["space"]) == ("not-at-space", "well-7")
    site.must(Action.ACTIVATE, "li")


def test_work_does_not_begin_before_or_after_its_time() -> None:
    site = Site()
    site.must(Action.DRAFT, "zhao", site.form(from_ns=START_NS + 40 * MIN))
    site.must(Action.SUBMIT, "zhao")
    site.must(Action.PREPARE, "qian")
    for item in site.context.template.isolations:  # type: ignore[union-attr]
        site.must(Action.ISOLATE, "zhao", facts.Isolated(item.id, photo="ab"))
    site.must(Action.VENTILATE, "zhao", facts.Ventilated())
    site.now_ns += 31 * MIN
    site.must(Action.TEST, "sun", site.test())
    for person in (*FORM.entrants, "li"):
        site.must(Action.BRIEF, person, facts.Briefed(person))
    site.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("in", 0))
    site.approve()
    assert site.why(Action.ACTIVATE, "li") == "not-yet"
    site.now_ns += 9 * MIN
    site.must(Action.ACTIVATE, "li")
    site = Site().to_approved()
    site.now_ns = END_NS
    assert site.why(Action.ACTIVATE, "li") == "over"


def test_what_undoes_the_site_takes_back_the_test() -> None:
    for said, action in (
        (facts.Ventilated(on=False), Action.VENTILATE),
        (facts.Isolated("pump"), Action.REOPEN),
    ):
        site = Site().to_approved()
        site.must(action, "zhao", said)
        assert site.state() is State.PREPARED
        assert site.permit.test is None
        assert site.permit.approvers == ()


def test_who_goes_in_is_listed_briefed_and_outside() -> None:
    site = Site().to_active("zhou")
    assert site.why(Action.ENTER, "li", facts.Entered("zhou")) == "already-inside"
    assert site.why(Action.ENTER, "li", facts.Entered("wang")) == "unlisted"
    assert site.why(Action.ENTER, "li", facts.Entered("nobody")) == "unknown-person"
    assert site.why(Action.ENTER, "zhou", facts.Entered("wu")) == "not-named"
    assert site.why(Action.EXIT, "zhou", facts.Exited("wu")) == "not-named"
    assert site.why(Action.EXIT, "li", facts.Exited("wu")) == "not-inside"
    site.change(people=PEOPLE | {"wu": Account("wu", frozenset({Role.ENTRANT}))})
    assert site.why(Action.ENTER, "li", facts.Entered("wu")) == "untrained"


def test_an_empty_space_needs_a_new_test_after_half_an_hour() -> None:
    site = Site().to_active("zhou")
    site.now_ns += 40 * MIN
    site.must(Action.ENTER, "li", facts.Entered("wu"))  # somebody is inside: work goes on
    for person in ("zhou", "wu"):
        site.must(Action.EXIT, "li", facts.Exited(person))
    site.now_ns += 29 * MIN
    site.must(Action.ENTER, "li", facts.Entered("wu"))
    site.must(Action.EXIT, "li", facts.Exited("wu"))
    site.now_ns += 30 * MIN
    assert site.why(Action.ENTER, "li", facts.Entered("wu")) == "test-old"
    site.must(Action.TEST, "sun", site.test())
    site.must(Action.ENTER, "li", facts.Entered("wu"))


def test_while_somebody_is_inside_a_person_tests_every_two_hours_or_nobody_else_goes_in() -> None:
    site = Site().to_active("zhou")
    assert site.permit.test is not None
    site.now_ns = site.permit.test.at_ns + 121 * MIN
    found = refusal(site, Action.ENTER, "li", facts.Entered("wu"))
    assert (found.reason.value, found.args["minutes"], found.args["limit"]) == ("test-old", "121", "120")  # fmt: skip
    assert found.rule is not None
    assert found.rule.id == "record"
    site.must(Action.TEST, "sun", site.test())
    site.must(Action.ENTER, "li", facts.Entered("wu"))


def test_a_bad_test_during_work_stops_it() -> None:
    site = Site().to_active("zhou")
    site.must(Action.TEST, "sun", site.test(h2s=9.0))
    assert site.state() is State.SUSPENDED
    assert site.permit.cause == "gas"


def test_resuming_wants_everybody_out_a_new_test_and_no_long_interruption() -> None:
    site = Site().to_suspended("zhou")
    assert refusal(site, Action.RESUME, "qian", reason="").reason == "reason-missing"
    assert site.why(Action.RESUME, "qian") == "still-inside"
    assert site.why(Action.BACK_TO_PREPARED, "qian") == "still-inside"
    site.must(Action.EXIT, "li", facts.Exited("zhou"))
    assert site.why(Action.RESUME, "qian") == "test-before-suspension"
    site.now_ns += MIN
    site.must(Action.TEST, "sun", site.test(h2s=9.0))
    assert site.why(Action.RESUME, "qian") == "limit-exceeded"
    site.must(Action.TEST, "sun", site.test())
    site.air["h2s"] = (9.0, "[ppm]")
    assert site.why(Action.RESUME, "qian") == "breach"
    site.air["h2s"] = (0.0, "[ppm]")
    site.now_ns += 29 * MIN
    late = refusal(site, Action.RESUME, "qian")
    assert (late.reason.value, late.rule and late.rule.id) == (
        "interrupted-too-long",
        "interruption",
    )
    assert site.why(Action.REVOKE, "qian") == "wrong-state"
    site.must(Action.BACK_TO_PREPARED, "qian")
    assert site.state() is State.PREPARED
    assert site.why(Action.REVOKE, "qian") == "was-active"
    site.settle()
    site.must(Action.CLOSE, "li")
    site.must(Action.CLOSE, "qian")
    assert site.state() is State.CLOSED


def test_a_headcount_that_nobody_knows_counts_as_somebody_inside() -> None:
    site = Site().to_active("zhou")
    site.must(Action.COUNT_PEOPLE, "li", facts.Counted(("zhou", "wu")))
    assert site.state() is State.SUSPENDED
    assert site.permit.inside == {"zhou", "wu"}
    site = Site().to_active()
    site.live = msgspec.structs.replace(site.live, counted_inside=1)
    request = due(site.permit, site.look(), site.now_ns)
    assert request is not None
    site.request(request)
    assert (site.permit.cause, site.permit.occupied) == ("headcount", True)
    site.settle_tools()
    assert site.why(Action.CLOSE, "li") == "headcount-unknown"
    assert site.why(Action.RESUME, "qian") == "headcount-unknown"
    assert site.why(Action.HAND_BACK, "zhao") == "headcount-unknown"
    site.must(Action.COUNT_PEOPLE, "li", facts.Counted(()))
    site.must(Action.HAND_BACK, "zhao")
    site.must(Action.CLOSE, "li")


def test_closing_wants_people_and_tools_out_the_lock_locked_and_the_gateway_in_the_know() -> None:
    site = Site().to_closing("zhou")
    site.settle_tools()
    assert site.why(Action.CLOSE, "li") == "still-inside"
    assert site.why(Action.HAND_BACK, "zhao") == "still-inside"
    site.must(Action.EXIT, "zhou", facts.Exited("zhou"))
    site.must(Action.COUNT_TOOLS, "li", facts.ToolsCounted("out", 4))
    left = refusal(site, Action.CLOSE, "li")
    assert (left.reason.value, left.args) == ("tools-left", {"went_in": "5", "out": "4"})
    site.settle_tools()
    for event, reason in (
        ("unlock", "lock-open"),
        ("opened", "lock-open"),
        ("closed", "lock-open"),
        ("relock", "not-handed-back"),
    ):
        site.must(Action.LOCK, "gw-1", facts.LockTold("lock-7", event))
        assert site.why(Action.CLOSE, "li") == reason
    site.must(Action.HAND_BACK, "zhao")
    site.change(gateway_current=False)
    assert site.why(Action.CLOSE, "li") == "gateway-behind"
    site.change(gateway_current=True)
    assert site.why(Action.CLOSE, "qian") == "attendant-first"
    site.must(Action.CLOSE, "li")
    site.must(Action.CLOSE, "qian")
    assert site.state() is State.CLOSED


@pytest.mark.parametrize("event", ["forced", "tamper"])
def test_a_forced_lock_stops_the_work(event: str) -> None:
    site = Site().to_active("zhou")
    site.must(Action.LOCK, "gw-1", facts.LockTold("lock-7", event))
    assert (site.state(), site.permit.cause) == (State.SUSPENDED, "tamper")


def test_an_emergency_ends_when_nobody_is_inside_or_the_rescue_is_over() -> None:
    site = Site().to_emergency("zhou")
    assert site.why(Action.ENTER, "li", facts.Entered("wu")) == "not-rescue"
    site.must(Action.ENTER, "wang", facts.Entered("wang"))
    assert site.why(Action.END_RESCUE, "qian") == "still-inside"
    site.must(Action.END_RESCUE, "wang")
    assert site.state() is State.EMERGENCY
    site.must(Action.END_RESCUE, "qian")
    assert site.state() is State.SUSPENDED
    assert site.permit.incident
    other_site = Site().to_emergency("zhou")
    other_site.must(Action.EXIT, "li", facts.Exited("zhou"))
    assert isinstance(other_site.ask(Action.END_RESCUE, "qian"), Accepted)
