"""Streams with so many holes that no commit-ack could name what lies between them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cloud.ingest.ledger import LAST_RANGES
from tocsin.broker import Account
from tocsin.contract.columns import Row
from tocsin.contract.messages import MAX_RANGES
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]
HOLES = 2 * MAX_RANGES + LAST_RANGES


def test_new_readings_are_acknowledged_after_a_thousand_holes_and_so_is_one_between_them_that_comes_again(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with throwaway_broker("auto", accounts=[gateway_account]) as broker, spine_on(broker) as spine:
        password = gateway_account.password
        with WireGateway(broker.port, "gw-1", "plant", password) as gateway:
            for i in range(HOLES):
                gateway.give_up(1)
                gateway.put(scan(1, i))
            wait_until_sync(lambda: not gateway.uncommitted, 60.0, "every one acknowledged")
            stream = gateway.stream
        with WireGateway(broker.port, "gw-1", "plant", password) as forgetful:
            forgetful.stream = stream
            forgetful.give_up(2 * MAX_RANGES - 1)  # what it puts now is stored, in the middle
            seq = forgetful.put(scan(1, MAX_RANGES - 1))
            assert seq % 2
            wait_until_sync(lambda: not forgetful.uncommitted, 30.0, "acknowledged once more")
        spine.process.kill9()
        spine.start()
        with WireGateway(broker.port, "gw-1", "plant", password) as restarted:
            restarted.stream = stream
            restarted.give_up(3 * HOLES)
            restarted.put(scan(1, HOLES))
            wait_until_sync(lambda: not restarted.uncommitted, 30.0, "after a restart too")
        assert spine.column("SELECT h2s FROM gas ORDER BY h2s") == list(range(HOLES + 1))
