"""The example of configs/mosquitto/ works with a real mosquitto and says what our own child says."""

from __future__ import annotations

from pathlib import Path

from tocsin.broker import Account
from tocsin.broker.accounts import hash_password
from tocsin.broker.child import MAX_QUEUED_BYTES
from tocsin.broker.mosquitto_conf import acl_file, main_file
from tocsin.contract import topics
from tocsin.testing import free_port, run_process, wait_until_sync
from tocsin.testing.peer import Peer

EXAMPLES = Path(__file__).parents[2] / "configs" / "mosquitto"
NOT_IN_DEBIANS_MAIN_FILE = {
    "max_inflight_messages", "max_queued_messages", "max_queued_bytes", "max_packet_size", "autosave_interval",
    "allow_anonymous",
}  # fmt: skip


def _settings(text: str) -> dict[str, str]:
    lines = [line.split(None, 1) for line in text.splitlines() if line and line[0] != "#"]
    return {words[0]: words[1] for words in lines if words[0] in NOT_IN_DEBIANS_MAIN_FILE}


def test_the_example_has_our_childs_settings_and_access_rules() -> None:
    ours = main_file(
        Path("/x"), "127.0.0.1", 1, tls=None, autosave_s=5, max_queued_bytes=MAX_QUEUED_BYTES
    )
    assert _settings((EXAMPLES / "mosquitto.conf").read_text()) == _settings(ours)
    rules = {
        line.replace("topic read tocsin", "").strip()
        for line in (EXAMPLES / "tocsin.acl").read_text().splitlines()
        if line.startswith("pattern")
    }
    assert rules == {
        line for line in acl_file([Account("gw-1", "p")]).splitlines() if line.startswith("pattern")
    }


def test_a_mosquitto_with_the_examples_access_file_lets_a_gateway_and_an_ingester_talk(
    tmp_path: Path,
) -> None:
    port = free_port()
    (tmp_path / "acl").write_text((EXAMPLES / "tocsin.acl").read_text())
    (tmp_path / "passwords").write_text(
        "".join(f"{user}:{hash_password('p')}\n" for user in ("gw-1", "ingest-0"))
    )
    text = (EXAMPLES / "mosquitto.conf").read_text()
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1\nuser root")
    text = text.replace("/etc/mosquitto/tocsin.", f"{tmp_path}/")
    kept = [line for line in text.splitlines() if not line.startswith(("certfile", "keyfile"))]
    (tmp_path / "mosquitto.conf").write_text("\n".join(kept) + "\n")
    with run_process(["/usr/sbin/mosquitto", "-c", str(tmp_path / "mosquitto.conf")]) as broker:
        wait_until_sync(lambda: broker.returncode is not None or _welcome(port), 20.0)
        assert broker.returncode is None, broker.stderr
        with Peer(port, "ingest-0", "p") as cloud, Peer(port, "gw-1", "p") as gateway:
            assert cloud.subscribe("tocsin/1/#")
            gateway.publish(topics.up("east", "gw-1", "telemetry"), b"hello")
            wait_until_sync(lambda: cloud.got)


def _welcome(port: int) -> bool:
    peer = Peer(port, "gw-1", "p")
    try:
        return peer.connect()
    except OSError:
        return False
    finally:
        peer.close()
