"""Cloud and gateway decided apart: which of two moves that knew nothing of one another holds."""

from __future__ import annotations

import itertools

import pytest

from tests.permits.journals import Writer, moved
from tests.permits.site import RULES, Site
from tocsin.permits.due import due
from tocsin.permits.facts import Counted, Entered, Exited, Moved, Noted
from tocsin.permits.intervals import NS
from tocsin.permits.journal import gateway_source
from tocsin.permits.merge import merge
from tocsin.permits.names import Action, Cause, Role, State, TimeQuality
from tocsin.permits.outcomes import Accepted
from tocsin.permits.permit import GATEWAY_PARTED, Permit, permit_of
from tocsin.permits.requests import Request
from tocsin.permits.writing import written


def both() -> tuple[Writer, Writer]:
    cloud, gateway = Writer(), Writer(gateway_source("gw-1"))
    cloud.write(moved(State.APPROVED, State.ACTIVE), 1)
    gateway.see(cloud)
    return cloud, gateway


def merged(*writers: Writer) -> Permit:
    entries = [entry for writer in writers for entry in writer.entries]
    results = [permit_of("P1", merge(order)) for order in itertools.permutations(entries)]
    assert all(result == results[0] for result in results)
    return results[0]


STOPS = (State.CLOSING, State.SUSPENDED, State.EXPIRED, State.EMERGENCY)


@pytest.mark.parametrize("mine", STOPS)
@pytest.mark.parametrize("theirs", STOPS)
@pytest.mark.parametrize("late", [5, 50])
def test_the_graver_of_two_holds(mine: State, theirs: State, late: int) -> None:
    cloud, gateway = both()
    gateway.write(moved(State.ACTIVE, mine), 10)
    cloud.write(moved(State.ACTIVE, theirs), late)
    assert merged(cloud, gateway).state is max(mine, theirs, key=STOPS.index)


@pytest.mark.parametrize("at", [(10, 20, 30), (20, 10, 30), (30, 10, 20)])
def test_a_resumption_after_one_suspension_does_not_lift_another_it_did_not_know(
    at: tuple[int, int, int],
) -> None:
    cloud, gateway = both()
    gateway.write(moved(State.ACTIVE, State.SUSPENDED), at[0])
    cloud.write(moved(State.ACTIVE, State.SUSPENDED), at[1])
    cloud.write(moved(State.SUSPENDED, State.ACTIVE), at[2])
    assert merged(cloud, gateway).state is State.SUSPENDED
    cloud.see(gateway)
    cloud.write(moved(State.SUSPENDED, State.ACTIVE), 40)
    assert merged(cloud, gateway).state is State.ACTIVE


def test_an_emergency_opens_a_permit_again_that_the_cloud_had_closed() -> None:
    cloud, gateway = both()
    cloud.write(moved(State.ACTIVE, State.CLOSING), 2)
    gateway.see(cloud)
    cloud.write(moved(State.CLOSING, State.CLOSED), 50)
    gateway.write(moved(State.CLOSING, State.EMERGENCY), 10)
    assert merged(cloud, gateway).state is State.EMERGENCY


def test_whoever_went_in_meanwhile_is_inside() -> None:
    cloud, gateway = both()
    cloud.write(Moved(State.ACTIVE, State.SUSPENDED, Cause.PERSON), 5)
    gateway.write(Entered("zhou"), 9)
    permit = merged(cloud, gateway)
    assert permit.state is State.SUSPENDED
    assert permit.inside == {"zhou"}


def at_work(*inside: str) -> tuple[Writer, Writer]:
    cloud, gateway = both()
    for person in inside:
        gateway.write(Entered(person), 2)
    cloud.see(gateway)
    return cloud, gateway


