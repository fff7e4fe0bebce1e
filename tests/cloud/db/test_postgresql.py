"""The migrations, and the stores on the tables they make, on a real PostgreSQL server."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select, text

from cloud.alarms.tables import alarms
from cloud.db import metadata, open_engine, upgrade
from cloud.db.upgrade import HEAD, downgrade, load_tables, revision
from cloud.lock_orders.book import LockOrderBook
from cloud.lock_orders.making import Maker
from cloud.lock_orders.rows import commissioned
from cloud.lock_orders.tables import lock_held
from cloud.lock_orders.told import LocksTold
from cloud.models.book import ModelBook
from cloud.permits.granting import Granter
from cloud.permits.holders import Holders
from cloud.permits.issuers import Issuers
from cloud.permits.ledger import Ledger, Qualified
from cloud.permits.locks import Locks
from cloud.permits.tables import permits
from cloud.sealing import Sealing
from cloud.vision.book import VisionBook
from cloud.vision.pictures import VisionRules
from cloud.vision.shelf import Shelf
from tests.cloud.db.postgresql_server import new_database, postgresql
from tocsin.contract.evidence import Detection, EvidencePart
from tocsin.contract.messages import VERSION, Event
from tocsin.grants.grant import PROOF_HOLD
from tocsin.grants.primitives import exchange_public, public_key, sign
from tocsin.sdk import SystemClock

LOCK = b"LOCK0001"
PERMIT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
AT_ONCE = 8
T = TypeVar("T")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def empty(server: str) -> Iterator[Engine]:
    engine = open_engine(new_database(server, f"tocsin{next(_numbers)}"))
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty: Engine) -> Engine:
    upgrade(empty)
    return empty


def at_once(act: Callable[[int], T]) -> list[T]:
    """The answers of as many threads that begin together."""
    begin = Barrier(AT_ONCE)

    def go(n: int) -> T:
        begin.wait(30.0)
        return act(n)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(go, range(AT_ONCE)))


def test_the_newest_schema_is_what_the_tables_say_and_every_step_leads_back(empty: Engine) -> None:
    at_once(lambda _: upgrade(empty))
    load_tables()
    with empty.connect() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(c).get_table_names()) == {*metadata.tables, "alembic_version"}
    for number in range(int(HEAD) - 1, 0, -1):
        downgrade(empty, f"{number:04d}")
        assert revision(empty) == f"{number:04d}"
    upgrade(empty)
    assert revision(empty) == HEAD


def test_locks_and_alarms_that_were_there_before_come_along(engine: Engine, tmp_path: Path) -> None:
    desk = Desk(engine, tmp_path)
    desk.commission()
    downgrade(engine, "0009")
    columns: dict[str, object] = {"alarm": "a1", "site": "north", "device": "d", "active": True}
    with engine.begin() as c:
        for column in inspect(c).get_columns("alarms"):
            if not column["nullable"]:
                columns.setdefault(column["name"], _some(str(column["type"])))
        names = ", ".join(columns)
        marks = ", ".join(f":{n}" for n in columns)
        c.execute(text(f"INSERT INTO alarms ({names}) VALUES ({marks})"), columns)
    upgrade(engine)
    with engine.connect() as c:
        held = c.execute(select(lock_held)).mappings().one()
        assert (held["lock"], held["min_ctr"], held["epoch"], held["kid"]) == (LOCK.hex(), 0, 1, 1)
        assert bytes(held["named"]) == b""
        assert c.execute(select(alarms.c.alarm, alarms.c.evidence)).all() == [("a1", "")]


def _some(type_: str) -> object:
    return False if type_ == "BOOLEAN" else 0 if "INT" in type_ else ""


class Desk:
    """What grants, locks and their orders need."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.clock = engine, SystemClock()
        sealing = Sealing.of(folder / "secrets.key")
        self.issuers = Issuers(engine, self.clock, sealing)
        self.locks = Locks(engine, self.clock, sealing, commissioned)
        self.granter = Granter(self.issuers, self.locks)
        self.sent: list[str] = []
        self.orders = LockOrderBook(
            engine, self.clock, Maker(self.issuers, self.locks), keys={"gw": b"g" * 32},
            gateway_of=lambda site, device: "gw", is_heard=lambda gateway, now_ns: True,
            send=lambda topic, payload: self.sent.append(topic),
        )  # fmt: skip

    def commission(self) -> None:
        with self.engine.begin() as c:
            self.issuers.issuing(c)
        self.locks.commission(
            LOCK, b"k" * 32, site="north", device="lock-1", profile="A", by="tech"
        )


