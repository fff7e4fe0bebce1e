"""The whole way as people go it: processes of their own, a private D-Bus between them, unmodified bleak."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tocsin.grants.claims import Claims, Op, holder_id
from tocsin.grants.grant import issue
from tocsin.grants.lock_orders import TimeOrder, signed_order
from tocsin.grants.primitives import public_key
from tocsin.testing import Process, run_process, wait_until_sync

PROGRAM = [sys.executable, "-c", "from tocsin.cli import main; main()"]
KID, ISSUER, HOLDER, GATEWAY = b"\x00\x01", bytes(range(32)), b"h" * 32, "11" * 8


class Terminal:
    """A shell beside the gateway; its Bluetooth is the private bus."""

    def __init__(self, folder: Path, bus: str, devices: list[dict[str, str]]) -> None:
        self.folder, self.devices = folder, devices
        self.env = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus}
        listed = ",\n  ".join(
            "{ " + ", ".join(f'{k} = "{v}"' for k, v in one.items()) + " }" for one in devices
        )
        (folder / "gateway.toml").write_text(
            f"""schema = 1

[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"

[[drivers]]
type = "lock"
name = "hatches"
gateway_id = "{GATEWAY}"
issuers = [{{ kid = "{KID.hex()}", public = "{public_key(ISSUER).hex()}" }}]
log_dir = "data/locks"
devices = [
  {listed}
]
""",
            "utf-8",
        )

    def run(self, *args: str, code: int | None = 0) -> Any:
        """One command's JSON object."""
        done = subprocess.run(
            [*PROGRAM, *args, "--json"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert code in (None, done.returncode), (args, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def tell_time(self, lock: str) -> None:
        """What the cloud does: sign the time over the lock's nonce."""
        told = self.run("edge", "command", lock, "challenge", "--actor", "cloud")["answer"]
        order = TimeOrder(
            bytes.fromhex(told["lock_id"]), int(time.time()), bytes.fromhex(told["nonce"]), 1
        )
        text = base64.urlsafe_b64encode(signed_order(order, kid=KID, seed=ISSUER)).decode()
        nonce = f"nonce={told['nonce']}"
        self.run(
            "edge", "command", lock, "order", "kind=time", f"order={text}", nonce, "--actor", "cloud"
        )  # fmt: skip

    def grant(self, lock_id: str) -> str:
        """A live grant for the holder, in a file."""
        now_s = int(time.time())
        claims = Claims(
            cti=os.urandom(8),
            sub=holder_id(public_key(HOLDER)),
            aud=bytes.fromhex(lock_id),
            nbf=now_s - 5,
            exp=now_s + 600,
            pmt=b"permit-1",
            ctr=1,
            ops=Op.UNLOCK | Op.RELOCK,
        )
        file = self.folder / "grant"
        file.write_bytes(issue(claims, kid=KID, seed=ISSUER).raw)
        return str(file)


@contextmanager
def site(folder: Path) -> Iterator[tuple[Terminal, Process]]:
    """Two virtual locks in a process of their own, and a shell."""
    command = [
        sys.executable, "-m", "firmware_bridges.lock.device", "--count", "2", "--gateway", GATEWAY,
        "--issuer", f"{KID.hex()}:{public_key(ISSUER).hex()}", "--stdin-lease",
    ]  # fmt: skip
    with run_process(command) as locks:
        told = json.loads(locks.wait_line('"ready"'))
        yield Terminal(folder, told["DBUS_SYSTEM_BUS_ADDRESS"], told["devices"]), locks


def test_a_lock_is_found_examined_opened_and_seen_open(tmp_path: Path) -> None:
    with site(tmp_path) as (shell, locks):
        found = shell.run("discover", "ble", "--for", "1")["devices"]
        assert [one["lock"][0] for one in found] == ["locked", "locked"]
        report = shell.run("doctor", "-c", "gateway.toml", code=None)["findings"]
        assert [one["state"] for one in report if one["check"] == "driver hatches"] == ["ok"], (
            report
        )
        probed = shell.run("edge", "probe", "-c", "gateway.toml")
        assert "profile B" in json.dumps(probed)
        agent = [*PROGRAM, "edge", "run", "-c", "gateway.toml"]
        with run_process(agent, cwd=tmp_path, env=shell.env):
            device = shell.devices[1]
            wait_until_sync(lambda: _ok(shell, device["id"]))
            shell.tell_time(device["id"])
            (tmp_path / "key").write_text(HOLDER.hex())
            unlock = ["unlock", device["id"], "--key", "key", "--actor", "zhang", "--grant"]
            grant = shell.grant(device["lock_id"])
            assert shell.run(*unlock, grant)["outcome"] == "done"
            again = shell.run(*unlock, grant, code=5)
            assert (again["outcome"], again["reason"]) == ("failed", "already-used")
            other = ["unlock", shell.devices[0]["id"], *unlock[2:]]
            wrong = shell.run(*other, grant, code=8)
            assert (wrong["outcome"], wrong["reason"]) == ("refused", "wrong-lock")
            wait_until_sync(lambda: _value(shell, device["id"], "locked") is False)
            assert _value(shell, shell.devices[0]["id"], "locked") is True
            wait_until_sync(lambda: _value(shell, device["id"], "log_events") == 4)
        locks.write_line("state")
        line = json.loads(locks.wait_line(f'"lock":"{device["id"]}"'))
        assert (line["unlocked"], line["events"], line["acknowledged"]) == (True, 4, 4)


def test_without_a_bus_the_locks_are_reached_over_a_controller_of_their_own(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "firmware_bridges.lock.device", "--profile", "A"]
    with run_process(
        [*command, "--gateway", GATEWAY, "--stdin-lease"], env={"PATH": "/none"}
    ) as it:
        told = json.loads(it.wait_line('"ready"'))
        shell = Terminal(tmp_path, "unix:path=/none", told["devices"])
        file = tmp_path / "gateway.toml"
        file.write_text(
            file.read_text().replace("log_dir", f'hci = "{told["hci"]}"\nlog_dir'), "utf-8"
        )
        assert "profile A" in json.dumps(shell.run("edge", "probe", "-c", "gateway.toml"))
        it.write_line("door nowhere open")
        it.write_line("handle lock-1")
        assert json.loads(it.wait_line('"unlocked":true'))["lock"] == "lock-1"
        assert any("which lock?" in line for line in it.stderr)


def _ok(shell: Terminal, device: str) -> bool:
    if not (shell.folder / "data" / "control.sock").exists():
        return False
    states = {one["id"]: one["state"] for one in shell.run("edge", "status")["devices"]}
    return bool(states[device] == "ok")


def _value(shell: Terminal, device: str, quantity: str) -> object:
    for one in shell.run("edge", "values"):
        if (one["device"], one["quantity"]) == (device, quantity):
            return one["value"]
    return None
