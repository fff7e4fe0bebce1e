"""Models for gateways as the cloud follows them: what is sent, what moves them, what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from cloud.db import open_engine, read, upgrade
from cloud.models import book as book_module
from cloud.models.book import ModelBook
from cloud.models.tables import model_files
from tocsin.contract.messages import VERSION, Event
from tocsin.contract.rollout import ModelPart, decode_offer, decode_part
from tocsin.errors import BadRequestError, CommandRefusedError, NotFoundError
from tocsin.sdk import SystemClock

KEY = b"gw-1-key"
Out = list[tuple[str, bytes]]


def toml(data: bytes, version: str = "1", more: str = "") -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    return f'name = "fire"\nversion = "{version}"\nfile = "a.onnx"\nsha256 = "{sha256}"\n{more}'


def event(kind: str, offer: object, gateway: str = "gw-1", **data: object) -> Event:
    return Event(VERSION, "plant", gateway, "S", 0, kind, 5, "", "told", {"id": offer, **data})


@pytest.fixture
def out() -> Out:
    return []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "state.sqlite")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def book(engine: Engine, out: Out) -> ModelBook:
    def publish(topic: str, payload: bytes) -> bool:
        out.append((topic.rpartition("/")[2], payload))
        return True

    sites = {"gw-1": "plant", "gw-2": "plant"}
    return ModelBook(engine, SystemClock(), sites=sites, keys={"gw-1": KEY}, publish=publish)


def sent_parts(out: Out) -> list[ModelPart]:
    return [decode_part(payload) for what, payload in out if what == "model-part"]


def test_a_model_goes_out_signed_with_all_its_parts_until_its_gateway_took_it(
    book: ModelBook, out: Out
) -> None:
    data = bytes(range(256)) * 600
    made = book.push("gw-1", toml(data), {"a.onnx": data}, "li")
    offer = decode_offer(out[0][1], KEY)
    assert (out[0][0], offer.name, offer.version, offer.actor) == ("model", "fire", "1", "li")
    assert b"".join(p.data for p in sent_parts(out)) == data
    first = list(out)
    book.resend("gw-1")
    assert out == first * 2, "the very same bytes"
    book.on_event(event("model.applied", made["id"], gateway="gw-2"), 9)
    book.on_event(event("model.applied", made["id"]), 9)
    book.on_event(event("model.refused", made["id"], reason="old-version"), 10)
    assert [(r["state"], r["open"]) for r in book.rows("gw-1", 5)] == [("applied", False)]
    book.resend("gw-1")
    assert len(out) == 2 * len(first), "what was taken is not sent again"
    book.on_event(event("model.fell-back", made["id"]), 11)
    assert book.rows("gw-1", 5)[0]["state"] == "fell-back"


def test_files_are_kept_once_and_as_long_as_they_are_named(
    book: ModelBook, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        with read(engine) as c:
            return int(c.scalar(select(func.count()).select_from(model_files)) or 0)

    monkeypatch.setattr(book_module, "MAX_KEPT", 2)
    for version in ("1", "2"):
        book.push("gw-1", toml(b"same", version), {"a.onnx": b"same"}, "li")
    assert kept() == 1
    assert [r["state"] for r in book.rows("gw-1", 5)] == ["sent", "replaced"]
    for version in ("3", "4"):
        book.push("gw-1", toml(b"other", version), {"a.onnx": b"other"}, "li")
    assert kept() == 1


def test_what_cannot_be_sent_is_refused(book: ModelBook, out: Out) -> None:
    data = b"graph"
    small = f'[int8]\nfile = "b.onnx"\nsha256 = "{hashlib.sha256(b"b").hexdigest()}"\n'
    for wrong, files, said in (
        ("name =", {}, "not TOML"),
        (toml(data), {}, "not there"),
        (toml(data), {"a.onnx": b"else"}, "SHA-256"),
        (toml(data, more=small), {"a.onnx": data}, "b.onnx"),
        (toml(data).replace('"fire"', "7"), {"a.onnx": data}, "name"),
        (toml(b"x" * (9 << 20)), {"a.onnx": b"x" * (9 << 20)}, "at most"),
    ):
        with pytest.raises(BadRequestError, match=said):
            book.push("gw-1", wrong, files, "li")
    with pytest.raises(CommandRefusedError, match="no command key"):
        book.push("gw-2", toml(data), {"a.onnx": data}, "li")
    with pytest.raises(NotFoundError):
        book.rows("gw-9", 1)
    assert out == []


def test_what_nobody_took_in_time_is_given_up_and_lost_parts_go_again(
    book: ModelBook, out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.push("gw-1", toml(b"graph"), {"a.onnx": b"graph"}, "li")
    book.expire()
    assert len(out) == 2
    monkeypatch.setattr(book_module, "AGAIN_S", 0.0)
    book.expire()
    assert len(out) == 4
    book.push("gw-1", toml(b"graph", "2"), {"a.onnx": b"graph"}, "li", expires_s=-20)
    book.expire()
    assert [r["state"] for r in book.rows("gw-1", 5)] == ["expired", "replaced"]


def test_the_look_for_overdue_models_waits_for_nobody_who_writes(
    book: ModelBook, engine: Engine, out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes every second; an alarm's commit must not wait for it either."""
    book.push("gw-1", toml(b"m"), {"a.onnx": b"m"}, "li")

    def write(_: Engine) -> None:
        pytest.fail("it takes the writers' turn")

    with monkeypatch.context() as patch:
        patch.setattr(book_module, "write", write)
        book.expire()
        sent = len(out)
        patch.setattr(book_module, "AGAIN_S", 0.0)
        book.expire()
        assert len(out) == 2 * sent, "and those that wait are sent again all the same"
