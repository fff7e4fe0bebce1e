"""Gas tests before work: what a value beyond its limit is told beside, and tests that are made again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.permits.site import MIN, Site
from tocsin.permits import facts
from tocsin.permits.names import Action, State
from tocsin.permits.outcomes import Refused
from tocsin.permits.sentences import sentence


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (lambda s: s.test(h2s=25.0), "7.06"),
        (lambda s: s.test(o2=19.4), "19.5"),
        (lambda s: s.test(o2=209.0), "23.5"),
        (lambda s: s.test(ex=10.1), "10"),
    ],
)
def test_a_value_beyond_its_limit_is_told_beside_the_limit_in_its_own_unit(
    found: Callable[[Site], facts.GasTested], limit: str
) -> None:
    site = Site().to_prepared()
    told = site.ask(Action.TEST, "sun", found(site))
    assert isinstance(told, Refused)
    assert told.args["limit"] == limit
    assert f"limit of {limit} {told.args['unit']}." in sentence(told, "en")


@pytest.mark.parametrize("way", [Site.to_briefed, Site.to_approved])
def test_a_worse_test_before_work_is_kept_and_takes_the_permit_back(
    way: Callable[[Site], Site],
) -> None:
    site = way(Site())
    state, first = site.state(), site.permit.test
    site.now_ns += 5 * MIN
    site.must(Action.TEST, "sun", site.test())
    assert (site.state(), site.permit.test != first) == (state, True)
    assert site.permit.test is not None
    assert site.permit.test.at_ns == site.now_ns
    unplaced = msgspec.structs.replace(site.test(), place="")
    assert site.why(Action.TEST, "sun", unplaced) == "not-at-space"
    strange = msgspec.structs.replace(
        site.test(),
        points=tuple(msgspec.structs.replace(p, unit="furlong") for p in site.test().points),
    )
    assert site.why(Action.TEST, "sun", strange) == "limit-unknown"
    site.must(Action.TEST, "sun", site.test(h2s=25.0))
    assert (site.state(), site.permit.approvers) == (State.PREPARED, ())
    assert isinstance(site.entries[-2].fact, facts.GasTested)
