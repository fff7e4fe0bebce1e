"""From a tap to an open lock: a gateway process with unmodified bleak, and virtual locks behind a BlueZ on a private D-Bus."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Account, Kind
from tocsin.grants.grant import PROOF_UNLOCK, issue, prove
from tocsin.grants.lock_orders import TimeOrder, signed_order
from tocsin.grants.primitives import public_key
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.control import asked, ordered, started
from tocsin.lab.delay import Delay, delay
from tocsin.lab.lock_verify import HOLDER, ISSUER, KID, bench_claims
from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.ingester import TestIngester

GATEWAY_ID, LOCK = b"gw-bench", "lock-1"
ALLOWED_MS = 200.0
REST_S = 0.2  # between two taps, for the gateway to read the lock's state once more


class TapFigure(msgspec.Struct, frozen=True):
    """Milliseconds. `wrong`: taps after which the bolt was not where it was said to be.

    `tap_to_open_ms` is challenge, the holder's signature and unlock together, until the gateway answers that the lock is open
    and its log is read and journalled. There is no radio in it. CPU is of a whole turn: open, lock again, look again twice.
    """

    taps: int
    wrong: int
    tap_to_open_ms: Delay
    challenge_ms: Delay
    unlock_ms: Delay
    gateway_cpu_ms: float
    lock_and_bus_cpu_ms: float
    allowed_p99_ms: float
    within: bool


class Rig:
    """A gateway that knows the lock, and the lock, which knows the time."""

    def __init__(self, sim: Child, edge: Child, socket: Path, lock_id: bytes) -> None:
        self.sim, self.edge, self.socket, self.lock_id = sim, edge, socket, lock_id
        self._number = 0

    def lock(self) -> dict[str, Any]:
        """What the lock itself says it is like."""
        stdin = self.sim.process.stdin
        assert stdin is not None  # noqa: S101 - we asked for a pipe
        stdin.write(b"state\n")
        stdin.flush()
        return self.sim.ready(10.0)

    def idle(self) -> None:
        """Return once nobody is connected to the lock. Raises LabError."""
        time.sleep(REST_S)
        deadline_s = time.monotonic() + 30.0
        while self.lock()["connected"]:
            if time.monotonic() > deadline_s:
                raise LabError("the lock is never left alone", hint=self.edge.tail())
            time.sleep(0.02)

    def done(self, name: str, args: dict[str, str | int] | None = None) -> dict[str, Any]:
        """The lock's answer to a command. Raises LabError where it was not carried out."""
        result = ordered(self.socket, LOCK, name, args)
        if result["outcome"] != "done":
            raise LabError(f"{name}: {result['outcome']}: {result['text']}", hint=self.edge.tail())
        answer: dict[str, Any] = result["answer"]
        return answer

    def tell_time(self) -> None:
        """As the cloud does, with its key."""
        nonce = self.done("challenge")["nonce"]
        order = TimeOrder(self.lock_id, int(time.time()), bytes.fromhex(nonce), 1)
        signed = signed_order(order, kid=KID, seed=ISSUER)
        self.done(
            "order", {"kind": "time", "form": "signed", "order": _b64(signed), "nonce": nonce}
        )

    def tap(self) -> tuple[float, float, float, bool]:
        """One opening under a grant of its own, and locked again: (whole, challenge, unlock) in ms; whether the bolt agreed."""
        self._number += 1
        grant = issue(
            bench_claims(self.lock_id, int(time.time()), self._number), kid=KID, seed=ISSUER
        )
        began_s = time.perf_counter()
        nonce = self.done("challenge")["nonce"]
        told_s = time.perf_counter()
        cti = grant.claims.cti
        signature = prove(HOLDER, PROOF_UNLOCK, bytes.fromhex(nonce), self.lock_id, cti)
        proof: dict[str, str | int] = {
            "nonce": nonce, "grant": _b64(grant.raw), "holder": public_key(HOLDER).hex(), "signature": signature.hex(),
        }  # fmt: skip
        sent_s = time.perf_counter()
        self.done("unlock", proof)
        open_s = time.perf_counter()
        agreed = bool(self.lock()["unlocked"])
        self.idle()
        self.done("relock", {"grant": _b64(grant.raw), "inside": 0, "by": "bench"})
        agreed &= not self.lock()["unlocked"]
        self.idle()
        whole_s, challenge_s, unlock_s = open_s - began_s, told_s - began_s, open_s - sent_s
        return whole_s * 1e3, challenge_s * 1e3, unlock_s * 1e3, agreed


@contextmanager
def lock_rig(folder: Path, broker: Kind) -> Iterator[Rig]:
    """Everything started in `folder`; ended at the end."""
    folder.mkdir()
    password = secrets.token_hex(16)
    (folder / "password.secret").write_text(password, "utf-8")
    (folder / "command_key.secret").write_text(secrets.token_hex(32), "utf-8")
    with (
        throwaway_broker(broker, accounts=[Account(site.GATEWAY, password)]) as uplink,
        TestIngester(
            uplink.port, INGESTER.user, INGESTER.password, site=site.SITE, gateway=site.GATEWAY
        ),
        Children(folder / "logs") as children,
    ):
        issuer = f"{KID.hex()}:{public_key(ISSUER).hex()}"
        sim = children.start(
            "locks", "tocsin.cli", "lock-sim", "--profile", "B", "--issuer", issuer, "--gateway", GATEWAY_ID.hex(),
            "--stdin-lease", "--json",
        )  # fmt: skip
        told: dict[str, Any] = sim.ready()
        config = folder / "gateway.toml"
        config.write_text(site.gateway_head(uplink.port) + _driver(told["devices"]), "utf-8")
        bus = {"DBUS_SYSTEM_BUS_ADDRESS": str(told["DBUS_SYSTEM_BUS_ADDRESS"])}
        edge, socket = started(children, folder, bus, _has_read_the_lock)
        rig = Rig(sim, edge, socket, bytes.fromhex(told["devices"][0]["lock_id"]))
        rig.idle()
        rig.tell_time()
        rig.idle()
        yield rig


def measure_taps(folder: Path, taps: int, broker: Kind) -> TapFigure:
    """So many openings, one after the other, the lock locked again after each."""
    with lock_rig(folder, broker) as rig:
        rig.tap()
        before = rig.edge.usage().cpu_s, rig.sim.usage().cpu_s
        found = [rig.tap() for _ in range(taps)]
        after = rig.edge.usage().cpu_s, rig.sim.usage().cpu_s
    whole = delay([one[0] for one in found])
    gateway_s, lock_s = (b - a for a, b in zip(before, after, strict=True))
    return TapFigure(
        taps,
        sum(not one[3] for one in found),
        whole,
        delay([one[1] for one in found]),
        delay([one[2] for one in found]),
        round(gateway_s * 1e3 / taps, 1),
        round(lock_s * 1e3 / taps, 1),
        ALLOWED_MS,
        whole.p99 is not None and whole.p99 < ALLOWED_MS,
    )


def _has_read_the_lock(socket: Path) -> bool:
    return bool(asked(socket, "status")["connected"]) and bool(asked(socket, "values"))


def _driver(devices: list[dict[str, str]]) -> str:
    head = (
        f'[[drivers]]\ntype = "lock"\nname = "locks"\ngateway_id = "{GATEWAY_ID.hex()}"\n'
        f'issuers = [{{ kid = "{KID.hex()}", public = "{public_key(ISSUER).hex()}" }}]\nlog_dir = "locks"\n'
    )
    return head + "".join(
        "[[drivers.devices]]\n" + "".join(f'{k} = "{v}"\n' for k, v in device.items())
        for device in devices
    )


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
