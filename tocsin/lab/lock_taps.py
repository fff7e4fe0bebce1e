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
from tocsin.grants.grant import PROOF_UNLOCK, Grant, issue, prove
from tocsin.grants.ids import id_of
from tocsin.grants.lock_orders import TimeOrder, signed_order
from tocsin.grants.primitives import public_key
from tocsin.lab import site
from tocsin.lab.children import Child, Children, LabError
from tocsin.lab.control import asked, ordered, started
from tocsin.lab.delay import Delay, delay
from tocsin.lab.lock_verify import HOLDER, ISSUER, KID, bench_claims
from tocsin.lab.permit_in_force import PermitMaker
from tocsin.permits.names import State
from tocsin.testing.brokers import INGESTER, throwaway_broker
from tocsin.testing.ingester import TestIngester

GATEWAY_ID, HEAD = b"gw-bench", "gas-1"
ALLOWED_MS = 200.0
REST_S = 0.2  # between two taps, for the gateway to read the lock's state once more


class TapFigure(msgspec.Struct, frozen=True):
    """Milliseconds. `wrong`: taps after which the bolt was not where it was said to be.

    `tap_to_open_ms` is challenge, the holder's signature and unlock together, until the gateway answers that the lock is open
    and its log is read and journalled. There is no radio in it. CPU is of a whole turn: open, lock again, look again twice.
    `approval_to_open_ms`: from the cloud's message that a permit is active, with its grant, until the lock of its space is open
    by a holder who taps as soon as the gateway shows it.
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
    approvals: int
    approval_to_open_ms: Delay


class Lock(msgspec.Struct, frozen=True):
    """One virtual lock in its space under its permit."""

    name: str
    id: bytes
    space: str
    permit: str


class Turn(msgspec.Struct, frozen=True):
    """One opening and locking again. Milliseconds; `agreed`: the bolt was each time where the gateway said.

    `open_s` is the moment of the answer, of `time.perf_counter`.
    """

    open_s: float
    whole_ms: float
    challenge_ms: float
    unlock_ms: float
    agreed: bool


class Rig:
    """A gateway, its locks, which know the time, and what tells it of permits."""

    def __init__(
        self,
        sim: Child,
        edge: Child,
        socket: Path,
        cloud: TestIngester,
        key: bytes,
        locks: tuple[Lock, ...],
    ) -> None:
        self.sim, self.edge, self.socket, self.cloud, self.key = sim, edge, socket, cloud, key
        self.locks = locks
        self._maker = PermitMaker(site.SITE, site.GATEWAY)
        self._number = 0

    def state(self, lock: Lock) -> dict[str, Any]:
        """What the lock itself says it is like."""
        stdin = self.sim.process.stdin
        assert stdin is not None  # noqa: S101 - we asked for a pipe
        stdin.write(b"state\n")
        stdin.flush()
        told = [self.sim.ready(10.0) for _ in self.locks]
        return next(one for one in told if one["lock"] == lock.name)

    def idle(self, lock: Lock) -> None:
        """Return once nobody is connected to the lock. Raises LabError."""
        time.sleep(REST_S)
        deadline_s = time.monotonic() + 30.0
        while self.state(lock)["connected"]:
            if time.monotonic() > deadline_s:
                raise LabError(f"{lock.name} is never left alone", hint=self.edge.tail())
            time.sleep(0.02)

    def done(
        self, lock: Lock, name: str, args: dict[str, str | int] | None = None
    ) -> dict[str, Any]:
        """The lock's answer to a command. Raises LabError where it was not carried out."""
        result = ordered(self.socket, lock.name, name, args)
        if result["outcome"] != "done":
            raise LabError(f"{name}: {result['outcome']}: {result['text']}", hint=self.edge.tail())
        answer: dict[str, Any] = result["answer"]
        return answer

    def tell_time(self, lock: Lock) -> None:
        """As the cloud does, with its key."""
        self.idle(lock)
        nonce = self.done(lock, "challenge")["nonce"]
        order = TimeOrder(lock.id, int(time.time()), bytes.fromhex(nonce), 1)
        signed = _b64(signed_order(order, kid=KID, seed=ISSUER))
        self.done(
            lock, "order", {"kind": "time", "form": "signed", "order": signed, "nonce": nonce}
        )
        self.idle(lock)

    def grant(self, lock: Lock) -> Grant:
        """One more for this lock."""
        self._number += 1
        claims = bench_claims(lock.id, int(time.time()), self._number, pmt=id_of(lock.permit))
        return issue(claims, kid=KID, seed=ISSUER)

    def approve(self, lock: Lock, grant: Grant) -> float:
        """The cloud tells of an active permit; returns when that was, once the gateway shows it. Raises LabError."""
        down = self._maker.down(lock.permit, lock.space, HEAD, self.key, lock.name, grant)
        sent_s = time.perf_counter()
        self.cloud.command(down, "permit")
        deadline_s = time.monotonic() + 30.0
        while not any(
            shown["permit"] == lock.permit and shown["state"] == State.ACTIVE
            for shown in asked(self.socket, "permits")
        ):
            if time.monotonic() > deadline_s:
                raise LabError(f"{lock.permit} does not become active", hint=self.edge.tail())
            time.sleep(0.005)
        return sent_s

    def turn(self, lock: Lock, grant: Grant) -> Turn:
        """One opening under the grant, and locked again."""
        began_s = time.perf_counter()
        nonce = self.done(lock, "challenge")["nonce"]
        told_s = time.perf_counter()
        cti = grant.claims.cti
        signature = prove(HOLDER, PROOF_UNLOCK, bytes.fromhex(nonce), lock.id, cti)
        proof: dict[str, str | int] = {
            "nonce": nonce, "grant": _b64(grant.raw), "holder": public_key(HOLDER).hex(), "signature": signature.hex(),
        }  # fmt: skip
        sent_s = time.perf_counter()
        self.done(lock, "unlock", proof)
        open_s = time.perf_counter()
        agreed = bool(self.state(lock)["unlocked"])
        self.idle(lock)
        self.done(lock, "relock", {"grant": _b64(grant.raw), "inside": 0, "by": "bench"})
        agreed &= not self.state(lock)["unlocked"]
        self.idle(lock)
        return Turn(
            open_s,
            (open_s - began_s) * 1e3,
            (told_s - began_s) * 1e3,
            (open_s - sent_s) * 1e3,
            agreed,
        )


