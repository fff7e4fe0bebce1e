"""Models that the cloud sends a running gateway: signed, whole, tried, newer; anything else changes nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.control.client import ask
from edge.vision.nn.load import load_detector
from tests.edge.app.conftest import Start, uplink_toml
from tests.edge.app.test_reload import HEAD, told
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.broker import ChildBroker
from tocsin.contract.ids import ulid
from tocsin.contract.messages import Event
from tocsin.contract.rollout import (
    DOWN,
    DOWN_PART,
    VERSION,
    ModelFile,
    ModelOffer,
    encode_offer,
    parts,
)
from tocsin.errors import ControlError
from tocsin.testing import INGESTER, wait_until_sync
from tocsin.testing.ingester import TestIngester


class Cloud:
    """Offers models, and reads what the gateway says of them."""

    def __init__(self, folder: Path, ingester: TestIngester) -> None:
        self.folder, self.ingester = folder, ingester
        self._socket = folder / "data" / "control.sock"

    def status(self) -> dict[str, Any]:
        try:
            return msgspec.convert(ask(self._socket, "status"), dict[str, Any])
        except ControlError:
            return {}

    def counter(self, name: str) -> int:
        return int(self.status().get("counters", {}).get(name, 0))

    def make(self, version: str, data: bytes, settings: str = HEAT_SETTINGS) -> tuple[str, bytes]:
        """(model.toml, file)."""
        folder = write_model(self.folder / "made" / version, data, settings)
        toml = (
            (folder / "model.toml").read_text().replace('version = "1"', f'version = "{version}"')
        )
        return toml, data

    def offer(
        self, version: str, made: tuple[str, bytes], *, key: bytes = b"gw-1-key", **other: Any
    ) -> ModelOffer:
        toml, data = made
        now = time.time_ns()
        fields: dict[str, Any] = {
            "id": ulid(now), "issued_ns": now, "expires_ns": now + 60_000_000_000, "gateway": "gw-1",
        }  # fmt: skip
        offer = ModelOffer(
            v=VERSION, site="plant", actor="duty", name="trial", version=version, toml=toml,
            files=[ModelFile("trial.onnx", hashlib.sha256(data).hexdigest(), len(data))], **fields | other,
        )  # fmt: skip
        self.ingester.command(encode_offer(offer, key), DOWN)
        return offer

    def send(self, data: bytes) -> None:
        for part in parts(data):
            self.ingester.command(part, DOWN_PART)

    def heard(self, offer: ModelOffer, kind: str) -> Event:
        def found() -> list[Event]:
            return [e for e in told(self.ingester, kind) if e.data.get("id") == offer.id]

        wait_until_sync(found, what=f"{kind}: {self.status().get('counters')}")
        return found()[-1]

    def refused(self, version: str, made: tuple[str, bytes], **other: Any) -> tuple[str, str]:
        """(reason, text)."""
        offer = self.offer(version, made, **other)
        self.send(made[1])
        event = self.heard(offer, "model.refused")
        return str(event.data["reason"]), event.text


@pytest.fixture
def cloud(tmp_path: Path, mosquitto: ChildBroker) -> Iterator[Cloud]:
    with TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    ) as ingester:
        yield Cloud(tmp_path, ingester)


def padded(data: bytes, size: int) -> bytes:
    """The same graph in a larger file: an unknown field is passed over."""
    length = size - len(data)
    varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    return data + b"\xa2\x06" + varint + bytes(length)


def test_a_model_from_the_cloud_is_put_together_tried_kept_and_survives_a_restart(
    cloud: Cloud, start_edge: Start, mosquitto: ChildBroker, tmp_path: Path
) -> None:
    toml = HEAD + uplink_toml(mosquitto.port) + "remote_models = true\n"
    edge = start_edge(toml)
    wait_until_sync(lambda: cloud.status().get("connected"), what=f"{edge.stderr}")
    first = cloud.make("1", padded(heat_graph(), 200_000))
    one = cloud.offer("1", first)
    cloud.send(b"x" * 70_000)
    cloud.send(first[1][:-1] + b"y")  # of other files: dropped
    cloud.send(first[1])
    applied = cloud.heard(one, "model.applied")
    assert (applied.data["version"], applied.data["before"]) == ("1", "")
    assert cloud.counter("models.parts") == 4
    assert cloud.counter("models.parts_dropped") >= 2
    folder = tmp_path / "data" / "models" / "trial"
    assert load_detector(folder / one.id).version == "1"

    second = cloud.make("2", heat_graph(gain=0.5))
    wrong_hash = (second[0].replace(hashlib.sha256(second[1]).hexdigest(), "0" * 64), second[1])
    assert cloud.refused("2", wrong_hash)[0] == "vision.model"
    assert cloud.refused("2", cloud.make("2", b"nothing"))[0] == "vision.model"
    assert "was offered" in cloud.refused("3", second)[1]
    assert cloud.refused("2", ("schema = 1\n", second[1]))[0] == "config.invalid"
    assert cloud.refused("2", second, expires_ns=time.time_ns() - 1)[0] == "expired"
    assert cloud.refused("2", second, issued_ns=one.issued_ns - 1)[0] == "old-version"
    assert cloud.refused("2", second, gateway="gw-2")[0] == "not-for-us"
    before = cloud.counter("models.offers_refused")
    cloud.offer("2", second, key=b"another key")
    cloud.ingester.command(b"\xff not an offer", DOWN)
    cloud.ingester.command(b"\xff not a part", DOWN_PART)
    wait_until_sync(lambda: cloud.counter("models.offers_refused") == before + 2)
    assert [f.name for f in folder.iterdir()] == [one.id]

    two = cloud.offer("2", second)
    cloud.send(second[1])
    assert cloud.heard(two, "model.applied").data["before"] == "1"
    assert {f.name for f in folder.iterdir()} == {one.id, two.id}, "the one before stays"
    edge.terminate()
    edge = start_edge(toml)
    wait_until_sync(lambda: cloud.status().get("connected"), what=f"{edge.stderr}")
    old = cloud.refused("1", first, issued_ns=one.issued_ns)
    assert old[0] == "old-version", "what was taken before a restart is remembered"
    seen = len([e for e in told(cloud.ingester, "model.applied") if e.data.get("id") == two.id])
    cloud.ingester.command(encode_offer(two, b"gw-1-key"), DOWN)
    wait_until_sync(
        lambda: (
            len([e for e in told(cloud.ingester, "model.applied") if e.data.get("id") == two.id])
            > seen
        ),
        what="a cloud that has not heard it is told again",
    )


def test_a_gateway_that_does_not_want_models_takes_none(
    cloud: Cloud, start_edge: Start, mosquitto: ChildBroker
) -> None:
    edge = start_edge(HEAD + uplink_toml(mosquitto.port))
    wait_until_sync(lambda: cloud.status().get("connected"), what=f"{edge.stderr}")
    reason, text = cloud.refused("1", cloud.make("1", heat_graph()))
    assert reason == "refused"
    assert "remote_models" in text