@pytest.mark.parametrize("one_is_the_cloud", [True, False])
def test_a_roll_call_takes_nobody_out_of_whose_entry_it_did_not_know(
    one_is_the_cloud: bool,
) -> None:
    cloud, gateway = at_work("wu")
    one, other = (cloud, gateway) if one_is_the_cloud else (gateway, cloud)
    other.write(Entered("zhou"), 10)
    one.write(Counted(("wu",)), 11)
    permit = merged(cloud, gateway)
    assert permit.inside == {"wu", "zhou"}
    assert permit.occupied
    assert not permit.headcount_known
    one.see(other)
    one.write(Counted(("wu",)), 12)
    permit = merged(cloud, gateway)
    assert permit.inside == {"wu"}
    assert permit.headcount_known


def test_a_roll_call_that_names_whoever_went_in_meanwhile_is_believed() -> None:
    cloud, gateway = at_work()
    gateway.write(Entered("zhou"), 10)
    cloud.write(Counted(("zhou",)), 11)
    permit = merged(cloud, gateway)
    assert permit.inside == {"zhou"}
    assert permit.headcount_known


def test_whoever_came_out_again_before_the_roll_call_is_out() -> None:
    cloud, gateway = at_work()
    gateway.write(Entered("zhou"), 8)
    gateway.write(Exited("zhou"), 10)
    cloud.write(Counted(()), 11)
    assert not merged(cloud, gateway).occupied


def test_two_roll_calls_that_differ_and_knew_nothing_of_each_other_leave_it_unknown() -> None:
    cloud, gateway = at_work("wu", "zhou")
    gateway.write(Counted(("wu", "zhou")), 10)
    cloud.write(Counted(("wu",)), 11)
    permit = merged(cloud, gateway)
    assert permit.inside == {"wu", "zhou"}
    assert not permit.headcount_known


def test_an_exit_takes_nobody_out_who_went_in_again_where_it_was_not_known() -> None:
    cloud, gateway = at_work("zhou")
    gateway.write(Exited("zhou"), 8)
    gateway.write(Entered("zhou"), 10)
    cloud.write(Exited("zhou"), 11)
    assert merged(cloud, gateway).inside == {"zhou"}
    cloud.see(gateway)
    cloud.write(Exited("zhou"), 12)
    assert not merged(cloud, gateway).occupied


def test_an_exit_holds_against_a_roll_call_that_it_did_not_know() -> None:
    cloud, gateway = at_work("zhou")
    gateway.write(Counted(("zhou",)), 10)
    cloud.write(Exited("zhou"), 11)
    assert not merged(cloud, gateway).occupied


def test_a_lost_count_stops_the_work_on_both_sides() -> None:
    site = Site().to_active("wu")
    gateway = Site(source=gateway_source("gw-1"))
    gateway.now_ns = site.now_ns
    gateway.entries = list(site.entries)
    gateway.must(Action.ENTER, "li", Entered("zhou"))
    site.now_ns += NS
    site.must(Action.COUNT_PEOPLE, "li", Counted(("wu",)))
    both_know = merge([*site.entries, *gateway.entries[-1:]])
    for one in (site, gateway):
        one.entries = both_know
        stop = due(one.permit, one.look(), site.now_ns)
        assert stop is not None
        assert (stop.action, stop.cause) == (Action.SUSPEND, Cause.HEADCOUNT)


def test_a_permit_prepared_anew_whose_count_was_lost_is_counted_and_closed() -> None:
    site = Site().to_suspended()
    assert isinstance(site.ask(Action.BACK_TO_PREPARED, "qian"), Accepted)
    note = Request(Action.WARN, "cloud", Role.SYSTEM)
    site.entries += written(
        "P1", site.entries, "cloud", note, [Noted(GATEWAY_PARTED)], site.now_ns,
        TimeQuality.SYNCED, RULES.version,
    )  # fmt: skip
    assert (site.permit.state, site.permit.occupied) == (State.PREPARED, True)
    assert site.why(Action.HAND_BACK, "zhao") == "headcount-unknown"
    site.must(Action.COUNT_PEOPLE, "li", Counted(()))
    site.settle()
    assert site.why(Action.CLOSE, "li") == "gateway-behind"


def test_nobody_is_counted_inside_before_work_ever_began() -> None:
    assert Site().to_prepared().why(Action.COUNT_PEOPLE, "li", Counted(("wu",))) == "wrong-state"