def test_grants_are_numbered_without_a_gap_and_void_ones_go_to_the_lock(
    engine: Engine, tmp_path: Path
) -> None:
    desk = Desk(engine, tmp_path)
    desk.commission()
    holders = Holders(engine, desk.clock, desk.locks)
    holders.register_gateway("gw", exchange_public(b"g" * 32))
    ann = holders.register(
        "ann", public_key(b"s" * 32), sign(b"s" * 32, PROOF_HOLD + b"ann"), "phone"
    )
    now_ns = desk.clock.now_ns()
    with engine.begin() as c:
        row = {"id": PERMIT, "site": "north", "space": "s", "gateway": "gw", "state": "active"}
        more = {"live": True, "changed_ns": 0, "basis": b"{}", "told": 0}
        c.execute(insert(permits).values(row | more))

    def issue(_: int) -> int:
        with engine.begin() as c:
            lock = desk.locks.at(c, "north", "lock-1")
            assert lock is not None
            until_ns = now_ns + 3600 * 10**9
            made = desk.granter.issue(
                c, permit=PERMIT, lock=lock, holder=ann, gateway="gw", until_ns=until_ns, now_ns=now_ns,
            )  # fmt: skip
            assert made is not None
            return made.ctr

    assert sorted(at_once(issue)) == list(range(1, AT_ONCE + 1))
    desk.orders.look()
    desk.locks.revoke(LOCK.hex(), "qian")
    desk.issuers.prepare()
    at_once(lambda _: desk.orders.look())
    report: Any = LocksTold(engine, desk.clock).report()
    (told,) = report["locks"]
    assert {o["kind"] for o in told["open"]} == {"time", "revoke", "rotate"}
    assert desk.locks.get(LOCK.hex()).min_ctr == AT_ONCE + 1
    assert desk.sent


def test_the_first_issuer_key_is_one_whoever_asks_first(engine: Engine, tmp_path: Path) -> None:
    issuers = Issuers(engine, SystemClock(), Sealing.of(tmp_path / "secrets.key"))
    told = at_once(lambda _: issuers.states())
    assert len({tuple(s.public for s in states) for states in told}) == 1


def test_the_ledger_takes_what_several_enter_under_one_id(engine: Engine) -> None:
    ledger = Ledger(engine, SystemClock())
    at_once(lambda n: ledger.put("north", "li", Qualified("li", n, n), "tech"))
    (kept,) = ledger.all(Qualified)
    assert kept.fit_until_ns in range(AT_ONCE)


def test_a_model_goes_out_and_its_gateway_takes_it(engine: Engine) -> None:
    out: list[tuple[str, bytes]] = []

    def publish(topic: str, payload: bytes) -> bool:
        out.append((topic, payload))
        return True

    book = ModelBook(
        engine, SystemClock(), sites={"gw-1": "plant"}, keys={"gw-1": b"key"}, publish=publish
    )
    for version in ("1", "2"):
        sha256 = hashlib.sha256(b"graph").hexdigest()
        toml = f'name = "fire"\nversion = "{version}"\nfile = "a.onnx"\nsha256 = "{sha256}"\n'
        made = book.push("gw-1", toml, {"a.onnx": b"graph"}, "li")
    told = {"id": made["id"]}
    book.on_event(Event(VERSION, "plant", "gw-1", "S", 0, "model.applied", 5, "", "", told), 9)
    assert [r["state"] for r in book.rows("gw-1", 5)] == ["applied", "replaced"]
    assert out


def test_detections_their_pictures_and_who_looked_at_them_are_kept(
    engine: Engine, tmp_path: Path
) -> None:
    picture = b"\xff\xd8picture"
    sha256 = hashlib.sha256(picture).hexdigest()
    book = VisionBook(
        engine, SystemClock(), Shelf(tmp_path), VisionRules(), keys={"gw-1": b"k" * 32},
        changed=lambda told: None, viewed=lambda told: None, send=lambda topic, payload: None,
    )  # fmt: skip
    shown = {"sha256": sha256, "role": "thumbnail", "media": "image/jpeg", "size": len(picture), "t": 10}  # fmt: skip
    seen = {
        "detection": "d-1", "label": "smoke", "score": 0.8, "box": (0.1, 0.2, 0.3, 0.4), "t": 10,
        "evidence": [shown],
    }  # fmt: skip
    for change in ("confirmed", "ended"):
        told = msgspec.to_builtins(msgspec.convert(seen | {"change": change}, Detection))
        event = Event(VERSION, "north", "gw-1", "s", 1, "vision.detection", 10, "cam-1", "", told)
        book.on_event(event, 10)
    book.on_part(EvidencePart(1, "north", "gw-1", sha256, 0, len(picture), picture))
    assert Path(str(book.look(sha256, "ann", None)["path"])).read_bytes() == picture
    row: Any = book.gallery.row("d-1", None)
    assert row["ended_ns"] is not None
    assert [(p["role"], p["state"]) for p in row["evidence"]] == [("thumbnail", "here")]
    assert [v["account"] for v in book.gallery.seen_by("d-1")] == ["ann"]
