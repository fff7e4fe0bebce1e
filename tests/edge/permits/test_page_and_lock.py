"""A phone at a real gateway over TLS, and a virtual lock through unmodified bleak: unlock, and no lock over anyone's head."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trustme
from playwright.sync_api import expect, sync_playwright

from edge.control.client import ask
from tests.edge.permits.conftest import Plant
from tests.edge.permits.day import CloudSide
from tocsin.contract.orders import pack
from tocsin.grants.claims import Claims, Op, holder_id
from tocsin.grants.grant import PROOF_UNLOCK, issue, prove
from tocsin.grants.ids import id_of
from tocsin.grants.lock_orders import TimeOrder, signed_order
from tocsin.grants.primitives import public_key, sign
from tocsin.permits.facts import GrantNoted
from tocsin.permits.intervals import NS
from tocsin.permits.messages import SealedGrant
from tocsin.permits.names import Action
from tocsin.permits.pins import hash_pin
from tocsin.testing import Process, free_port, run_process

PIN, GATEWAY, KID = "314159", "11" * 8, b"\x00\x01"
ISSUER, HOLDER, STRANGER = bytes(range(32)), b"h" * 32, b"s" * 32
SHOTS = Path(".test-run") / "attendant"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Hatch:
    """A gateway with a lock, its page over TLS, and a permit at work under a live grant."""

    def __init__(self, plant: Plant, lock: Process, bus: str, device: dict[str, str]) -> None:
        self.plant, self.device, port = plant, device, free_port()
        self._lock = lock
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1")
        folder = plant.folder
        own.private_key_pem.write_to_path(folder / "page-key.pem")
        own.cert_chain_pems[0].write_to_path(folder / "page-cert.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        keys = ", ".join(f'{k} = "{v}"' for k, v in (device | {"id": "hatch-1"}).items())
        drivers = f"""
[[drivers]]
type = "lock"
name = "hatches"
gateway_id = "{GATEWAY}"
find_s = 2
issuers = [{{ kid = "{KID.hex()}", public = "{public_key(ISSUER).hex()}" }}]
devices = [{{ {keys} }}]
"""
        page = f'listen = "127.0.0.1:{port}"\ncert = "page-cert.pem"\nkey = "page-key.pem"'
        plant.start(page, drivers=drivers, DBUS_SYSTEM_BUS_ADDRESS=bus)
        self.cloud = CloudSide()
        self.cloud.space = msgspec.structs.replace(self.cloud.space, locks=("hatch-1",))
        self.cloud.to_active()
        now_s = int(time.time())
        claims = Claims(
            cti=os.urandom(8), sub=holder_id(public_key(HOLDER)),
            aud=bytes.fromhex(device["lock_id"]), nbf=now_s - 5, exp=now_s + 1200, pmt=id_of("P1"),
            ctr=1, ops=Op.UNLOCK | Op.RELOCK, uses=8,
        )  # fmt: skip
        noted = GrantNoted(
            claims.cti.hex(), "hatch-1", claims.sub.hex(), claims.exp * NS, account="li"
        )
        self.cloud.note(noted, Action.GRANT)
        self.cti = claims.cti
        self.cloud.grants = (SealedGrant(issue(claims, kid=KID, seed=ISSUER).raw),)
        self.cloud.people = tuple(
            msgspec.structs.replace(p, pin=hash_pin(PIN, p.account.encode().ljust(16, b".")))
            for p in self.cloud.people
        )
        plant.tell(self.cloud.down())
        plant.until(lambda: plant.state() == "active", "the permit")
        self.url = f"https://127.0.0.1:{port}"
        trusting = ssl.create_default_context(cafile=folder / "ca.pem")
        self.http = httpx.Client(base_url=self.url, verify=trusting, timeout=60.0)
        told = self.http.post("/api/login", json={"account": "li", "pin": PIN}).json()
        self._headers = {"x-csrf": told["csrf"]}

    def tap(self, action: str, on: str = "P1", **said: str) -> dict[str, Any]:
        body = {"permit": on, "action": action, "said": said}
        told: dict[str, Any] = self.http.post("/api/ask", json=body, headers=self._headers).json()
        return told

    def unlock(self, seed: bytes) -> dict[str, Any]:
        """As the phone does: ask, sign, open."""
        public = public_key(seed).hex()
        begun = self.tap("challenge", lock="hatch-1", public=public)
        if not begun["done"]:
            return begun
        signature = sign(seed, bytes.fromhex(begun["told"]["sign"])).hex()
        return self.tap("unlock", lock="hatch-1", public=public, signature=signature)

    def use_handle(self) -> None:
        """Somebody opens it from inside."""
        self._lock.write_line(f"handle {self.device['id']}")

    def last_event(self) -> str:
        """Of the lock's log, as the permit has it."""
        return str(self.plant.permits()[0]["locks"][0]["last_event"])

    def order(self, name: str, **args: str) -> dict[str, Any]:
        """Somebody at the gateway tells the lock something."""
        packed = {k: str(v) for k, v in pack("hatch-1", name, args).items()}
        given = packed | {"actor": "cloud", "within_s": "30"}
        told: Any = ask(self.plant.socket, "command", given, timeout_s=60.0)
        return dict(told)

    def tell_time(self) -> None:
        """The cloud signs the time over the lock's nonce."""
        told = self.order("challenge")["answer"]
        made = TimeOrder(
            bytes.fromhex(told["lock_id"]), int(time.time()), bytes.fromhex(told["nonce"]), 1
        )
        text = urlsafe_b64encode(signed_order(made, kid=KID, seed=ISSUER)).decode()
        assert (
            self.order("order", kind="time", order=text, nonce=told["nonce"])["outcome"] == "done"
        )


