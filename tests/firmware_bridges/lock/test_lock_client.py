"""The client's side: it goes no further with a lock that is not the one it was given a key for."""

from __future__ import annotations

import pytest

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, Bench, seed
from firmware_bridges.lock.frames import Kind, Message
from firmware_bridges.lock.gatt import INFO, LOG, Profile, decode_info, read_advert
from firmware_bridges.lock.happenings import DoorMoved
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.lock_keys import gateway_key

NONCE = bytes(range(16))
K_GW = gateway_key(seed("lock"), GATEWAY, 1)


def challenge(bench: Bench) -> bytes:
    bench.connect()
    return bench.send(client.hello(GATEWAY, NONCE)).body


def test_a_lock_that_changes_or_forges_any_byte_of_its_challenge_is_not_ours() -> None:
    body = challenge(Bench(Profile.SIGNATURES))
    client.opened(body, GATEWAY, K_GW, NONCE)
    for at in range(len(body)):
        bad = bytearray(body)
        bad[at] ^= 1 << at % 8
        with pytest.raises(GrantRefusedError):
            client.opened(bytes(bad), GATEWAY, K_GW, NONCE)


@pytest.mark.parametrize(
    ("k_gw", "nonce"),
    [
        (gateway_key(seed("another lock"), GATEWAY, 1), NONCE),
        (gateway_key(seed("lock"), b"gw-00008", 1), NONCE),
        (gateway_key(seed("lock"), GATEWAY, 2), NONCE),
        (K_GW, bytes(16)),
    ],
    ids=["another lock", "another gateway's key", "another epoch", "a challenge heard before"],
)
def test_a_lock_that_does_not_know_our_key_is_refused(k_gw: bytes, nonce: bytes) -> None:
    body = challenge(Bench(Profile.SIGNATURES))
    with pytest.raises(GrantRefusedError, match="gateway epoch is 1") as refused:
        client.opened(body, GATEWAY, k_gw, nonce)
    assert refused.value.reason is LockRefusal.BAD_SIGNATURE


def test_an_answer_changed_doubled_or_of_another_kind_is_not_believed() -> None:
    bench = Bench(Profile.SIGNATURES)
    session = bench.hello()
    session, message = client.get_log(session, 1, 16)
    answer = bench.send(message)
    after, _ = client.read_page(session, answer)
    with pytest.raises(GrantRefusedError):
        client.read_page(after, answer)
    with pytest.raises(GrantRefusedError, match="LOGPAGE came in place of RESULT"):
        client.read_result(session, answer)
    with pytest.raises(GrantRefusedError):
        client.read_result(session, Message(Kind.RESULT, answer.body))
    for at in range(len(answer.body)):
        bad = bytearray(answer.body)
        bad[at] ^= 1 << at % 8
        with pytest.raises(GrantRefusedError):
            client.read_page(session, Message(Kind.LOGPAGE, bytes(bad)))


def test_news_that_were_missed_do_not_stop_what_follows() -> None:
    bench = Bench(Profile.MAC_ONLY)
    session = bench.hello()
    for is_open in (True, False):
        bench.happens(DoorMoved(is_open))
    session, news = client.read_news(session, bench.inbox[-1])  # the first was lost on the way
    assert news.event_seq == bench.lock.state.seq


def test_secrets_are_never_printed() -> None:
    bench = Bench(Profile.MAC_ONLY)
    session = bench.hello()
    text = repr(session) + repr(bench.lock.identity) + repr(bench.lock.state)
    assert "***" in text
    for secret in (seed("lock"), K_GW, session.keys.key):
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text


def test_info_and_advertisements_of_others_are_told_from_ours() -> None:
    bench = Bench(Profile.SIGNATURES)
    data = bench.lock.read(INFO.upper())
    assert decode_info(data).lock_id == bench.lock.identity.lock_id
    for bad, reason in (
        (data[:-1], LockRefusal.MALFORMED),
        (b"\x02" + data[1:], LockRefusal.UNSUPPORTED_VERSION),
        (data[:3] + b"\x09" + data[4:], LockRefusal.MALFORMED),
        (b"", LockRefusal.MALFORMED),
    ):
        with pytest.raises(GrantRefusedError) as refused:
            decode_info(bad)
        assert refused.value.reason is reason
    assert read_advert(b"\x02" + bytes(9)) is None
    assert read_advert(b"\x01" + bytes(8)) is None
    with pytest.raises(KeyError):
        bench.lock.read(LOG)
