"""A site's crew before a running cloud: everybody logged in, with roles, training, second factor and a phone key."""

from __future__ import annotations

import base64
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from sqlalchemy import insert, select

from cloud.identity.permit_roles import PermitRole, PermitRoles, Post
from cloud.identity.rules import Role
from cloud.identity.secrets import csrf_of, digest, hash_password
from cloud.identity.tables import accounts, second_factors, sessions
from cloud.identity.totp import code_at, step_of
from cloud.ingest.last import Last
from cloud.permits.tables import permits
from tests.cloud.conftest import PASSWORD
from tests.permits.site import CREW, GOOD
from tocsin.contract.messages import VERSION, Event
from tocsin.grants.grant import PROOF_HOLD
from tocsin.grants.primitives import exchange_public, public_key, sign
from tocsin.permits.journal import Entry
from tocsin.permits.messages import DOWN, UP, PermitDown, PermitUp
from tocsin.permits.names import State
from tocsin.permits.signing import is_signed_down

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud

LOCK, LOCK_KEY, GATEWAY_KEY = b"LOCK0007", b"k" * 32, b"g" * 32
HOUR_NS = 3600 * 10**9
JPEG = b"\xff\xd8\xff\xe0" + b"a picture" * 20


@cache
def _hash() -> str:
    return hash_password(PASSWORD)


