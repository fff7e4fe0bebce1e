"""Cloud and gateway decided apart: which of two moves that knew nothing of one another holds."""

from __future__ import annotations

import itertools

import pytest

from tests.permits.journals import Writer, moved
from tocsin.permits.facts import Entered, Moved
from tocsin.permits.journal import gateway_source
from tocsin.permits.merge import merge
from tocsin.permits.names import Cause, State
from tocsin.permits.permit import Permit, permit_of


def both() -> tuple[Writer, Writer]:
    cloud, gateway = Writer(), Writer(gateway_source("gw-1"))
    cloud.write(moved(State.APPROVED, State.ACTIVE), 1)
    gateway.see(cloud)
    return cloud, gateway


def merged(*writers: Writer) -> Permit:
    entries = [entry for writer in writers for entry in writer.entries]
    results = {permit_of("P1", merge(order)).state for order in itertools.permutations(entries)}
    assert len(results) == 1
    return permit_of("P1", merge(entries))


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
