"""A lock that vanishes, answers late, twice, out of order or with garbage: each ends in a known state that is told."""

from __future__ import annotations

import pytest

from edge.locks import dialogue
from firmware_bridges.lock.happenings import Area, DoorMoved, Tampered
from firmware_bridges.lock.peripheral import LockPeripheral
from firmware_bridges.lock.state import LOG_EVENTS
from tests.edge.locks.conftest import Site
from tocsin.errors import DeviceFaultError, DriverReason, GrantRefusedError, LinkError, LockRefusal
from tocsin.grants.lock_log import LockEventKind
from tocsin.testing import wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that do not come are waited for half a second."""
    monkeypatch.setattr(dialogue, "ANSWER_S", 0.5)
    monkeypatch.setattr(dialogue, "BOLT_ANSWER_S", 0.5)


async def test_it_vanishes_before_the_command_arrives_and_it_is_known_not_to_have_opened(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        nonce = await site.challenge()
        site.faults["hatch-1"].drop_before_write = site.moving_write
        with pytest.raises(DeviceFaultError, match="knows nothing of it"):
            await site.opened(nonce, grant)
        assert not lock.lock.state.is_unlocked
        assert [data["command"] for data in site.told("lock.doubt")] == ["unlock"]
        assert [data["event"] for data in site.told("lock.settled")] == [0]
        assert site.state().in_doubt == ""
        await site.unlock(grant)  # it was not used up
        assert lock.lock.state.is_unlocked


async def test_it_vanishes_after_the_command_arrived_and_the_log_tells_that_it_opened(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        nonce = await site.challenge()
        site.faults["hatch-1"].drop_after_write = site.moving_write
        told = await site.opened(nonce, grant)
        assert "found in the lock's log" in told["answer"]
        assert lock.lock.state.is_unlocked
        assert site.state().bolt_out is False
        assert site.state().in_doubt == ""


async def test_it_vanishes_for_good_and_the_doubt_stands_until_it_is_heard_again(
    site: Site,
) -> None:
    site.add()
    faults = site.faults["hatch-1"]
    async with site.gateway():
        nonce = await site.challenge()
        faults.drop_after_write, faults.out_of_range = site.moving_write, True
        with pytest.raises(LinkError, match="either place") as unknown:
            await site.opened(nonce, site.grant())
        assert unknown.value.reason is DriverReason.NO_ANSWER  # told as `unknown`
        assert site.state().in_doubt == "unlock"
        assert not site.state().available
        faults.out_of_range = False
        await site.driver.command("hatch-1", "read", {}, 30)
        assert site.state().in_doubt == ""
        assert site.state().bolt_out is False
        assert [bool(data["event"]) for data in site.told("lock.settled")] == [True]


async def test_an_answer_that_comes_too_late_is_looked_up_in_the_log(site: Site) -> None:
    site.add()
    faults = site.faults["hatch-1"]
    async with site.gateway():
        nonce = await site.challenge()
        site.at_move(lambda: setattr(faults, "late_s", 0.7), lambda: setattr(faults, "late_s", 0.0))
        told = await site.opened(nonce, site.grant())
        assert "found in the lock's log" in told["answer"]
        assert site.state().bolt_out is False


async def test_answers_that_come_twice_are_taken_once(site: Site) -> None:
    lock = site.add()
    site.faults["hatch-1"].twice = True
    async with site.gateway():
        await site.unlock()
        assert lock.lock.state.is_unlocked
        assert site.counts["lock.spoilt_answers"] > 0
        seen = site.journalled()
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert [event.kind for event in seen].count(LockEventKind.UNLOCK) == 1


async def test_an_answer_overtaken_by_news_is_looked_up_in_the_log(site: Site) -> None:
    lock = site.add()
    faults = site.faults["hatch-1"]

    def news() -> None:
        lock.happens(Tampered(True))
        faults.swapped = False

    async with site.gateway():
        nonce = await site.challenge()
        site.at_move(lambda: setattr(faults, "swapped", True), news)
        told = await site.opened(nonce, site.grant())
        assert "found in the lock's log" in told["answer"]
        assert site.state().tamper is True


async def test_one_garbled_answer_is_looked_up_in_the_log(site: Site) -> None:
    site.add()
    faults = site.faults["hatch-1"]
    async with site.gateway():
        nonce = await site.challenge()
        site.at_move(
            lambda: setattr(faults, "spoil", lambda value: value[:-1] + bytes([value[-1] ^ 1])),
            lambda: setattr(faults, "spoil", None),
        )
        told = await site.opened(nonce, site.grant())
        assert "found in the lock's log" in told["answer"]
        assert site.counts["lock.spoilt_answers"] == 1


async def test_garbage_that_does_not_end_leaves_a_doubt_until_it_does(site: Site) -> None:
    site.add()
    faults = site.faults["hatch-1"]
    async with site.gateway():
        nonce = await site.challenge()
        site.at_move(lambda: setattr(faults, "spoil", lambda value: bytes(len(value))), lambda: 0)
        with pytest.raises(LinkError, match="either place"):
            await site.opened(nonce, site.grant())
        assert site.state().in_doubt == "unlock"
        faults.spoil = None
        await site.driver.command("hatch-1", "read", {}, 30)
        assert site.state().in_doubt == ""
        assert [bool(data["event"]) for data in site.told("lock.settled")] == [True]


async def test_a_connection_that_is_refused_is_tried_three_times_and_told(site: Site) -> None:
    site.add()
    async with site.gateway():
        site.counts.clear()
        site.faults["hatch-1"].refuse_connect = "le-connection-abort-by-peer"
        with pytest.raises(LinkError, match="abort-by-peer") as error:
            await site.challenge()
        assert error.value.device == "hatch-1"
        assert site.counts["lock.failed_contacts"] == 3


class Phone:
    """Another client's connection, which says nothing."""

    mtu = 247

    def __init__(self, lock: LockPeripheral) -> None:
        self._lock = lock

    def send(self, uuid: str, value: bytes) -> None:
        pass

    def drop(self) -> None:
        self._lock.disconnected()


