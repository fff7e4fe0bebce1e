"""The lock opens for a live grant and its holder, locks again when nobody is inside, and logs all of it."""

from __future__ import annotations

import pytest

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, LINK, LOCK_ID, NOW, Bench, seed
from firmware_bridges.lock.frames import Kind
from firmware_bridges.lock.gatt import INFO, Profile, Shown, decode_info, is_advert_of, read_advert
from firmware_bridges.lock.happenings import (
    Advertise,
    BatteryAt,
    BoltMoved,
    Connected,
    DoorMoved,
    Drop,
    EgressUsed,
    Refuse,
    Tampered,
    Tick,
    Written,
)
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import MAX_CTR, Op, holder_id
from tocsin.grants.lock_keys import advert_key, time_key
from tocsin.grants.lock_log import LockEventKind, verify_chain
from tocsin.grants.lock_orders import TimeOrder, maced_order
from tocsin.grants.primitives import public_key

BOTH = pytest.mark.parametrize("profile", list(Profile))


def refused(act: object, *args: object, **more: object) -> LockRefusal:
    assert callable(act)
    with pytest.raises(GrantRefusedError) as error:
        act(*args, **more)
    return error.value.reason


def ready(profile: Profile, frame_bytes: int = 244) -> Bench:
    """A lock that knows the time."""
    bench = Bench(profile, frame_bytes=frame_bytes)
    bench.tell_time()
    return bench


@BOTH
@pytest.mark.parametrize("frame_bytes", [20, 182, 244])
def test_a_working_day_through_any_mtu(profile: Profile, frame_bytes: int) -> None:
    bench = ready(profile, frame_bytes)
    grant = bench.claims()
    opened = bench.unlock(grant)
    assert (opened.code, bench.lock.state.is_unlocked) == (0, True)
    bench.happens(DoorMoved(True))
    assert refused(bench.relock, grant.cti, 0) is LockRefusal.JAMMED_OR_OPEN
    bench.happens(DoorMoved(False))
    assert refused(bench.relock, grant.cti, 3) is LockRefusal.OCCUPIED
    assert refused(bench.relock, grant.cti, 0xFFFF) is LockRefusal.OCCUPIED
    assert bench.lock.state.is_unlocked
    assert bench.relock(grant.cti, 0).code == 0
    assert not bench.lock.state.is_unlocked
    assert bench.kinds() == [
        LockEventKind.REBOOT,
        LockEventKind.TIME_SET,
        LockEventKind.UNLOCK,
        LockEventKind.OPENED,
        LockEventKind.DENY,
        LockEventKind.CLOSED,
        LockEventKind.DENY,
        LockEventKind.DENY,
        LockEventKind.RELOCK,
    ]
    assert [event.time_quality for event in bench.log()] == [0] + 8 * [2]


@BOTH
def test_the_log_is_pulled_verified_and_acknowledged(profile: Profile) -> None:
    bench = ready(profile)
    bench.unlock(bench.claims())
    bench.happens(DoorMoved(True))
    session = bench.hello()
    session, message = client.get_log(session, 1, 16)
    session, page = client.read_page(session, bench.send(message))
    report = verify_chain(
        page.events,
        head=page.head,
        seq=page.first_seq - 1,
        wanted_head=session.challenge.log_head,
    )
    assert (report.fault, report.last_seq) == (None, session.challenge.event_seq)
    session, message = client.ack_log(session, 3, bytes(16))
    assert refused(bench.send, message) is LockRefusal.BAD_SIGNATURE
    session, message = client.ack_log(bench.hello(), report.last_seq, report.head)
    bench.send(message)
    assert bench.lock.state.durable.acked_seq == report.last_seq
    session, message = client.ack_log(session, 99, report.head)
    assert refused(bench.send, message) is LockRefusal.MALFORMED


