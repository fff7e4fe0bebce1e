"""`tocsin provision`, as a process."""

from __future__ import annotations

import json
import re
import ssl
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cloud.config import load_cloud
from cloud.provision.authority import hosts_of
from edge.config import load_gateway
from edge.lan.server import server_context


def _run(*argv: str, at: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from tocsin.cli import main; main()", "provision", *argv]
    return subprocess.run(
        [*program, "--dir", str(at), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _error(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 3, done.stdout + done.stderr
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert error["code"] == "provision.refused"
    return error


@pytest.fixture
def made(tmp_path: Path) -> Path:
    at = tmp_path / "provision"
    done = _run("init", "--broker-host", "mqtt.example", "--broker-host", "10.1.2.3", at=at)
    assert done.returncode == 0, done.stderr
    assert _run("gateway", "gw-1", "--site", "east", at=at).returncode == 0
    return at


def test_what_it_writes_is_right_and_private(made: Path) -> None:
    gateway = load_gateway(made / "gateways" / "gw-1" / "gateway.toml")
    assert gateway.value.uplink is not None
    assert (gateway.value.uplink.host, gateway.value.uplink.port) == ("mqtt.example", 8883)
    cloud = made / "cloud" / "cloud.toml"
    block = (made / "gateways" / "gw-1" / "cloud-block.toml").read_text()
    cloud.write_text(cloud.read_text() + block)
    entry = load_cloud(cloud).value.gateways[0]
    assert (entry.id, entry.site) == ("gw-1", "east")
    assert entry.command_key == gateway.value.commands.key
    private = [p for p in made.rglob("*") if p.name in ("key.pem", "ca.key", "command-key")]
    assert len(private) == 5
    assert {stat.S_IMODE(p.stat().st_mode) for p in private} == {0o600}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_nothing_is_overwritten(made: Path) -> None:
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    assert "not empty" in _error(_run("init", "--broker-host", "other", at=made))["message"]
    taken = _error(_run("gateway", "gw-1", "--site", "west", at=made))
    assert "renew gw-1" in taken["hint"]
    _error(_run("gateway", "cloud-0", "--site", "west", at=made))
    assert {p: p.read_bytes() for p in made.rglob("*") if p.is_file()} == before


def test_renewing_keeps_the_name_and_the_hosts(made: Path) -> None:
    old = (made / "broker" / "cert.pem").read_bytes()
    assert _run("renew", "broker", "--days", "30", at=made).returncode == 0
    assert (made / "broker" / "cert.pem").read_bytes() != old
    from cloud.provision.authority import hosts_of

    assert hosts_of((made / "broker" / "cert.pem").read_bytes()) == ["mqtt.example", "10.1.2.3"]
    listed = json.loads(_run("list", at=made).stdout)
    assert [(e["name"], e["role"], e.get("site", "")) for e in listed] == [
        ("broker", "broker", ""),
        ("cloud-0", "cloud", ""),
        ("gw-1", "gateway", "east"),
        ("broker", "broker", ""),
    ]


def test_mistakes_are_told(made: Path, tmp_path: Path) -> None:
    assert "init" in _error(_run("list", at=tmp_path / "nothing"))["hint"]
    assert "no certificate" in _error(_run("revoke", "gw-9", at=made))["message"]
    named = _run("gateway", "Gate way", "--site", "east", at=made)
    assert named.returncode == 2
    assert "no name" in json.loads(named.stdout)["error"]["message"]
    (made / "authority" / "ca.key").write_text("rubbish")
    assert "authority" in _error(_run("list", at=made))["message"]


def test_a_page_gets_a_certificate_that_a_phone_with_the_authority_believes_and_nobody_logs_in_with(
    made: Path,
) -> None:
    hosts = ("--host", "127.0.0.1", "--host", "gw-1.local")
    done = _run("page", "gw-1", *hosts, at=made)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", told["ca_sha256"])
    assert stat.S_IMODE(Path(told["key"]).stat().st_mode) == 0o600
    server, phone = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = server_context(Path(told["cert"]), Path(told["key"]))
    trusting = ssl.create_default_context(cafile=told["ca"])
    ours = context.wrap_bio(server, phone, server_side=True)
    theirs = trusting.wrap_bio(phone, server, server_hostname="gw-1.local")
    for _ in range(4):
        for side in (theirs, ours):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert theirs.version() == "TLSv1.3"
    with pytest.raises(
        ssl.SSLError
    ):  # a page's certificate is no client's: the broker turns it away
        _as_client(Path(told["cert"]), Path(told["key"]), Path(told["ca"]))
    first = Path(told["cert"]).read_bytes()
    assert "renew gw-1.page" in _error(_run("page", "gw-1", *hosts, at=made))["hint"]
    nobody = _error(_run("page", "gw-9", *hosts, at=made))
    assert "provision gateway gw-9" in nobody["hint"]
    assert "no gateway" in _error(_run("page", "cloud-0", *hosts, at=made))["message"]
    own = (made / "gateways" / "gw-1" / "cert.pem").read_bytes()
    assert _run("renew", "gw-1.page", at=made).returncode == 0
    renewed = Path(told["cert"]).read_bytes()
    assert renewed != first
    assert hosts_of(renewed) == ["127.0.0.1", "gw-1.local"]
    assert (made / "gateways" / "gw-1" / "cert.pem").read_bytes() == own, "its identity stays"


def _as_client(cert: Path, key: Path, ca: Path) -> None:
    """A server that wants certificates from its clients, as the broker does, is shown this one."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=ca)
    client.load_cert_chain(cert, key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname="gw-1.local")
    for _ in range(4):
        for side in (theirs, ours):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
