"""The doctor against brokers that are broken in every way we know."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from edge.doctor import broker
from edge.doctor.findings import Finding
from edge.options import UplinkOptions
from tocsin.broker import Account, ListenerTls
from tocsin.testing import free_port
from tocsin.testing.brokers import throwaway_broker

GATEWAY = Account("gw-1", "right-password")
NOW = datetime.now(UTC)


def _look(port: int, *, now: datetime = NOW, host: str = "127.0.0.1", **more: Any) -> list[Finding]:
    options = UplinkOptions.model_validate(
        {"host": host, "port": port, "password": GATEWAY.password} | more
    )
    return list(broker.look(options, "east", "gw-1", now))


def _only_failure(found: list[Finding]) -> Finding:
    failed = [f for f in found if f.state == "fail"]
    assert len(failed) == 1, found
    assert failed[0].fix
    return failed[0]


def test_a_good_broker_is_ok_and_nothing_is_published_there() -> None:
    with throwaway_broker("mosquitto", accounts=[GATEWAY]) as child:
        found = _look(child.port)
        assert [f.state for f in found] == ["ok", "ok"], found
        log = child.log_path.read_text()
        assert "PUBLISH" not in log


def test_nobody_listens() -> None:
    assert "refused" in _only_failure(_look(free_port())).text


def test_a_name_without_an_address() -> None:
    found = _only_failure(_look(1883, host="no-such-broker.invalid", clear=True))
    assert "no address is known" in found.text


def test_a_wrong_password() -> None:
    with throwaway_broker("mosquitto", accounts=[GATEWAY]) as child:
        failure = _only_failure(_look(child.port, password="wrong"))
        assert "refuses 'gw-1'" in failure.text
        assert "Not authorized" in failure.text


def test_an_account_that_may_not_hear_its_orders() -> None:
    """mosquitto grants every subscription and then sends nothing: there the name of the account tells."""
    accounts = [GATEWAY, Account("gw-2", "p")]
    for kind in ("mosquitto", "amqtt"):
        with throwaway_broker(kind, accounts=accounts) as child:
            found = _look(child.port, username="gw-2", password="p")
            assert any(f.state == "warn" and "account is 'gw-2'" in f.text for f in found)
            if kind == "amqtt":
                assert "does not let 'gw-1' hear" in _only_failure(found).text


@contextmanager
def _server(answer: bytes | None) -> Iterator[int]:
    """Takes a connection, and says `answer` or nothing."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                kept.append(link)
                if answer is not None:
                    link.sendall(answer)
                    link.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for link in kept:
        link.close()


def test_a_port_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_STEP_S", 0.5)
    with _server(None) as port:
        assert "does not answer in MQTT" in _only_failure(_look(port)).text


def test_a_port_that_speaks_something_else() -> None:
    with _server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "hung up" in _only_failure(_look(port)).text


class _Files:
    """A broker's certificate for 127.0.0.1, and what a client needs."""

    def __init__(self, folder: Path, ends: datetime | None = None, name: str = "127.0.0.1") -> None:
        self.authority = trustme.CA()
        made = self.authority.issue_cert(
            name, not_after=(ends or NOW + timedelta(days=300)).replace(tzinfo=None)
        )
        self.ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        made.cert_chain_pems[0].write_to_path(str(cert))
        made.private_key_pem.write_to_path(str(key))
        self.listener = ListenerTls(cert, key)


def test_a_certificate_that_ends_soon_is_warned_of_and_one_that_ended_fails(tmp_path: Path) -> None:
    files = _Files(tmp_path, NOW + timedelta(days=10))
    with throwaway_broker("mosquitto", accounts=[GATEWAY], tls=files.listener) as child:
        found = _look(child.port, tls={"ca": files.ca})
        assert [(f.check, f.state) for f in found] == [
            ("authority", "ok"), ("broker", "warn"), ("broker", "ok"), ("broker", "ok"),
        ]  # fmt: skip
        assert "ends in 9 days" in found[1].text
        late = _look(child.port, tls={"ca": files.ca}, now=NOW + timedelta(days=11))
        assert "ended on" in _only_failure(late).text


def test_an_expired_certificate_of_the_broker_is_named(tmp_path: Path) -> None:
    files = _Files(tmp_path, NOW - timedelta(days=1))
    with throwaway_broker("mosquitto", accounts=[GATEWAY], tls=files.listener) as child:
        assert "expired" in _only_failure(_look(child.port, tls={"ca": files.ca})).text


def test_a_broker_of_another_authority_or_another_name_is_not_believed(tmp_path: Path) -> None:
    files = _Files(tmp_path, name="somewhere.else")
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with throwaway_broker("mosquitto", accounts=[GATEWAY], tls=files.listener) as child:
        assert "not believed" in _only_failure(_look(child.port, tls={"ca": other})).text
        assert "mismatch" in _only_failure(_look(child.port, tls={"ca": files.ca})).text
        missing = _look(child.port, tls={"ca": tmp_path / "no.pem"})
        assert {f.state for f in missing} == {"fail"}


def test_tls_towards_a_broker_in_clear_and_the_other_way_round(tmp_path: Path) -> None:
    files = _Files(tmp_path)
    with throwaway_broker("mosquitto", accounts=[GATEWAY]) as child:
        failure = _only_failure(_look(child.port, tls={"ca": files.ca}))
        assert "TLS" in failure.fix or "tls" in failure.fix
    with throwaway_broker("mosquitto", accounts=[GATEWAY], tls=files.listener) as child:
        assert "hung up" in _only_failure(_look(child.port)).text