@BOTH
def test_a_result_and_news_tell_state_and_head(profile: Profile) -> None:
    bench = ready(profile)
    session = bench.hello()
    bench.happens(DoorMoved(True))
    session, news = client.read_news(session, bench.inbox[-1])
    assert news.shown & (Shown.DOOR_OPEN | Shown.UNLOCKED) == Shown.DOOR_OPEN
    assert news.event_seq == bench.lock.state.seq
    assert bench.kinds()[-1] is LockEventKind.FORCED
    bench.happens(Tampered(True))
    session, news = client.read_news(session, bench.inbox[-1])
    assert Shown.TAMPER in news.shown
    opened = bench.unlock(bench.claims(), session)
    assert (opened.event_seq, opened.log_head) == (bench.lock.state.seq, bench.lock.state.head)


@BOTH
def test_the_inside_handle_always_opens_and_is_logged(profile: Profile) -> None:
    bench = Bench(profile)  # no time, no session, no link
    bench.happens(EgressUsed())
    bench.happens(BoltMoved(True))
    bench.happens(DoorMoved(True))
    assert bench.kinds() == [LockEventKind.REBOOT, LockEventKind.EGRESS, LockEventKind.OPENED]
    bench.happens(DoorMoved(False))
    assert bench.relock(bytes(8), 0).code == 0


@BOTH
def test_the_inside_handle_stops_a_relock_under_way(profile: Profile) -> None:
    bench = ready(profile)
    bench.unlock(bench.claims())
    bench.lock.is_stuck = True
    session, message = client.relock(bench.hello(), b"grant-01", 0)
    with pytest.raises(AssertionError, match="not answered"):
        bench.send(message)
    bench.happens(EgressUsed())
    _, result = client.read_result(session, bench.inbox[-2])
    assert (result.kind, result.code) == (Kind.RELOCK, 0x8C)
    assert bench.lock.state.is_unlocked


@BOTH
def test_a_bolt_that_does_not_move_is_told_after_three_seconds(profile: Profile) -> None:
    bench = ready(profile)
    bench.lock.is_stuck = True
    with pytest.raises(AssertionError, match="not answered"):
        bench.unlock(bench.claims())
    assert refused(bench.hello) is LockRefusal.BUSY
    bench.pass_time(2)
    assert LockEventKind.JAMMED not in bench.kinds()
    bench.pass_time(1)
    assert bench.kinds()[-1] is LockEventKind.JAMMED
    assert Shown.JAMMED in decode_info(bench.lock.read(INFO)).shown
    bench.lock.is_stuck = False
    assert refused(bench.unlock, bench.claims()) is LockRefusal.ALREADY_USED
    assert bench.unlock(bench.claims(b"grant-02", ctr=18)).code == 0
    assert not bench.lock.state.is_jammed


@BOTH
def test_a_bolt_moved_by_hand_is_logged_and_may_be_locked_again(profile: Profile) -> None:
    bench = ready(profile)
    bench.happens(BoltMoved(True))
    assert bench.kinds()[-1] is LockEventKind.BY_HAND
    assert bench.relock(bytes(8), 0).code == 0
    bench.happens(BoltMoved(False))
    assert bench.kinds()[-1] is LockEventKind.RELOCK


@BOTH
def test_only_the_grant_that_opened_locks_again_and_only_if_it_may(profile: Profile) -> None:
    bench = ready(profile)
    bench.unlock(bench.claims(ops=Op.UNLOCK))
    assert refused(bench.relock, b"grant-01", 0) is LockRefusal.NOT_ALLOWED
    bench.unlock(bench.claims(b"grant-02", ctr=18))
    assert refused(bench.relock, b"grant-01", 0) is LockRefusal.NOT_ALLOWED
    assert refused(bench.relock, bytes(8), 0) is LockRefusal.NOT_ALLOWED
    bench.revoke(100)  # suspended meanwhile: locking stays possible
    bench.pass_time(4000)
    assert bench.relock(b"grant-02", 0).code == 0
    assert bench.relock(b"grant-02", 0).code == 0  # the first answer was lost


@BOTH
def test_a_grant_for_three_uses_opens_three_times(profile: Profile) -> None:
    bench = ready(profile)
    grant = bench.claims(uses=3)
    for left in (2, 1, 0):
        bench.unlock(grant)
        assert bench.log()[-1].data[4] == left
    assert refused(bench.unlock, grant) is LockRefusal.ALREADY_USED


