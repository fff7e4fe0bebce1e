"""What a gateway, or a stranger, may not do at a provisioned broker: each forgery is tried."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.provision.authority import Authority
from tests.cloud.provision.conftest import Site, context, provisioned
from tocsin.contract import topics
from tocsin.testing import wait_until_sync
from tocsin.testing.peer import Peer

OWN_UP = topics.up("east", "gw-a", "telemetry")
OTHERS = OWN_UP.replace("gw-a", "gw-b")


def test_a_gateway_speaks_under_its_own_name_and_hears_its_own_orders(site: Site) -> None:
    down = topics.down("east", "gw-a", "command")
    with site.peer("cloud-0") as cloud, site.peer("gw-a") as gateway:
        assert cloud.subscribe("tocsin/1/#")
        assert gateway.subscribe(topics.down("east", "gw-a", "#"))
        gateway.publish(OWN_UP, b"reading")
        gateway.publish(topics.state("east", "gw-a"), b"online")
        cloud.publish(down, b"order")
        wait_until_sync(lambda: len(cloud.got) >= 3 and gateway.got)
        assert (OWN_UP, b"reading") in cloud.got
        assert gateway.got == [(down, b"order")]


@pytest.mark.parametrize(
    "topic",
    [
        pytest.param(OTHERS, id="another gateway's readings"),
        pytest.param(topics.state("east", "gw-b"), id="another gateway's state"),
        pytest.param(topics.down("east", "gw-a", "ack"), id="its own commit-acks"),
        pytest.param(topics.down("east", "gw-a", "command"), id="orders to itself"),
        pytest.param(topics.down("east", "gw-b", "command"), id="orders to another"),
        pytest.param("tocsin/1/0/east/gw-a/elsewhere", id="a topic that does not exist"),
    ],
)
def test_what_a_gateway_may_not_write_reaches_nobody(site: Site, topic: str) -> None:
    with site.peer("cloud-0") as cloud:
        assert cloud.subscribe("tocsin/1/#")
        _try_to_publish(site.peer("gw-a"), topic, b"forged")
        with site.peer("gw-a") as again:
            again.publish(OWN_UP, b"after it")
        wait_until_sync(lambda: (OWN_UP, b"after it") in cloud.got)
        assert b"forged" not in [payload for _, payload in cloud.got]
    with site.peer("cloud-0") as later:  # and nothing stayed there
        assert later.subscribe("tocsin/1/#")
        later.publish("tocsin/1/0/x/y/up/z", b"mark")
        wait_until_sync(lambda: b"mark" in [payload for _, payload in later.got])
        assert b"forged" not in [payload for _, payload in later.got]


def _try_to_publish(peer: Peer, topic: str, payload: bytes) -> None:
    """mosquitto may end the session of who tries."""
    with peer, suppress(RuntimeError):
        peer.publish(topic, payload, retain=True)


def test_a_gateway_hears_nothing_that_is_for_others(site: Site) -> None:
    with site.peer("cloud-0") as cloud, site.peer("gw-a") as spy, site.peer("gw-b") as other:
        for wanted in ("#", "tocsin/1/#", topics.down("east", "gw-b", "#"), "$SYS/#"):
            spy.subscribe(wanted)
        assert other.subscribe(topics.down("east", "gw-b", "#"))
        assert spy.subscribe(topics.down("east", "gw-a", "#"))
        cloud.publish(topics.down("east", "gw-b", "command"), b"for b")
        other.publish(topics.up("east", "gw-b", "telemetry"), b"of b")
        cloud.publish(topics.down("east", "gw-a", "command"), b"for a")
        wait_until_sync(lambda: spy.got and other.got)
        assert {payload for _, payload in spy.got} == {b"for a"}


def test_the_name_is_the_certificates_whatever_user_and_password_say(site: Site) -> None:
    with site.peer("cloud-0") as cloud:
        assert cloud.subscribe("tocsin/1/#")
        _try_to_publish(site.peer("gw-a", user="gw-b", password="guess"), OTHERS, b"as b")
        with site.peer("gw-a", user="gw-b", password="guess") as liar:
            liar.publish(OWN_UP, b"as a")
        wait_until_sync(lambda: b"as a" in [p for _, p in cloud.got])
        assert b"as b" not in [p for _, p in cloud.got]


def test_nobody_ends_another_ones_session_by_its_client_id(site: Site) -> None:
    with site.peer("gw-b") as victim, site.peer("cloud-0") as cloud:
        assert cloud.subscribe("tocsin/1/#")
        with site.peer("gw-a", client_id="gw-b"):
            pass
        with site.peer("gw-a", client_id="peer-gw-b"):
            pass
        victim.publish(OTHERS, b"still here")
        wait_until_sync(lambda: b"still here" in [p for _, p in cloud.got])
        assert victim.is_connected


def test_a_last_will_on_another_gateways_state_is_not_published(site: Site) -> None:
    with site.peer("cloud-0") as cloud:
        assert cloud.subscribe("tocsin/1/#")
        forger = site.peer("gw-a")
        forger.will(topics.state("east", "gw-b"), b"forged will")
        try:
            connected = forger.connect()
        except (OSError, TimeoutError):
            connected = False
        forger.drop()
        with site.peer("gw-b") as other:
            other.publish(OTHERS, b"mark")
        wait_until_sync(lambda: b"mark" in [p for _, p in cloud.got])
        assert b"forged will" not in [p for _, p in cloud.got], f"connected: {connected}"


def _refused(peer: Peer) -> bool:
    try:
        return not peer.connect()
    except (OSError, TimeoutError):
        return True
    finally:
        peer.close()


def test_without_a_certificate_nobody_is_let_in(site: Site) -> None:
    bare = ssl.create_default_context(cafile=site.place("gw-a") / "ca.pem")
    assert _refused(Peer(site.port, "gw-a", "guess", tls=bare))


def test_in_clear_nobody_is_let_in(site: Site) -> None:
    assert _refused(Peer(site.port, "gw-a", "guess"))


def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    other, _ = Authority.create("another", datetime.now(UTC))
    _write(tmp_path, other, datetime.now(UTC), days=10)
    assert _refused(
        Peer(site.port, "gw-a", "", tls=context(tmp_path, site.place("gw-a") / "ca.pem"))
    )


def test_an_expired_certificate_is_refused(site: Site, tmp_path: Path) -> None:
    place = site.folder.path / "authority"
    ours = Authority((place / "ca.pem").read_bytes(), (place / "ca.key").read_bytes())
    _write(tmp_path, ours, datetime.now(UTC) - timedelta(days=20), days=10)
    assert _refused(Peer(site.port, "gw-a", "", tls=context(tmp_path, place / "ca.pem")))


def _write(place: Path, authority: Authority, now: datetime, *, days: int) -> None:
    made = authority.issue("gw-a", "gateway", now, days)
    (place / "cert.pem").write_bytes(made.cert)
    (place / "key.pem").write_bytes(made.key)


def test_a_gateway_does_not_believe_a_broker_with_a_gateways_certificate(site: Site) -> None:
    """A stolen gateway key must not be able to play the broker."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(site.place("gw-b") / "cert.pem", site.place("gw-b") / "key.pem")
    ours, theirs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    client_side = context(site.place("gw-a")).wrap_bio(
        ours[0], ours[1], server_hostname="127.0.0.1"
    )
    server_side = server.wrap_bio(theirs[0], theirs[1], server_side=True)

    def shake_hands() -> None:
        for _ in range(10):
            for side in (client_side, server_side):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                theirs[0].write(ours[1].read())
                ours[0].write(theirs[1].read())

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands()


def test_a_revoked_gateway_is_shut_out_and_a_renewed_one_let_in(tmp_path: Path) -> None:
    site, now = provisioned(tmp_path), datetime.now(UTC)
    (lost := tmp_path / "lost").mkdir()
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (lost / name).write_bytes((site.place("gw-b") / name).read_bytes())
    assert len(site.folder.revoke("gw-a", now)) == 1
    site.folder.renew("gw-b", now, 30, revoke_old=True)
    with site.broker():
        assert _refused(site.peer("gw-a"))
        assert _refused(Peer(site.port, "gw-b", "", tls=context(lost)))
        with site.peer("gw-b") as renewed:
            assert renewed.is_connected
