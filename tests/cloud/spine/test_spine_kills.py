"""Kill -9 of spine and broker under load: nothing lost, nothing doubled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tocsin.broker import Account, Kind
from tocsin.contract.columns import Row
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]


@contextmanager
def load(gateway: WireGateway, scan: Scan) -> Iterator[None]:
    """25 chunks of 40 rows a second, in the background."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.04):
            gateway.put(scan(40, gateway.rows))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def grows(gateway: WireGateway, by: int = 10) -> None:
    """Wait until `by` more acknowledgements came."""
    before = gateway.acks
    wait_until_sync(lambda: gateway.acks >= before + by, 60.0, "commit-acks")


def nothing_lost_or_doubled(gateway: WireGateway, spine: Any) -> None:
    wait_until_sync(lambda: not gateway.uncommitted, 60.0, "everything committed")
    values = spine.column("SELECT h2s FROM gas ORDER BY h2s")
    assert values == [float(i) for i in range(gateway.rows)]
    seqs = spine.column("SELECT seq FROM gas ORDER BY seq")
    assert seqs == list(range(gateway.rows))
    assert not gateway.rejected


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_spine_killed_under_load_loses_and_doubles_nothing(
    kind: Kind, spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker(kind, accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        with load(gateway, scan):
            for _ in range(2 if kind == "mosquitto" else 1):
                grows(gateway)
                spine.process.kill9()
                spine.start()
            grows(gateway)
        nothing_lost_or_doubled(gateway, spine)


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_broker_killed_under_load_loses_and_doubles_nothing(
    kind: Kind, spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker(kind, accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        with load(gateway, scan):
            for _ in range(2):
                grows(gateway)
                broker.kill9()
                broker.start()
            grows(gateway)
        nothing_lost_or_doubled(gateway, spine)
        said = [line for line in spine.process.stderr if "unavailable" in line or "is back" in line]
        assert len(said) <= 4


def test_a_spine_told_to_stop_stores_what_it_has_and_ends_well(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        with load(gateway, scan):
            grows(gateway)
            assert spine.process.terminate(10.0) == 0
            spine.start()
            grows(gateway)
        nothing_lost_or_doubled(gateway, spine)
