"""A scripted day at a confined space, through the real HTTP API, broker, gateway, page and Bluetooth: docs/confined-space.md tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tocsin.cli.data import data_dir
from tocsin.lab.children import Child, Children, LabError, tocsin_command
from tocsin.lab.confined import site
from tocsin.lab.confined.person import PagePerson, Person, RefusalError
from tocsin.lab.confined.seen import Seen
from tocsin.lab.demo import wait_http
from tocsin.testing.proxy import FaultProxy
from tocsin.testing.waiting import free_port

HOUR_NS = 3600 * 10**9
PATIENCE_S = 40.0
SIGN_S = 8.0
H2S_PPM = 25.0
CREW = {
    "zhao": "applicant", "qian": "approver", "feng": "approver", "sun": "gas-tester", "li": "attendant", "zhou": "entrant",
    "wu": "entrant", "zheng": "entrant", "tech": "technician", "wang": "rescue",
}  # fmt: skip
SIGNERS = ("approver", "technician", "admin")  # with a code of their authenticator
INSIDE = ("zhou", "wu", "zheng")
_GOOD = {"o2": (20.9, "%{vol}"), "ex": (0.0, "%{LEL}"), "h2s": (1.0, "[ppm]"), "co": (2.0, "[ppm]")}
_T = TypeVar("_T")
Say = Callable[[str], None]


class Site:
    """All processes of the site; use as a context manager."""

    def __init__(
        self, folder: Path, broker: str = "auto", say: Say = lambda _: None, http_port: int = 0
    ) -> None:
        self.folder, self._broker, self.say = folder, broker, say
        self._http_port = http_port
        self.children = Children(folder / "logs")
        self.people: dict[str, Person] = {}
        self.seen = Seen()
        self._stack = ExitStack()
        self._page_port = free_port()
        self._plant_port = ""
        self._lock_env: dict[str, str] = {}

    def __enter__(self) -> Site:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.children.__exit__(None, None, None)
        self._stack.close()

    @property
    def page_url(self) -> str:
        """The gateway's own page."""
        return f"http://127.0.0.1:{self._page_port}"

    def _start(self) -> None:
        site.write_rules(self.folder, data_dir("configs") / "rules")
        config = site.write_cloud(self.folder, self._broker, self._http_port)
        cloud = self.children.start("cloud", "tocsin.cli", "cloud", "run", "-c", str(config))
        http = wait_http(self.folder / "cloud" / "http.json", self.children, cloud)
        self.console_url = str(http["url"])
        self.uplink = self._stack.enter_context(FaultProxy(int(http["broker_port"])))
        self.plant = self.children.start(
            "plant", "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0", "--stdin-lease", "--ledger",
            str(self.folder / "plant.ndjson"), "--unit", "unit=1,device=gas-well-7,model=gas-head,profile=four-gas-head",
            "--unit", "unit=2,device=relays-7,model=actuator,profile=relay-8",
        )  # fmt: skip
        self._plant_port = str(self.plant.ready()["port"])
        self.happens("set 2 relay_2 1")
        self.say("the crew: accounts, roles, training, authenticators, phones")
        self._hire((self.folder / "cloud" / "first-admin.txt").read_text("utf-8").strip())
        self.edge = self._gateway(None)
        seal = self.folder / "edge" / "permits" / "seal.pub"
        self.until(seal.exists, "the gateway's key")
        root = self.people["root"]
        public = seal.read_text("utf-8").strip().split()[-1]
        root.put(f"/gateways/{site.GATEWAY}/key", {"public": public, "code": root.code()})
        self._furnish(root)
        self.say("the lock is commissioned and hung on the hatch")
        told = self._commission()
        self.edge.stop()
        self.edge = self._gateway(told)

    def _hire(self, link: str) -> None:
        root = Person("root", self.console_url)
        root.set_up(link)
        root.enrol()
        self.people["root"] = root
        for name, role in CREW.items():
            account = {"name": name, "password": "a long enough password", "role": "operator"}
            made = root.post("/accounts", account)
            root.put(f"/accounts/{made['id']}/permit-roles", [{"role": role, "site": site.SITE}])
            person = self.people[name] = Person(name, self.console_url)
            person.log_in()
            if role in SIGNERS:
                person.enrol()
        for name in ("li", "wang"):
            self.people[name].register_phone()

    def furnish_space(self, rules: str) -> None:
        """The well in the ledger, under a rule pack; permits that were begun keep theirs."""
        space = {
            "gateway": site.GATEWAY, "name": "Sewer well 7", "template": "day-sewer", "rules": rules, "code": site.PLACE,
            "locks": [site.LOCK],
            "live": {"gas_devices": ["gas-well-7"], "ventilation": "relays-7/relay_2"},
        }  # fmt: skip
        self.people["root"].put(f"/permit-ledger/spaces/{site.SITE}/{site.SPACE}", space)

    def _furnish(self, root: Person) -> None:
        now_ns = time.time_ns()
        self.furnish_space(site.BY_SCRIPT)
        dates = {
            "calibrated_ns": now_ns - HOUR_NS,
            "calibrated_until_ns": now_ns + 1000 * HOUR_NS,
            "bumped_ns": now_ns - HOUR_NS,
        }
        root.put(f"/permit-ledger/instruments/{site.SITE}/gd-1", dates)
        fit = {"trained_until_ns": now_ns + 1000 * HOUR_NS, "fit_until_ns": now_ns + 1000 * HOUR_NS}
        for name in CREW:
            root.put(f"/permit-ledger/people/{site.SITE}/{name}", fit)
        self.photo = self.people["zhao"].photo(site.SITE)

    def _commission(self) -> dict[str, str]:
        tech, lock = self.people["tech"], site.LOCK_ID
        card = {
            "lock": lock, "key": site.LOCK_KEY, "site": site.SITE, "device": site.LOCK, "profile": "A",
        }  # fmt: skip
        tech.post("/locks", card | {"code": tech.code()})
        keys = tech.post(
            f"/locks/{lock}/gateway-keys", {"gateway": site.GATEWAY, "code": tech.code()}
        )
        (kid, public), *_ = keys["issuers"].items()
        locks = site.write_lock(self.folder, keys["issuers"], site.LOCK)
        self.lock = self.children.start(
            "lock", "tocsin.cli", "lock-sim", "--locks", str(locks), "--stdin-lease", "--json"
        )
        ready = self.lock.ready()
        told = {"kid": kid, "public": public} | {k: v for k, v in keys.items() if k != "issuers"}
        if "hci" in ready:  # no dbus-daemon here: bleak speaks through a controller of its own
            return told | {"hci": str(ready["hci"])}
        self._lock_env = {"DBUS_SYSTEM_BUS_ADDRESS": str(ready["DBUS_SYSTEM_BUS_ADDRESS"])}
        return told

    def _gateway(self, lock: dict[str, str] | None) -> Child:
        config = site.write_gateway(
            self.folder, broker_port=self.uplink.port, plant_port=self._plant_port, page_port=self._page_port, lock=lock,
        )  # fmt: skip
        return self.children.start(
            "edge", "tocsin.cli", "edge", "run", "-c", str(config), "--json", env=self._lock_env
        )

    def happens(self, line: str) -> None:
        """Something at the plant: gas, the fan."""
        assert self.plant.process.stdin is not None  # noqa: S101 - we asked for a pipe
        self.plant.process.stdin.write(f"{line}\n".encode())
        self.plant.process.stdin.flush()

    def siren(self) -> bool:
        """Whether the siren's coil was last switched on."""
        told = [json.loads(t) for t in (self.folder / "plant.ndjson").read_text().splitlines()]
        writes = [str(t["values"]) for t in told if t.get("mark") == "write"]
        return writes[-1:] == ["1"]

    def until(self, found: Callable[[], _T], what: str, timeout_s: float = PATIENCE_S) -> _T:
        """What `found` gives once it is true. Raises LabError."""
        deadline = time.monotonic() + timeout_s
        last = ""
        while time.monotonic() < deadline:
            self.children.check()
            try:
                if answer := found():
                    return answer
            except (LabError, OSError) as exc:
                last = str(exc)
            time.sleep(0.05)
        raise LabError(f"{what} did not come in {timeout_s:g} s", hint=last or self.edge.tail(12))

    @contextmanager
    def signs(self, permit: str) -> Iterator[None]:
        """The attendant's page is open: a sign to cloud and gateway now and then."""
        ended = threading.Event()
        li = self.people["li"]

        def go() -> None:
            page: PagePerson | None = None
            while not ended.is_set():
                with suppress(LabError):
                    li.post(f"/permits/{permit}/attendant")
                with suppress(LabError):
                    page = page or PagePerson(li, self.page_url, permit)
                    page.ask("heartbeat")
                ended.wait(SIGN_S if page else 0.5)

        thread = threading.Thread(target=go, name="attendant")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(60.0)