@BOTH
def test_the_oldest_of_65_grants_goes_and_min_ctr_rises_above_it(profile: Profile) -> None:
    bench = ready(profile)
    for number in range(64):
        bench.unlock(bench.claims(b"%08d" % number, ctr=100 + number))
    assert bench.lock.state.durable.min_ctr == 0
    bench.unlock(bench.claims(b"one more", ctr=164))
    assert bench.lock.state.durable.min_ctr == 101
    assert refused(bench.unlock, bench.claims(b"00000000", ctr=100)) is LockRefusal.REVOKED
    assert refused(bench.unlock, bench.claims(b"00000001", ctr=101)) is LockRefusal.ALREADY_USED


@BOTH
def test_min_ctr_rises_above_the_highest_counter_there_is(profile: Profile) -> None:
    bench = ready(profile)
    for number in range(65):
        bench.unlock(bench.claims(b"%08d" % number, ctr=MAX_CTR))
    assert bench.lock.state.durable.min_ctr == MAX_CTR + 1
    assert refused(bench.unlock, bench.claims(b"one more", ctr=MAX_CTR)) is LockRefusal.REVOKED


@BOTH
def test_two_rescue_grants_of_one_name_count_as_one(profile: Profile) -> None:
    bench = ready(profile)
    session = bench.hello()
    halves = []
    for holder in ("rescuer 1", "rescuer 2"):
        sub = holder_id(public_key(seed(holder)))
        claims = bench.claims(b"the same", sub=sub, ops=Op.RESCUE)
        halves.append(bench.rescue_part(session, claims, holder))
    bench.send(client.rescue(session, halves[0], halves[1])[1])
    assert bench.lock.state.durable.used[-1].left == 0


@BOTH
def test_a_clock_that_reaches_the_end_of_32_bits_stays_there(profile: Profile) -> None:
    bench = Bench(profile)
    bench.tell_time(2**32 - 1)
    bench.pass_time(10)
    assert bench.hello().challenge.time_s == 2**32 - 1


@BOTH
def test_two_rescuers_open_whatever_the_time_the_battery_or_the_log(profile: Profile) -> None:
    bench = Bench(profile)  # time unknown
    bench.happens(BatteryAt(4))
    while bench.lock.state.unlogged == 0:
        bench.happens(Tampered(not bench.lock.state.is_tampered))
    assert bench.rescue().code == 0
    assert bench.lock.state.is_unlocked
    bench.happens(DoorMoved(True))
    assert bench.lock.state.unlogged == 3


@BOTH
def test_a_rescue_is_logged_with_both_grants_and_each_is_good_once(profile: Profile) -> None:
    bench = ready(profile)
    bench.rescue()
    event = bench.log()[-1]
    assert (event.kind, event.cti, event.data) == (
        LockEventKind.RESCUE,
        b"rescue-1",
        b"rescue-2" + GATEWAY,
    )
    assert refused(bench.rescue) is LockRefusal.ALREADY_USED
    assert bench.relock(b"rescue-1", 0).code == 0


@BOTH
def test_a_battery_that_could_not_lock_again_does_not_unlock(profile: Profile) -> None:
    bench = ready(profile)
    for percent in (50, 19, 18, 9, 8):
        bench.happens(BatteryAt(percent))
    assert bench.kinds()[-2:] == 2 * [LockEventKind.BATTERY]
    assert refused(bench.unlock, bench.claims()) is LockRefusal.BATTERY_LOW
    bench.happens(BatteryAt(80))
    assert bench.unlock(bench.claims()).code == 0


