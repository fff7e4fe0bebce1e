"""The attendant's page of a real gateway whose cloud is away: PIN, counting, suspension with the siren, SOS, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import httpx
import msgspec
import pytest

from tests.edge.permits.conftest import Plant
from tests.edge.permits.day import SOURCE, CloudSide
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.grants.claims import holder_id
from tocsin.grants.primitives import public_key, sign
from tocsin.permits.messages import KEY_UP, KeyUp, Person
from tocsin.permits.names import Cause
from tocsin.permits.pins import hash_pin
from tocsin.testing import free_port

PIN = "314159"


class Phone:
    """Somebody at the page."""

    opened: ClassVar[list[httpx.Client]] = []

    def __init__(self, url: str, account: str, pin: str = PIN) -> None:
        self.http = httpx.Client(base_url=url, timeout=20.0)
        self.opened.append(self.http)
        answer = self.http.post("/api/login", json={"account": account, "pin": pin})
        self.status = answer.status_code
        self._headers = {"x-csrf": answer.json().get("csrf", "")}

    def ask(self, action: str, **said: str) -> dict[str, object]:
        body = {"permit": "P1", "action": action, "said": said}
        answer = self.http.post("/api/ask", json=body, headers=self._headers)
        told: dict[str, object] = answer.json()
        assert (answer.status_code == 200) is told["done"]
        return told

    def shown(self) -> dict[str, object]:
        state = self.http.get("/api/state").json()
        found: dict[str, object] = state["permits"][0] | {"cloud_lost_ns": state["cloud_lost_ns"]}
        return found

    def inside(self) -> set[str]:
        roster = self.shown()["roster"]
        assert isinstance(roster, list)
        return {p["account"] for p in roster if p["inside"]}


def pinned(cloud: CloudSide) -> tuple[Person, ...]:
    """Everybody with the same PIN."""
    return tuple(
        msgspec.structs.replace(p, pin=hash_pin(PIN, p.account.encode().ljust(16, b".")))
        for p in cloud.people
    )


@pytest.fixture
def page(plant: Plant) -> Iterator[tuple[Plant, CloudSide, str]]:
    """A permit at work, its page, and the cloud cut off."""
    port = free_port()
    plant.start(f'listen = "127.0.0.1:{port}"')
    cloud = CloudSide().to_active("zhou")
    plant.tell(cloud.down(people=pinned(cloud)))
    plant.until(lambda: plant.state() == "active", "the permit")
    url = f"http://127.0.0.1:{port}"
    yield plant, cloud, url
    while Phone.opened:
        Phone.opened.pop().close()
    assert plant.agent.terminate() == 0


def test_the_attendant_counts_stops_and_is_told_why_not_with_the_cloud_away(
    page: tuple[Plant, CloudSide, str],
) -> None:
    plant, cloud, url = page
    assert Phone(url, "li", "000000").status == 401
    assert Phone(url, "nobody").status == 401
    phone = Phone(url, "li")
    plant.proxy.cut()
    plant.until(lambda: phone.shown()["cloud_lost_ns"] is not None, "the cut")
    assert phone.ask("heartbeat")["done"]
    assert phone.ask("enter", person="wu")["done"]
    assert phone.inside() == {"zhou", "wu"}
    assert "already" in str(phone.ask("enter", person="wu")["en"])
    assert "roster" in str(phone.ask("enter", person="qian")["en"])
    assert phone.ask("suspend", reason="smell of gas")["done"]
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    assert phone.shown()["state"] == "suspended"
    assert "suspended" in str(phone.ask("enter", person="zheng")["en"])
    for name in ("zhou", "wu"):
        assert phone.ask("exit", person=name)["done"]
    assert phone.inside() == set()
    plant.until(lambda: plant.coil()[-1:] == ["0"], "the siren's end")
    assert phone.ask("sos")["done"], "nobody is inside, and somebody beside the hatch needs help"
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    assert phone.shown()["cause"] == Cause.SOS.value
    assert phone.ask("roll-call", inside="")["done"]
    plant.until(lambda: plant.coil()[-1:] == ["0"], "the siren's end")
    assert phone.ask("emergency")["done"]
    plant.until(lambda: phone.shown()["state"] == "emergency", "the emergency")
    assert "rescue" in str(phone.ask("enter", person="wu")["en"])
    assert "person" in str(phone.ask("roll-call", inside="zhou\nsomebody else")["en"])
    assert phone.ask("roll-call", inside="zhou\nwu")["done"]
    assert phone.inside() == {"zhou", "wu"}
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    assert phone.ask("roll-call", inside="")["done"]
    plant.until(lambda: plant.coil()[-1:] == ["0"], "the siren's end")
    assert "attendant" in str(phone.ask("end-rescue")["en"])
    assert Phone(url, "qian").ask("end-rescue")["done"]
    for never in ("activate", "resume", "approve"):
        assert not phone.ask(never)["done"]
    assert phone.shown()["state"] == "suspended"
    plant.proxy.resume()

    def merged() -> bool:
        cloud.hear(plant.cloud)
        return len([e for e in cloud.entries if e.source == SOURCE]) >= 4

    plant.until(merged, "the merge")
    mine = [(e.actor, e.action.value) for e in cloud.entries if e.source == SOURCE]
    assert mine[:2] == [("li", "enter"), ("li", "suspend")]
    assert {actor for actor, _ in mine} <= {"li", "qian"}


def test_somebody_inside_calls_for_help_and_only_the_attendants_sign_counts(
    page: tuple[Plant, CloudSide, str],
) -> None:
    plant, cloud, url = page
    entrant, approver = Phone(url, "zhou"), Phone(url, "qian")
    assert "prove" in str(entrant.ask("register", public="00" * 32, proof="00" * 64)["en"])
    seed = b"z" * 32
    mine = {"public": public_key(seed).hex(), "proof": sign(seed, b"HOLD1zhou").hex()}
    assert "prove" in str(approver.ask("register", **mine)["en"]), "another person's key"
    for _ in range(2):
        assert entrant.ask("register", **mine)["done"]
    holder = holder_id(public_key(seed)).hex()
    assert entrant.http.get("/api/state").json()["phones"] == {holder: "waiting"}
    ups: list[KeyUp] = []

    def carried() -> bool:
        events = [b for t, b in list(plant.cloud.got) if "/up/event" in t]
        told = [decode_body(decode_header(b), b, Event) for b in events]
        ups[:] = [msgspec.convert(e.data, KeyUp) for e in told if e.kind == KEY_UP]
        return bool(ups)

    plant.until(carried, "the key at the cloud")
    assert ups[0] == KeyUp("zhou", public_key(seed), sign(seed, b"HOLD1zhou"))
    people = [msgspec.structs.replace(p, phones={holder: "confirmed"}) for p in pinned(cloud)]
    plant.tell(cloud.down(after=10**6, people=people))
    plant.until(
        lambda: entrant.http.get("/api/state").json()["phones"] == {holder: "confirmed"}, "the word"
    )
    assert not entrant.ask("heartbeat")["done"]
    assert not approver.ask("enter", person="wu")["done"]
    assert entrant.ask("sos")["done"]
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    shown = entrant.shown()
    assert (shown["state"], shown["cause"]) == ("suspended", Cause.SOS.value)
    assert entrant.ask("exit", person="zhou")["done"]


def test_two_phones_at_once_enter_somebody_once(page: tuple[Plant, CloudSide, str]) -> None:
    _, _, url = page
    phones = [Phone(url, "li") for _ in range(2)]
    for _ in range(5):
        with ThreadPoolExecutor(2) as hands:
            told = list(hands.map(lambda phone: phone.ask("enter", person="wu")["done"], phones))
        assert sorted(map(bool, told)) == [False, True]
        assert phones[0].inside() == {"zhou", "wu"}
        assert phones[1].ask("exit", person="wu")["done"]


def test_an_exit_that_was_answered_outlives_a_kill(page: tuple[Plant, CloudSide, str]) -> None:
    plant, _, url = page
    plant.proxy.cut()
    phone = Phone(url, "li")
    assert phone.ask("enter", person="wu")["done"]
    assert phone.ask("exit", person="zhou")["done"]
    plant.agent.kill9()
    plant.start(f'listen = "{url.removeprefix("http://")}"', connected=False)
    again = Phone(url, "li")
    assert again.inside() == {"wu"}
    assert again.shown()["state"] == "active", "a start alone stops nothing"


def test_an_account_that_the_cloud_has_ended_gives_no_sign_and_locks_nothing(
    page: tuple[Plant, CloudSide, str],
) -> None:
    plant, cloud, url = page
    phone = Phone(url, "li")
    assert phone.ask("heartbeat")["done"]
    left = tuple(p for p in pinned(cloud) if p.account != "li")
    plant.tell(cloud.down(after=10**6, people=left))
    plant.until(lambda: not phone.ask("heartbeat")["done"], "the cloud's word")
    for action in ("heartbeat", "relock", "challenge", "unlock", "exit"):
        assert phone.ask(action, lock="hatch-1", person="zhou")["en"] == "There is no person li."