class Day:
    """One permit from application to bundle. `cut`: the cloud is away from the unlocking until all are out."""

    def __init__(self, at: Site, *, cut: bool) -> None:
        self.at, self.cut, self.say = at, cut, at.say
        self.permit = ""

    def run(self) -> None:
        """All of it. Raises LabError: something did not come, or was not refused."""
        self._prepare()
        approved_s = time.monotonic()
        with self.at.signs(self.permit):
            self._work(approved_s)
            self._again_and_close()

    def _prepare(self) -> None:
        self.say("apply; a gas test before the isolations are signed is refused")
        made = self._as("zhao").post("/permits", {"site": site.SITE, "form": self._form()})
        self.permit = str(made["permit"]["id"])
        self._do("zhao", "submit")
        self._do("qian", "prepare", reason="the isolations are feasible")
        self._refused("isolation-missing", lambda: self._test())
        for item in ("inflow", "pump"):
            self._do("zhao", f"isolations/{item}", photo=self.at.photo)
        self._do("zhao", "ventilation")
        time.sleep(1.2)
        approver = "feng" if self.cut else "qian"
        if not self.cut:
            self._test()
            self.say("a test that grew too old is not approved")
            self.at.until(
                lambda: self.state() == "prepared", "the test's age", site.TEST_AGE_S + 20
            )
            signed = {"reason": "x", "place": site.PLACE}
            code = self._code("qian")
            self._refused("wrong-state", lambda: self._do("qian", "approve", code=code, **signed))
        code = self._code(approver)  # waits for an unused one, while no test grows old
        self._test()
        for name in (*INSIDE, "li"):
            self._do(name, "briefing")
        self._do("li", "tools", way="in", count=5)
        self._do(approver, "approve", reason="checked on site", place=site.PLACE, code=code)
        self.say("the attendant releases the lock")
        self.at.until(lambda: self._activated(), "the gateway's values")

    def _activated(self) -> bool:
        try:
            self._do("li", "activate", place=site.PLACE)
        except RefusalError as exc:
            if exc.reason not in ("breach", "gateway-behind"):  # its values are on their way
                raise
            return False
        return True

    def _work(self, approved_s: float) -> None:
        at = self.at
        page = at.until(lambda: PagePerson(self._as("li"), at.page_url, self.permit), "the page")
        at.until(lambda: self._lock(page).get("grant_until_ns"), "the grant at the gateway")
        if self.cut:
            self.say("the cloud is cut off")
            at.uplink.cut()
        self.say("tap: the lock opens")
        began_s = time.monotonic()
        at.until(lambda: self._opens(page), "the lock")
        at.seen.tap_to_open_s.append(round(time.monotonic() - began_s, 3))
        at.seen.approval_to_open_s.append(round(time.monotonic() - approved_s, 3))
        at.until(lambda: self._lock(page).get("bolt_out") is False, "the open lock")
        for name in INSIDE:
            page.ask("enter", person=name)
        self.say(f"three are in; H2S rises to {H2S_PPM:g} ppm")
        at.happens(f"set 1 h2s {H2S_PPM:g}")
        began_s, gas_ns = time.monotonic(), time.time_ns()
        at.until(at.siren, "the siren")
        at.seen.breach_to_siren_s.append(round(time.monotonic() - began_s, 3))
        shown = at.until(
            lambda: (s := page.shown()) and s["state"] == "suspended" and s, "the stop"
        )
        self._expect(shown["cause"] == "gas", f"suspended for {shown['cause']}")
        self._refused("page", lambda: page.ask("relock", lock=site.LOCK))
        if not self.cut:
            self._forgets(gas_ns, at.seen.stop_to_lock_s, "the grant is revoked at the lock itself, whoever holds it")  # fmt: skip
        for name in INSIDE[:2]:
            page.ask("exit", person=name)
        self.say("relocking with one person inside is refused, and so is resuming at the gateway")
        self._refused("page", lambda: page.ask("relock", lock=site.LOCK))
        self._refused("page", lambda: page.ask("enter", person=INSIDE[0]))
        self._refused("page", lambda: page.ask("resume"))
        page.ask("exit", person=INSIDE[2])
        at.happens("set 1 h2s -")
        at.until(lambda: not at.siren(), "the siren's end")
        if self.cut:
            self.say("the cloud is back: both journals merge")
            at.uplink.resume()
            back_ns = time.time_ns()
            self._forgets(back_ns, at.seen.stop_to_lock_s, "what was voided meanwhile is revoked at the lock")  # fmt: skip

    def _again_and_close(self) -> None:
        at, approver = self.at, "qian" if self.cut else "feng"
        at.until(lambda: self.state() == "suspended" and not self._told()["permit"]["inside"], "the merge", 90.0)  # fmt: skip
        signed = {"reason": "aired and tested again"}
        self._refused("test-before-suspension", lambda: self._do(approver, "resume", code=self._code(approver), **signed))  # fmt: skip
        self._test()
        code = self._code(approver)
        at.until(self._clear, "the clear air at the cloud")  # the gateway's values are on their way
        self._test()
        at.until(lambda: self._may(approver, "resume"), "the gateway's word that it knows the test")
        self._do(approver, "resume", code=code, **signed)
        self._expect(self.state() == "active", "resumed")
        self.say(
            "resumed; the work ends, the lock is locked, isolations are handed back, the permit is closed"
        )
        self._do("zhao", "finish")
        page = PagePerson(self._as("li"), at.page_url, self.permit)
        at.until(lambda: page.shown().get("state") == "closing", "the end at the gateway")
        page.ask("relock", lock=site.LOCK)
        self._do("li", "tools", way="out", count=5)
        self._do("zhao", "hand-back")
        at.until(lambda: self._closes("li"), "the attendant's close")
        closing_ns = time.time_ns()
        at.until(lambda: self._closes("qian"), "the close")
        self._expect(self.state() == "closed", "closed")
        self._forgets(closing_ns, at.seen.close_to_lock_s, "no grant of the permit opens the lock any more")  # fmt: skip
        bundle = at.folder / f"permit-{self.permit}.tar"
        bundle.write_bytes(self._as("zhao").fetch(f"/api/v1/permits/{self.permit}/export"))
        tocsin_command("permit", "verify", str(bundle), "--json")
        at.seen.bundles[self.permit] = str(bundle)
        self.say(f"the inspector's bundle is verified: {bundle.name}")

    def _forgets(self, since_ns: int, took_s: list[float], said: str) -> None:
        """The lock itself has taken what the cloud revoked since then, and the time it told."""

        def taken() -> bool:
            (row,) = self._as("zhao").get("/lock-orders")["locks"]
            orders = self._as("zhao").get(f"/locks/{site.LOCK_ID}/orders")
            fresh = [o for o in orders if o["kind"] == "revoke" and o["made_ns"] >= since_ns]
            done = fresh and fresh[0]["outcome"] == "taken"
            return bool(row["complete"] and row["held"]["time_ns"] and done)

        self.at.until(taken, "the lock's word that it has taken what was revoked", 90.0)
        self.say(said)
        took_s.append(round((time.time_ns() - since_ns) / 1e9, 3))

    def _clear(self) -> bool:
        told = self._as("zhao").get("/last?quantity=h2s")
        return bool(told) and all(float(row["value"]) < H2S_PPM for row in told)

    def _may(self, who: str, action: str) -> bool:
        return self._as(who).get(f"/permits/{self.permit}/why")["actions"][action] is None

    def _opens(self, page: PagePerson) -> bool:
        page.unlock(site.LOCK)
        return True

    def _closes(self, who: str) -> bool:
        try:
            self._do(who, "close")
        except RefusalError as exc:
            if exc.reason not in ("lock-open", "gateway-behind"):
                raise
            return False
        return True

    def _form(self) -> dict[str, object]:
        now_ns = time.time_ns()
        return {
            "space": site.SPACE, "template": "day-sewer", "purpose": "clear the pump", "steps": ["ventilate", "test", "clear"],
            "work_leader": "zhao", "attendants": ["li"], "entrants": list(INSIDE), "gas_tester": "sun",
            "rescue_plan": "tripod and winch, team at gate 2", "rescue_call": "119", "from_ns": now_ns,
            "until_ns": now_ns + 4 * HOUR_NS, "photos": [self.at.photo], **self._listed(),
        }  # fmt: skip

    def _listed(self) -> dict[str, list[str]]:
        templates = self._as("zhao").get("/permit-ledger/templates")
        mine = next(t for t in templates if t["id"] == "day-sewer")
        return {"checklist": mine["checklist"], "equipment": mine["equipment"]}

    def _test(self) -> None:
        points = [
            {"depth": depth, "quantity": quantity, "value": value, "unit": unit}
            for quantity, (value, unit) in _GOOD.items()
            for depth in ("top", "middle", "bottom")
        ]
        self._do("sun", "gas-tests", instruments=["gd-1"], points=points, place=site.PLACE)

    def _as(self, name: str) -> Person:
        return self.at.people[name]

    def _code(self, name: str) -> str:
        return self._as(name).code()

    def _do(self, who: str, what: str, **body: object) -> Any:
        return self._as(who).post(f"/permits/{self.permit}/{what}", body)

    def _told(self) -> dict[str, Any]:
        return dict(self._as("zhao").get(f"/permits/{self.permit}"))

    def state(self) -> str:
        """As the cloud has it."""
        return str(self._told()["state"])

    def _lock(self, page: PagePerson) -> dict[str, Any]:
        locks = page.shown().get("locks") or [{}]
        return dict(locks[0])

    def _refused(self, reason: str, what: Callable[[], object]) -> None:
        try:
            what()
        except RefusalError as exc:
            self._expect(exc.reason == reason, f"refused as {exc.reason}: {exc.message}")
            self.say(f"  refused: {exc.message}")
            return
        raise LabError(f"it was not refused ({reason})")

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise LabError(what, hint=self.at.edge.tail(12))