@pytest.fixture
def hatch(plant: Plant) -> Iterator[Hatch]:
    """The site, and a virtual lock in a process of its own."""
    argv = [
        sys.executable, "-m", "firmware_bridges.lock.device", "--count", "1", "--gateway", GATEWAY,
        "--issuer", f"{KID.hex()}:{public_key(ISSUER).hex()}", "--stdin-lease",
    ]  # fmt: skip
    with run_process(argv) as lock:
        told = json.loads(lock.wait_line('"ready"'))
        found = Hatch(plant, lock, told["DBUS_SYSTEM_BUS_ADDRESS"], told["devices"][0])
        try:
            yield found
        finally:
            found.http.close()
        assert plant.agent.terminate() == 0


def test_the_attendant_opens_under_a_live_grant_and_nobody_is_locked_in_with_the_cloud_cut(
    hatch: Hatch,
) -> None:
    plant = hatch.plant
    hatch.tell_time()
    plant.proxy.cut()
    stranger = hatch.unlock(STRANGER)
    assert (stranger["done"], "grant" in stranger["en"].lower()) == (False, True)
    assert hatch.unlock(HOLDER)["done"]
    plant.until(lambda: hatch.last_event() == "unlock", "the lock's log")
    assert hatch.tap("enter", person="zhou")["done"]
    refused = hatch.tap("relock", lock="hatch-1")
    assert not refused["done"]
    assert "inside" in refused["en"]

    plant.release()
    plant.until(lambda: plant.state() == "suspended", "the suspension")
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    assert "suspended" in hatch.unlock(HOLDER)["en"], "grants are stopped"
    assert not hatch.tap("relock", lock="hatch-1")["done"]
    state = hatch.http.get("/api/state").json()
    assert state["cloud_lost_ns"] < state["permits"][0]["since_ns"], "the cut came before the gas"
    _picture(hatch)
    assert hatch.tap("exit", person="zhou")["done"]
    closed = hatch.tap("relock", lock="hatch-1")
    assert closed["done"], closed
    plant.until(lambda: hatch.last_event() == "relock", "the lock's log")

    hatch.use_handle()
    plant.until(lambda: hatch.last_event() == "egress", "the inside handle")
    assert hatch.tap("roll-call", inside="wu")["done"]
    assert "inside" in hatch.tap("relock", lock="hatch-1")["en"], "not over anyone's head"
    assert hatch.tap("roll-call", inside="")["done"]
    locked = hatch.tap("relock", lock="hatch-1")
    assert locked["done"], locked
    plant.until(lambda: hatch.last_event() == "relock", "it is locked again")