@BOTH
def test_a_gateway_with_a_delegated_key_tells_the_time_within_its_span(profile: Profile) -> None:
    bench = Bench(profile)
    start, end = NOW - 3600, NOW + 3600
    span = start.to_bytes(4, "big") + end.to_bytes(4, "big")
    key = time_key(seed("lock"), GATEWAY, start, end)

    def tell(unix_s: int, prefix: bytes = span, by: bytes = key) -> None:
        session = bench.hello()
        order = maced_order(TimeOrder(LOCK_ID, unix_s, session.challenge.nonce, 20), by)
        bench.send(client.tell_time(session, client.DELEGATED, prefix + order)[1])

    tell(bench.unix_s)
    assert bench.unlock(bench.claims()).code == 0
    assert bench.log()[1].time_quality == 1
    assert refused(tell, end + 1) is LockRefusal.OUTSIDE_WINDOW
    assert refused(tell, start - 1) is LockRefusal.OUTSIDE_WINDOW
    assert refused(tell, NOW, span[:4] + (end + 1).to_bytes(4, "big")) is LockRefusal.BAD_SIGNATURE
    day = span[:4] + (start + 86_401).to_bytes(4, "big")
    assert refused(tell, NOW, day) is LockRefusal.OUTSIDE_WINDOW
    tell(end)  # a stolen time key runs ahead, as far as it goes
    bench.tell_time()  # and the cloud sets it right again
    assert bench.hello().challenge.time_s == bench.unix_s
    assert refused(tell, NOW - 1) is LockRefusal.OUTSIDE_WINDOW


@BOTH
def test_a_clock_that_was_not_set_for_days_loses_its_quality(profile: Profile) -> None:
    bench = ready(profile)
    for days, quality in ((0, 2), (1, 2), (2, 1), (6, 1), (7, 0)):
        bench.pass_time(days * 86_400 - bench.seconds)
        assert bench.hello().challenge.time_quality == quality
    assert refused(bench.unlock, bench.claims()) is LockRefusal.TIME_UNKNOWN


def test_the_issuers_key_is_rotated_by_its_newest_and_only_where_there_are_signatures() -> None:
    from tocsin.grants.lock_orders import RotateOrder, signed_order
    from tocsin.grants.primitives import public_key

    bench = ready(Profile.SIGNATURES)
    order = RotateOrder(LOCK_ID, b"\x00\x02", public_key(seed("issuer 2")))
    raw = signed_order(order, kid=b"\x00\x01", seed=seed("issuer 1"))
    bench.send(client.rotate(bench.hello(), raw)[1])
    bench.send(client.rotate(bench.hello(), raw)[1])
    issuers = bench.lock.state.durable.issuers
    assert issuers is not None
    assert sorted(issuers.keys) == [b"\x00\x01", b"\x00\x02"]
    assert bench.kinds().count(LockEventKind.ROTATED) == 1
    other = ready(Profile.MAC_ONLY)
    _, message = client.rotate(other.hello(), raw)
    assert refused(other.send, message) is LockRefusal.NOT_ALLOWED


@BOTH
def test_a_second_phone_is_turned_away_and_the_first_goes_on(profile: Profile) -> None:
    bench = ready(profile)
    session = bench.hello()
    assert bench.happens(Connected(2, 244)) == [Drop(2)]
    assert bench.lock.happens(Written(2, b"\x01\x01\x00\x80\x00\x00")) == [
        Refuse(2, LockRefusal.BUSY)
    ]
    assert bench.unlock(bench.claims(), session).code == 0


@BOTH
def test_an_idle_link_is_dropped_after_15_s(profile: Profile) -> None:
    bench = ready(profile)
    bench.pass_time(14)
    assert not bench.was_dropped
    bench.pass_time(1)
    assert bench.effects[-1] == Drop(LINK)
    assert bench.lock.state.link is None


@BOTH
def test_the_advertisement_tells_the_state_to_all_and_the_lock_to_its_site(
    profile: Profile,
) -> None:
    bench = Bench(profile)
    bench.happens(DoorMoved(True))
    bench.pass_time(900)
    adverts = [
        advert
        for effect in [*bench.lock.advertised, *bench.effects]
        if isinstance(effect, Advertise) and (advert := read_advert(effect.data))
    ]
    assert [Shown.DOOR_OPEN in advert.shown for advert in adverts] == [False, True, True]
    assert len({advert.random for advert in adverts}) == 3
    assert all(is_advert_of(advert, advert_key(seed("lock"))) for advert in adverts)
    assert not any(is_advert_of(advert, advert_key(seed("other"))) for advert in adverts)


def test_a_tick_without_news_wants_nothing() -> None:
    assert Bench(Profile.MAC_ONLY).happens(Tick()) == []