@contextmanager
def lock_rig(folder: Path, count: int, broker: Kind) -> Iterator[Rig]:
    """So many spaces with a lock each, in `folder`; everything is ended at the end."""
    folder.mkdir()
    password, key = secrets.token_hex(16), secrets.token_hex(32)
    (folder / "password.secret").write_text(password, "utf-8")
    (folder / "command_key.secret").write_text(key, "utf-8")
    with (
        throwaway_broker(broker, accounts=[Account(site.GATEWAY, password)]) as uplink,
        TestIngester(
            uplink.port, INGESTER.user, INGESTER.password, site=site.SITE, gateway=site.GATEWAY
        ) as cloud,
        Children(folder / "logs") as children,
    ):
        issuer = f"{KID.hex()}:{public_key(ISSUER).hex()}"
        sim = children.start(
            "locks", "tocsin.cli", "lock-sim", "--profile", "B", "--count", str(count), "--issuer", issuer,
            "--gateway", GATEWAY_ID.hex(), "--stdin-lease", "--json",
        )  # fmt: skip
        unit = f"unit=1,device={HEAD},model=gas-head,profile={site.HEAD}"
        head = children.start(
            "head", "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0", "--unit", unit, "--stdin-lease"
        )  # fmt: skip
        told: dict[str, Any] = sim.ready()
        locks = tuple(
            Lock(one["id"], bytes.fromhex(one["lock_id"]), f"space-{n}", f"P{n}")
            for n, one in enumerate(told["devices"], 1)
        )
        tables = _driver(told["devices"]) + _head(str(head.ready()["port"])) + "[permits]\n"
        text = site.gateway_head(uplink.port) + tables + "".join(map(_space, locks))
        (folder / "gateway.toml").write_text(text, "utf-8")
        bus = {"DBUS_SYSTEM_BUS_ADDRESS": str(told["DBUS_SYSTEM_BUS_ADDRESS"])}

        def is_ready(socket: Path) -> bool:
            heard = {value["device"] for value in asked(socket, "values")}
            return bool(asked(socket, "status")["connected"]) and len(heard) == count + 1

        edge, socket = started(children, folder, bus, is_ready)
        rig = Rig(sim, edge, socket, cloud, key.encode(), locks)
        for lock in locks:
            rig.tell_time(lock)
        yield rig


def measure_taps(folder: Path, taps: int, approvals: int, broker: Kind) -> TapFigure:
    """One approval and so many taps at its lock, which is locked again after each; then the other approvals, each of another space."""
    with lock_rig(folder, approvals, broker) as rig:
        first, *others = rig.locks
        approved = [_approved(rig, first)]
        before = rig.edge.usage().cpu_s, rig.sim.usage().cpu_s
        found = [rig.turn(first, rig.grant(first)) for _ in range(taps)]
        after = rig.edge.usage().cpu_s, rig.sim.usage().cpu_s
        approved += [_approved(rig, lock) for lock in others]
    whole = delay([one.whole_ms for one in found])
    gateway_s, lock_s = (b - a for a, b in zip(before, after, strict=True))
    return TapFigure(
        taps=taps,
        wrong=sum(not one.agreed for one in found) + sum(not agreed for _, agreed in approved),
        tap_to_open_ms=whole,
        challenge_ms=delay([one.challenge_ms for one in found]),
        unlock_ms=delay([one.unlock_ms for one in found]),
        gateway_cpu_ms=round(gateway_s * 1e3 / taps, 1),
        lock_and_bus_cpu_ms=round(lock_s * 1e3 / taps, 1),
        allowed_p99_ms=ALLOWED_MS,
        within=whole.p99 is not None and whole.p99 < ALLOWED_MS,
        approvals=approvals,
        approval_to_open_ms=delay([took_ms for took_ms, _ in approved]),
    )


def _approved(rig: Rig, lock: Lock) -> tuple[float, bool]:
    """Milliseconds from the cloud's word to the open lock, and whether the bolt agreed."""
    grant = rig.grant(lock)
    sent_s = rig.approve(lock, grant)
    turn = rig.turn(lock, grant)
    return (turn.open_s - sent_s) * 1e3, turn.agreed


def _head(port: str) -> str:
    host, _, number = port.rpartition(":")
    return (
        f'[[drivers]]\ntype = "modbus"\nname = "heads"\ntcp = {{ host = "{host}", port = {number} }}\n'
        f'[[drivers.devices]]\nid = "{HEAD}"\nunit_id = 1\nprofile = "{site.HEAD}"\nperiod_s = 1.0\n'
    )


def _space(lock: Lock) -> str:
    return f'[[spaces]]\nid = "{lock.space}"\ngas = ["{HEAD}"]\nlocks = ["{lock.name}"]\n'


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