async def test_another_phone_has_the_lock_until_it_has_been_silent_for_15_s(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        lock.connected(Phone(lock))
        with pytest.raises(LinkError, match="taken by another"):
            await site.challenge()
        site.clock.ahead_s += 16
        await wait_until(lambda: not lock.is_connected)
        await site.unlock()
        assert lock.lock.state.is_unlocked


async def test_two_holders_at_once_take_turns(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        nonce = await site.challenge()
        with pytest.raises(GrantRefusedError) as busy:
            await site.challenge()
        assert busy.value.reason is LockRefusal.BUSY
        await site.opened(nonce, grant)
        assert lock.lock.state.is_unlocked
        with pytest.raises(GrantRefusedError) as burnt:
            await site.opened(nonce, grant)
        assert burnt.value.reason is LockRefusal.NO_LIVE_NONCE


async def test_a_gateway_that_stops_lets_go_of_a_lock_that_waits_for_a_proof(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        await site.challenge()
        assert lock.is_connected
    assert not lock.is_connected


async def test_power_lost_in_the_middle_of_a_log_write_is_told_by_the_lock_itself(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        await site.unlock()
        lock.happens(DoorMoved(True))
        tear_last_event(lock)
        lock.restart()
        await site.driver.command("hatch-1", "read", {}, 30)
        kinds = [event.kind for event in site.journalled()]
        assert kinds[-3:-1] == [LockEventKind.TORN_WRITE, LockEventKind.REBOOT]
        assert LockEventKind.OPENED not in kinds  # it was never whole; the door tells of itself
        assert site.state().door_open is True
        assert not site.told("lock.log-fault")


async def test_a_log_that_lost_what_was_journalled_already_is_a_fault_that_is_told(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        await site.unlock()
        lock.happens(DoorMoved(True))
        await site.driver.command("hatch-1", "read", {}, 30)
        assert not site.driver._clients["hatch-1"].is_in_use
        tear_last_event(lock)
        lock.restart()
        await site.driver.command("hatch-1", "read", {}, 30)
        assert site.told("lock.log-fault")
        assert site.counts["lock.log_faults"] > 0
        assert site.state().door_open is True


def tear_last_event(lock: LockPeripheral) -> None:
    """Power is cut while the newest event is being written: half of its slot is still erased."""
    slot = (Area.LOG, (lock.lock.state.seq - 1) % LOG_EVENTS)
    whole = lock.lock.flash[slot]
    lock.lock.flash[slot] = whole[: len(whole) // 3].ljust(len(whole), b"\xff")