class Crew:
    """Everybody of `tests.permits.site` with a browser session of their own, at site `north`."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.http = httpx.Client(base_url=cloud.url, timeout=30)
        self.headers: dict[str, dict[str, str]] = {}
        self.seeds = {name: name.encode().ljust(32, b".") for name in CREW}
        self._secrets: dict[str, bytes] = {}
        self.photo = ""
        roles = PermitRoles(cloud.engine)
        for name, held in CREW.items():
            account = self._logged_in(name, Role.OPERATOR)
            roles.post(account, [Post(PermitRole(r.value), "north") for r in held])
        self._logged_in("root", Role.ADMIN)

    def _logged_in(self, name: str, role: Role) -> int:
        """An account and a session, without hashing the one password a dozen times."""
        now, secret = time.time_ns(), f"session-of-{name}"
        row = {"name": name, "password": _hash(), "role": role.value, "disabled": False}
        with self.cloud.engine.begin() as c:
            made = c.execute(
                insert(accounts).values(row | {"created_ns": now})
            ).inserted_primary_key
            assert made is not None
            account = int(made[0])
            session = {"account_id": account, "created_ns": now, "seen_ns": now}
            c.execute(insert(sessions).values(session | {"hash": digest(secret)}))
        self.headers[name] = {
            "Cookie": f"tocsin_session={secret}",
            "X-CSRF-Token": csrf_of(secret),
        }
        return account

    @property
    def now_ns(self) -> int:
        """The book's time."""
        return self.cloud.permit_clock.now_ns()

    def ask(self, who: str, method: str, path: str, body: object = None) -> httpx.Response:
        """One request below /api/v1."""
        headers = self.headers[who]
        return self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    def must(self, who: str, method: str, path: str, body: object = None) -> Any:
        """One that has to succeed."""
        answer = self.ask(who, method, path, body)
        assert answer.is_success, (who, path, answer.text)
        return answer.json()

    def why(self, who: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The refusal of one that has to be refused."""
        answer = self.ask(who, method, path, body)
        assert answer.status_code == 409, (who, path, answer.status_code, answer.text)
        error: dict[str, Any] = answer.json()["error"]
        return error

    def code(self, who: str) -> str:
        """The next code of somebody's authenticator, whose last one may have been used this half minute."""
        if who not in self._secrets:
            made = self.must(who, "POST", "/me/second-factor", {"password": PASSWORD})
            self._secrets[who] = self.secret_of(made["secret"])
            first = code_at(self._secrets[who], step_of(time.time_ns()))
            self.must(who, "POST", "/me/second-factor/confirm", {"code": first})
        self.forget_codes()
        return code_at(self._secrets[who], step_of(time.time_ns()))

    @staticmethod
    def secret_of(text: str) -> bytes:
        """The key of an authenticator as it is typed into one."""
        return base64.b32decode(text + "=" * (-len(text) % 8))

    def forget_codes(self) -> None:
        """Half a minute passes: the next code is another one."""
        with self.cloud.engine.begin() as c:
            c.execute(second_factors.update().values(last_step=0))

    def furnish(self) -> None:
        """The ledger, the lock, the phones, the gateway's key, a picture."""
        space = {
            "gateway": "gw-north", "name": "Well 7", "template": "sewer", "rules": "cn-industry-trade",
            "code": "QR-7", "locks": ["lock-7"], "live": {"gas_devices": ["gas-1"]},
        }  # fmt: skip
        self.must("root", "PUT", "/permit-ledger/spaces/north/well-7", space)
        ever = self.now_ns + 1000 * HOUR_NS
        for name in ("gd-1", "gd-2"):
            dates = {
                "calibrated_ns": self.now_ns,
                "calibrated_until_ns": ever,
                "bumped_ns": self.now_ns,
            }
            self.must("root", "PUT", f"/permit-ledger/instruments/north/{name}", dates)
        for name in CREW:
            fit = {"trained_until_ns": ever, "fit_until_ns": ever}
            self.must("root", "PUT", f"/permit-ledger/people/north/{name}", fit)
        lock = {
            "lock": LOCK.hex(),
            "key": LOCK_KEY.hex(),
            "site": "north",
            "device": "lock-7",
            "profile": "A",
        }
        self.must("tech", "POST", "/locks", lock | {"code": self.code("tech")})
        key = {"public": exchange_public(GATEWAY_KEY).hex(), "code": self.code("root")}
        self.must("root", "PUT", "/gateways/gw-north/key", key)
        for name in ("li", "wang"):
            seed = self.seeds[name]
            phone = {
                "public": public_key(seed).hex(),
                "proof": sign(seed, PROOF_HOLD + name.encode()).hex(),
                "name": "phone",
            }
            self.must(name, "POST", "/me/keys", phone)
        sent = self.http.post(
            "/api/v1/permit-ledger/photos/north", content=JPEG, headers=self.headers["zhao"]
        )
        assert sent.status_code == 201, sent.text
        self.photo = sent.json()["sha256"]

    def form(self, **changed: object) -> dict[str, object]:
        """A whole application."""
        template = self.cloud.permits.packs.template("sewer")
        return {
            "space": "well-7", "template": "sewer", "purpose": "clear the pump",
            "steps": ["ventilate", "test", "clear"], "work_leader": "zhao", "attendants": ["li"],
            "entrants": ["zhou", "wu", "zheng"], "gas_tester": "sun", "rescue_plan": "tripod and winch",
            "rescue_call": "119", "from_ns": self.now_ns, "until_ns": self.now_ns + 8 * HOUR_NS,
            "equipment": list(template.equipment), "checklist": list(template.checklist),
            "photos": [self.photo],
        } | changed  # fmt: skip

    def test_of(self, **changed: float) -> dict[str, object]:
        """A gas test of everything at every depth."""
        template = self.cloud.permits.packs.template("sewer")
        points = [
            {"depth": d, "quantity": q, "value": changed.get(q, GOOD[q][0]), "unit": GOOD[q][1]}
            for q in template.gases
            for d in template.depths
        ]
        return {"instruments": ["gd-1"], "points": points, "place": "QR-7"}

    def air(self, **changed: float) -> None:
        """What the gas head measures now."""
        now = self.now_ns
        for quantity, (value, unit) in GOOD.items():
            last = Last(
                "north", "gw-north", "gas-1", "gas", quantity, unit, changed.get(quantity, value), 0, now, now
            )  # fmt: skip
            self.cloud.spine.last.put(last)

    def wait_min(self, minutes: float) -> None:
        """Time passes; the air is measured again."""
        self.cloud.permit_clock.shift_ns += int(minutes * 60e9)
        self.air()

    def approved(self, permit: str = "") -> str:
        """A permit that only the attendant has to release."""
        permit = permit or self.tested()
        at = f"/permits/{permit}"
        for name in ("zhou", "wu", "zheng", "li"):
            self.must(name, "POST", f"{at}/briefing", {})
        self.must("li", "POST", f"{at}/tools", {"way": "in", "count": 5})
        for name in ("qian", "feng"):
            signed = {"reason": "checked on site", "code": self.code(name), "place": "QR-7"}
            self.must(name, "POST", f"{at}/approve", signed)
        if self.cloud.can_tell:
            self.gateway_keeps_all(permit)
        return permit

    def prepared(self, **changed: object) -> str:
        """Isolated, and ventilated for long enough."""
        made = self.must(
            "zhao", "POST", "/permits", {"site": "north", "form": self.form(**changed)}
        )
        permit = str(made["permit"]["id"])
        at = f"/permits/{permit}"
        self.must("zhao", "POST", f"{at}/submit", {})
        self.must("qian", "POST", f"{at}/prepare", {"reason": "fine"})
        for item in self.cloud.permits.packs.template("sewer").isolations:
            self.must("zhao", "POST", f"{at}/isolations/{item.id}", {"photo": self.photo})
        self.must("zhao", "POST", f"{at}/ventilation", {})
        self.wait_min(31)
        return permit

    def tested(self, **changed: object) -> str:
        """A good test."""
        permit = self.prepared(**changed)
        self.must("sun", "POST", f"/permits/{permit}/gas-tests", self.test_of())
        return permit

    def active(self, *inside: str) -> str:
        """At work."""
        return self.active_from(self.tested(), *inside)

    def active_from(self, tested: str, *inside: str) -> str:
        """The same, of a permit that has been tested."""
        permit = self.approved(tested)
        self.must("li", "POST", f"/permits/{permit}/activate", {"place": "QR-7"})
        for name in inside:
            self.must("li", "POST", f"/permits/{permit}/enter", {"person": name})
        return permit

    def state(self, permit: str) -> str:
        """Of a permit."""
        return str(self.must("bureau", "GET", f"/permits/{permit}")["state"])

    def told(self, permit: str) -> PermitDown:
        """The newest message to the gateway of a permit."""
        mine = [body for topic, body in self.cloud.told if topic.endswith(f"/{DOWN}")]
        found = [msgspec.json.decode(body, type=PermitDown) for body in mine]
        newest = [down for down in found if down.permit == permit][-1]
        assert is_signed_down(newest, b"key")
        return newest

    def gateway_says(
        self, permit: str, *entries: Entry, have: int | None = None, **more: Any
    ) -> None:
        """An event of the gateway; without `have` it keeps what it kept."""
        if have is None:
            with self.cloud.engine.connect() as c:
                have = c.scalar(select(permits.c.told).where(permits.c.id == permit)) or 0
        up = PermitUp(1, permit, "gw-north", State.ACTIVE, entries, have, **more)
        data = msgspec.to_builtins(up)
        event = Event(VERSION, "north", "gw-north", "S", 0, UP, self.now_ns, data=data)
        self.cloud.book.on_event(event, self.now_ns)

    def gateway_keeps_all(self, permit: str) -> None:
        """The gateway says that it keeps everything the cloud wrote."""
        journal = self.must("bureau", "GET", f"/permits/{permit}/journal")
        newest = max(e["entry"]["seq"] for e in journal if e["entry"]["source"] == "cloud")
        self.gateway_says(permit, have=newest)
