"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from tocsin.broker import Account, ChildBroker, Kind
from tocsin.testing import throwaway_broker

# machines differ and share their cores: no example is judged by its wall-clock time
settings.register_profile("tocsin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tocsin")

GATEWAYS = (Account("gw-1", "gw-1-password"), Account("gw-2", "gw-2-password"))


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the commands remember of the person who runs the tests stays as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOCSIN_DATA", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def mosquitto() -> Iterator[ChildBroker]:
    """A mosquitto with the gateways `gw-1`, `gw-2` (password `<id>-password`) and the ingester `INGESTER`."""
    with throwaway_broker("mosquitto", accounts=GATEWAYS) as broker:
        yield broker


@pytest.fixture
def amqtt() -> Iterator[ChildBroker]:
    """An amqtt with the same accounts."""
    with throwaway_broker("amqtt", accounts=GATEWAYS) as broker:
        yield broker


@pytest.fixture(params=["mosquitto", "amqtt"])
def any_broker(request: pytest.FixtureRequest) -> Iterator[ChildBroker]:
    """Each of our two brokers in turn."""
    with throwaway_broker(cast("Kind", request.param), accounts=GATEWAYS) as broker:
        yield broker


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recordings of real instruments (`TOCSIN_SHARED_DATA`, default ../shared/data). CI fails without them."""
    default = Path(__file__).parents[2] / "shared" / "data"
    place = Path(os.environ.get("TOCSIN_SHARED_DATA", default))
    if not (place / "traces").is_dir():
        reason = f"no recordings in {place}; set TOCSIN_SHARED_DATA to their place"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    return place
