"""`tocsin unlock LOCK` at a gateway whose cloud is away: the grant and its secret are here, the key is the holder's; a rescue takes two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from firmware_bridges.lock import sim
from tests.edge.permits.conftest import Plant
from tests.edge.permits.day import CloudSide
from tocsin.grants.claims import Claims, Op, encode_claims, holder_id
from tocsin.grants.grant import capability_key, issue
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import seal_for_gateway, time_key
from tocsin.grants.primitives import public_key
from tocsin.permits.facts import GrantNoted
from tocsin.permits.intervals import NS
from tocsin.permits.messages import LentTime, SealedGrant
from tocsin.permits.names import Action
from tocsin.permits.pins import hash_pin
from tocsin.testing import free_port, run_process

PROGRAM = [sys.executable, "-c", "from tocsin.cli import main; main()"]
PIN, GATEWAY, KID, ISSUER = "314159", "11" * 8, b"\x00\x01", bytes(range(32))
LI, WANG, SUN = b"l" * 32, b"w" * 32, b"s" * 32


class Rescue:
    """A lock without signatures, its gateway, and a permit at work with the rescue team's grants ready."""

    def __init__(self, plant: Plant, bus: str, device: dict[str, str]) -> None:
        self.plant, self.port = plant, free_port()
        self.env = os.environ | {"TOCSIN_DATA": str(plant.folder / "state")}
        keys = ", ".join(f'{k} = "{v}"' for k, v in (device | {"id": "hatch-1"}).items())
        drivers = f"""
[[drivers]]
type = "lock"
name = "hatches"
gateway_id = "{GATEWAY}"
find_s = 2
clock_error_s = 1
issuers = [{{ kid = "{KID.hex()}", public = "{public_key(ISSUER).hex()}" }}]
devices = [{{ {keys} }}]
"""
        plant.start(
            f'listen = "127.0.0.1:{self.port}"', drivers=drivers, DBUS_SYSTEM_BUS_ADDRESS=bus
        )
        self._k_lock = bytes.fromhex(sim.made(1, "A", "bench", {})[0].k_lock)
        self._lock_id = bytes.fromhex(device["lock_id"])
        seal = plant.folder / "data" / "permits" / "seal.pub"
        self._sealed_to = bytes.fromhex(seal.read_text("ascii").strip())
        self.cloud = CloudSide()
        self.cloud.space = msgspec.structs.replace(self.cloud.space, locks=("hatch-1",))
        self.cloud.to_active("zhou")
        self.cloud.grants = (
            self._grant(LI, "li", 1, Op.UNLOCK | Op.RELOCK, 1200),
            self._grant(WANG, "wang", 2, Op.RESCUE, 80_000),
            self._grant(SUN, "wang", 3, Op.RESCUE, 80_000),
        )
        self.cloud.people = tuple(
            msgspec.structs.replace(p, pin=hash_pin(PIN, p.account.encode().ljust(16, b".")))
            for p in self.cloud.people
        )
        plant.tell(self.cloud.down(times=(self._time(),)))
        plant.until(lambda: plant.state() == "active", "the permit")
        for name, seed in (("wang", WANG), ("sun", SUN)):
            (plant.folder / name).write_text(seed.hex())
        (plant.folder / "state").mkdir()
        (plant.folder / "state" / "holder.key").write_text(LI.hex())

    def _sealed(self, key: bytes, context: bytes) -> bytes:
        return seal_for_gateway(key, self._sealed_to, context=context, once=os.urandom(32))

    def _grant(self, seed: bytes, account: str, ctr: int, ops: Op, seconds: int) -> SealedGrant:
        now_s = int(time.time())
        claims = Claims(
            cti=os.urandom(8), sub=holder_id(public_key(seed)), aud=self._lock_id, nbf=now_s - 5,
            exp=now_s + seconds, pmt=id_of("P1"), ctr=ctr, ops=ops, uses=8,
        )  # fmt: skip
        noted = GrantNoted(
            claims.cti.hex(), "hatch-1", claims.sub.hex(), claims.exp * NS, ops == Op.RESCUE, account
        )  # fmt: skip
        self.cloud.note(noted, Action.GRANT)
        secret = capability_key(self._k_lock, encode_claims(claims))
        raw = issue(claims, kid=KID, seed=ISSUER).raw
        self.raws = [*getattr(self, "raws", []), raw]
        return SealedGrant(raw, self._sealed(secret, b"grant " + claims.cti))

    def _time(self) -> LentTime:
        since = int(time.time()) - 60
        key = time_key(self._k_lock, bytes.fromhex(GATEWAY), since, since + 3600)
        bare = LentTime("hatch-1", self._lock_id, since, since + 3600, b"")
        return msgspec.structs.replace(bare, sealed=self._sealed(key, bare.context))

    def run(self, *args: str, code: int = 0) -> Any:
        """`tocsin unlock` in a process of its own."""
        done = subprocess.run(
            [*PROGRAM, "unlock", *args, "--json"], cwd=self.plant.folder, env=self.env,
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout or done.stderr)

    def person(self, *args: str) -> tuple[str, str]:
        """What somebody at a terminal reads."""
        done = subprocess.run(
            [*PROGRAM, "unlock", *args], cwd=self.plant.folder, env=self.env,
            capture_output=True, text=True, timeout=90, check=True,
        )  # fmt: skip
        return done.stdout, done.stderr

    def emergency(self) -> None:
        """Somebody calls it at the gateway's own page."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60.0) as http:
            told = http.post("/api/login", json={"account": "li", "pin": PIN}).json()
            body = {"permit": "P1", "action": "emergency", "said": {"reason": "zhou fell"}}
            answer = http.post("/api/ask", json=body, headers={"x-csrf": told["csrf"]})
            assert answer.json()["done"], answer.text


@pytest.fixture
def rescue(plant: Plant, tmp_path: Path) -> Iterator[Rescue]:
    argv = [
        sys.executable, "-m", "firmware_bridges.lock.device", "--count", "1", "--gateway", GATEWAY,
        "--profile", "A", "--stdin-lease",
    ]  # fmt: skip
    with run_process(argv) as lock:
        told = json.loads(lock.wait_line('"ready"'))
        yield Rescue(plant, told["DBUS_SYSTEM_BUS_ADDRESS"], told["devices"][0])
        assert plant.agent.terminate() == 0


def test_a_name_is_enough_for_a_holder_and_in_an_emergency_two_of_the_team_open_with_the_cloud_cut(
    rescue: Rescue,
) -> None:
    plant = rescue.plant
    plant.proxy.cut()
    plant.until(lambda: not _connected(plant), "the cut")
    opened = rescue.run("hatch-1")
    assert (opened["outcome"], opened["name"]) == ("done", "unlock")
    stranger = rescue.run("hatch-1", "--register", "zhao", "--key", "stranger")
    assert (len(stranger["public"]), (plant.folder / "stranger").stat().st_mode & 0o777) == (64, 0o600)  # fmt: skip
    refused = rescue.run("hatch-1", "--key", "stranger", code=8)
    assert (refused["outcome"], refused["reason"]) == ("refused", "no-live-grant")

    early = rescue.run("hatch-1", "--key", "wang", code=8)
    assert early["reason"] == "no-live-grant", "rescue grants are no grants before an emergency"
    by_hand = _by_hand(rescue)
    assert (by_hand["outcome"], by_hand["reason"]) == ("refused", "not-allowed")
    assert "emergency only" in by_hand["text"]

    rescue.emergency()
    plant.until(lambda: plant.state() == "emergency", "the emergency, called here alone")
    assert rescue.run("hatch-1", code=8)["reason"] == "no-live-grant", (
        "the attendant's is no rescue"
    )
    alone = rescue.run("hatch-1", "--key", "wang", code=2)
    assert "two of the rescue team" in alone["error"]["message"]
    assert rescue.person("hatch-1", "--key", "wang", "--with", "sun") == (
        "done: hatch-1 is open\n",
        "asking hatch-1; a lock that does not answer takes half a minute\n",
    )
    plant.until(lambda: plant.permits()[0]["locks"][0]["last_event"] == "rescue", "the lock's log")


def _connected(plant: Plant) -> bool:
    from edge.control.client import ask

    status: Any = ask(plant.socket, "status")
    return bool(status["connected"])


def _by_hand(rescue: Rescue) -> Any:
    """Somebody has both rescue grants and both keys, and there is no emergency."""
    from edge.control.client import ask
    from edge.field.holder_key import HolderSeed
    from tocsin.contract.orders import pack
    from tocsin.grants.grant import PROOF_RESCUE

    def order(name: str, args: dict[str, str]) -> Any:
        packed = {k: str(v) for k, v in pack("hatch-1", name, args).items()}
        limits = {"actor": "wang", "within_s": "30"}
        return ask(rescue.plant.socket, "command", packed | limits, timeout_s=60.0)

    told = order("challenge", {})["answer"]
    args = {"nonce": told["nonce"]}
    for n, (seed, raw) in enumerate(zip((WANG, SUN), rescue.raws[1:], strict=True), 1):
        holder = HolderSeed(seed)
        args |= {
            f"grant_{n}": urlsafe_b64encode(raw).decode(),
            f"holder_{n}": holder.public.hex(),
            f"signature_{n}": holder.prove(PROOF_RESCUE, told, raw).hex(),
        }
    return order("rescue", args)
