"""What is known of devices that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from cloud.db import open_engine, upgrade
from cloud.ingest.presence import Presence
from tocsin.contract.messages import VERSION, Event
from tocsin.errors import StoreUnavailableError

SITES = {"gw-1": "plant"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def commits(engine: Engine) -> list[str]:
    """Grows with each commit."""
    found: list[str] = []
    event.listen(engine, "commit", lambda _: found.append("commit"))
    return found


def announced(device: str, period_s: float = 1.0) -> Event:
    data = {"measurement": "gas", "period_s": period_s}
    return Event(VERSION, "plant", "gw-1", "S", 1, "device.announced", 1, device=device, data=data)


def periods(engine: Engine) -> dict[str, float | None]:
    """As the next start finds them."""
    return {d.device: d.period_s for d in Presence(engine, SITES, 0).devices()}


def test_a_device_that_left_its_gateway_is_not_waited_for_any_more(engine: Engine) -> None:
    presence = Presence(engine, SITES, 0)
    presence.on_announced(announced("gas-01"), 1, 1)
    assert [d.period_s for d in presence.devices()] == [1.0]
    presence.keep()
    presence.on_removed("gw-1", "gas-01")
    presence.on_removed("gw-1", "never-seen")
    assert [d.period_s for d in presence.devices()] == [None]
    assert periods(engine) == {"gas-01": None}


def test_a_device_that_left_before_it_was_kept_is_kept_as_one_that_left(engine: Engine) -> None:
    presence = Presence(engine, SITES, 0)
    presence.on_announced(announced("gas-01"), 1, 1)
    presence.on_removed("gw-1", "gas-01")
    presence.keep()
    assert periods(engine) == {"gas-01": None}


def test_hundreds_of_devices_announced_together_are_kept_in_one_commit(
    engine: Engine, commits: list[str]
) -> None:
    presence = Presence(engine, SITES, 0)
    for n in range(400):
        presence.on_announced(announced(f"gas-{n:03}"), 1, 1)
    assert commits == []
    presence.keep()
    assert len(commits) == 1
    assert len(periods(engine)) == 400


def test_a_gateway_that_starts_again_with_the_same_devices_writes_nothing(
    engine: Engine, commits: list[str]
) -> None:
    first = Presence(engine, SITES, 0)
    first.on_announced(announced("gas-01"), 1, 1)
    first.keep()
    commits.clear()
    for presence in (first, Presence(engine, SITES, 0)):
        presence.on_announced(announced("gas-01"), 2, 2)
        presence.keep()
    assert commits == []
    first.on_announced(announced("gas-01", 2.0), 3, 3)
    first.keep()
    assert len(commits) == 1
    assert periods(engine) == {"gas-01": 2.0}


def test_what_the_database_refuses_is_kept_with_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence = Presence(engine, SITES, 0)
    presence.on_announced(announced("gas-01"), 1, 1)

    def refuse(*_: object) -> None:
        raise StoreUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr("cloud.ingest.presence.write", refuse)
        with pytest.raises(StoreUnavailableError):
            presence.keep()
    assert periods(engine) == {}
    presence.on_announced(announced("gas-02"), 1, 1)
    presence.keep()
    assert periods(engine) == {"gas-01": 1.0, "gas-02": 1.0}