def test_work_that_stops_under_the_holders_finger_says_why_the_lock_stays_shut(
    hatch: Hatch,
) -> None:
    hatch.tell_time()
    public = public_key(HOLDER).hex()
    begun = hatch.tap("challenge", lock="hatch-1", public=public)
    assert hatch.tap("suspend", reason="smell of gas")["done"]
    signature = sign(HOLDER, bytes.fromhex(begun["told"]["sign"])).hex()
    told = hatch.tap("unlock", lock="hatch-1", public=public, signature=signature)
    assert told["en"] == "Permit P1: No grant is given while the permit is suspended."
    assert told["zh"] == "作业票 P1：作业票处于“已暂停”状态，不发放开锁授权。"
    grant = urlsafe_b64encode(hatch.cloud.grants[0].cose).decode().rstrip("=")
    nonce = hatch.order("challenge")["answer"]["nonce"]
    lock_id, cti = bytes.fromhex(hatch.device["lock_id"]), hatch.cti
    proof = prove(HOLDER, PROOF_UNLOCK, bytes.fromhex(nonce), lock_id, cti).hex()
    by_hand = hatch.order("unlock", nonce=nonce, grant=grant, holder=public, signature=proof)
    assert by_hand["text"].endswith(f"{told['zh']} · {told['en']}"), "the cloud's page shows both"


def test_neither_another_permit_nor_a_command_locks_over_people_whom_a_permit_knows_inside(
    hatch: Hatch,
) -> None:
    hatch.tell_time()
    hatch.plant.tell(hatch.cloud.waiting("P2"))
    hatch.plant.until(lambda: len(hatch.plant.permits()) == 2, "the other permit")
    hatch.use_handle()
    hatch.plant.until(lambda: hatch.last_event() == "egress", "the inside handle")
    assert hatch.tap("enter", person="zhou")["done"]
    refused = hatch.tap("relock", on="P2", lock="hatch-1")
    assert not refused["done"]
    assert refused["en"] == "Permit P1: Still inside: 1."
    assert refused["zh"] == "作业票 P1：里面还有 1 人。"
    ordered = hatch.order("relock", inside="0", by="cloud")
    assert (ordered["outcome"], ordered["reason"]) == ("refused", "occupied")
    assert "Still inside: 1" in ordered["text"]
    assert hatch.last_event() == "egress"
    assert hatch.tap("exit", person="zhou")["done"]
    assert hatch.order("relock", inside="0", by="cloud")["outcome"] == "done"


def _picture(hatch: Hatch) -> None:
    """The page as the attendant sees it in that moment, in both languages."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=FLAGS
        )
        context = browser.new_context(
            base_url=hatch.url, ignore_https_errors=True, locale="zh-CN", is_mobile=True,
            has_touch=True, viewport={"width": 390, "height": 844}, device_scale_factor=2,
        )  # fmt: skip
        page = context.new_page()
        page.goto("/")
        page.fill("input[name=account]", "li")
        page.fill("input[name=pin]", PIN)
        page.click("button[type=submit]")
        expect(page.locator("[data-permit=P1] [role=alert]")).to_contain_text("zhou")
        page.screenshot(path=str(SHOTS / "suspended-zh.png"), full_page=True)
        page.click("#language")
        expect(page.locator("[data-permit=P1] [role=alert]")).to_contain_text("Everybody out")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, "nothing is wider than the phone"
        page.screenshot(path=str(SHOTS / "suspended-en.png"), full_page=True)
        browser.close()
