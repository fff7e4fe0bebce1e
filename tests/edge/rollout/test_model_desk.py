"""A model from the cloud and the cameras that look with it: swapped between frames, left again when it fails."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from edge.rollout import ModelDesk
from edge.vision.nn.sight import Sight
from edge.vision.nn.slot import TRIAL_FRAMES, Slot, opened
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, told_graph, write_model
from tocsin.contract.ids import ulid
from tocsin.contract.rollout import ModelFile, ModelOffer, encode_offer, parts
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

KEY = b"key"


class Gateway:
    """A desk and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SystemClock()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.desk = self.start()

    def start(self) -> ModelDesk:
        return ModelDesk(
            self.folder / "models", site="plant", gateway="gw-1", clock=self.clock, key=lambda: KEY,
            wanted=lambda: True, say=lambda kind, _device, _text, data: self.events.append((kind, data)),
        )  # fmt: skip

    def slot(self, driver: str = "cameras") -> Slot:
        """As a driver opens it."""

        def serve(name: str, use: object) -> Path | None:
            return self.desk.serve(driver, name, use)  # type: ignore[arg-type]

        return opened(self.folder / "shipped", serve, self.desk.fell_back)

    async def send(self, version: str, data: bytes, settings: str = HEAT_SETTINGS) -> None:
        """Offers a model and waits for the answer."""
        made = write_model(self.folder / "made" / version, data, settings) / "model.toml"
        toml = made.read_text().replace('version = "1"', f'version = "{version}"')
        now, before = self.clock.now_ns(), len(self.events)
        file = ModelFile("trial.onnx", hashlib.sha256(data).hexdigest(), len(data))
        offer = ModelOffer(
            1, "plant", "gw-1", ulid(now), "li", now, now + 10**11, "trial", version, toml, [file]
        )
        await self.desk.take_offer(encode_offer(offer, KEY))
        for part in parts(data):
            await self.desk.take_part(part)
        await wait_until(lambda: len(self.events) > before)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    write_model(tmp_path / "shipped", heat_graph(), HEAT_SETTINGS)
    made = Gateway(tmp_path)
    task = asyncio.create_task(made.desk.run())
    yield made
    task.cancel()


def fire(sight: Sight) -> float:
    picture = np.full((256, 320, 3), 40, np.uint8)
    picture[:64, :64] = (0, 0, 255)
    return round(sight.see(picture, 0).scores["fire"], 2)


async def test_cameras_look_with_what_the_cloud_sent_and_a_restart_keeps_it(
    gateway: Gateway,
) -> None:
    sight = Sight(gateway.slot())
    assert fire(sight) == 1.0
    await gateway.send("2", heat_graph(gain=0.5))
    assert fire(sight) == 0.5
    await gateway.send("3", heat_graph(), HEAT_SETTINGS.replace('"fire"', '"flame"'))
    assert gateway.events[-1][0] == "model.refused"
    assert gateway.events[-1][1]["reason"] == "vision.model"
    assert fire(sight) == 0.5
    gateway.desk = gateway.start()
    assert fire(Sight(gateway.slot())) == 0.5


async def test_a_model_that_fails_on_a_frame_is_left_also_for_the_next_start(
    gateway: Gateway,
) -> None:
    sight = Sight(gateway.slot())
    await gateway.send("2", heat_graph(gain=0.5))
    await gateway.send("3", heat_graph(fails=True))
    assert gateway.events[-1][0] == "model.applied"
    assert fire(sight) == 0.5
    await wait_until(lambda: gateway.events[-1][0] == "model.fell-back")
    assert (gateway.events[-1][1]["version"], gateway.events[-1][1]["to"]) == ("3", "2")
    gateway.desk = gateway.start()
    assert fire(Sight(gateway.slot())) == 0.5
    (kept,) = (gateway.folder / "models" / "trial").iterdir()
    (kept / "trial.onnx").write_bytes(b"a bad disk")
    gateway.desk = gateway.start()
    task = asyncio.create_task(gateway.desk.run())
    await asyncio.sleep(0)
    assert fire(Sight(gateway.slot())) == 1.0, "the shipped one is always there"
    await wait_until(lambda: gateway.events[-1][1].get("version") == "2")
    assert gateway.events[-1][0] == "model.fell-back"
    task.cancel()


async def test_one_that_fails_after_a_restart_is_left_for_the_one_before_it_and_told_so(
    gateway: Gateway,
) -> None:
    gateway.slot()
    await gateway.send("2", heat_graph(gain=0.5))
    await gateway.send("3", heat_graph(fails=True))
    gateway.desk = gateway.start()
    task = asyncio.create_task(gateway.desk.run())
    await asyncio.sleep(0)
    sight = Sight(gateway.slot())
    assert fire(sight) == 1.0, "the shipped one, until the one before is loaded"
    await wait_until(lambda: gateway.events[-1][0] == "model.fell-back")
    assert (gateway.events[-1][1]["version"], gateway.events[-1][1]["to"]) == ("3", "2")
    assert fire(sight) == 0.5
    gateway.desk = gateway.start()
    assert fire(Sight(gateway.slot())) == 0.5
    task.cancel()


async def test_when_one_driver_leaves_a_version_that_failed_so_do_the_others_and_it_is_told_once(
    gateway: Gateway,
) -> None:
    first, second = Sight(gateway.slot()), Sight(gateway.slot("more cameras"))
    await gateway.send("2", heat_graph(gain=0.5))
    for _ in range(TRIAL_FRAMES):
        fire(second)
    more = HEAT_SETTINGS.replace('"fire"]', '"fire", "steam"]')
    await gateway.send("3", heat_graph(fails=True, classes=3), more)
    dim = np.full((256, 320, 3), 40, np.uint8)
    for _ in range(TRIAL_FRAMES):  # it works there, and the one before is let go of
        second.see(dim, 0)
    assert fire(first) == 0.5
    await wait_until(lambda: gateway.events[-1][0] == "model.fell-back")
    assert (gateway.events[-1][1]["version"], gateway.events[-1][1]["to"]) == ("3", "2")
    assert fire(second) == 0.5

    await gateway.send("4", heat_graph(fails=True))
    assert (fire(first), fire(second)) == (0.5, 0.5), "both failed and say so"
    await wait_until(lambda: gateway.events[-1][0] == "model.fell-back")
    await gateway.send("5", heat_graph(gain=0.25))
    assert [kind for kind, _ in gateway.events].count("model.fell-back") == 2
    assert (gateway.events[-1][0], gateway.events[-1][1]["before"]) == ("model.applied", "2")


async def test_a_version_that_one_driver_refuses_is_left_by_those_that_took_it(
    gateway: Gateway,
) -> None:
    sight = Sight(gateway.slot())

    def full(_folder: Path | None) -> None:
        raise MemoryError("no room")

    gateway.desk.serve("more cameras", "trial", full)
    await gateway.send("2", heat_graph(gain=0.5))
    assert gateway.events[-1][0] == "model.refused"
    assert fire(sight) == 1.0


async def test_a_driver_that_leaves_takes_its_models_with_it_and_one_may_have_two_of_a_name(
    gateway: Gateway,
) -> None:
    first, second = gateway.slot(), gateway.slot()
    await gateway.send("2", heat_graph(gain=0.5))
    assert (first.current.version, second.current.version) == ("2", "2")
    gone = weakref.ref(first)
    del first, second
    gateway.desk.leave("cameras")
    gc.collect()
    assert gone() is None
    now = gateway.slot()
    await gateway.send("3", heat_graph(gain=0.25))
    assert (gateway.events[-1][0], now.current.version) == ("model.applied", "3")


async def test_a_model_that_cannot_be_tried_is_refused_with_a_reason_and_the_next_one_is_taken(
    gateway: Gateway,
) -> None:
    sight = Sight(gateway.slot())
    disagrees = told_graph(logits=np.full((1, 9, 1), 3.0), pred_boxes=np.full((1, 5, 4), 0.5))
    settings = 'classes = ["fire"]\n[input]\nwidth = 320\nheight = 256\n[head]\nkind = "rt-detr"\n'
    await gateway.send("2", disagrees, settings)
    assert gateway.events[-1][0] == "model.refused"
    assert gateway.events[-1][1]["reason"] == "vision.model"

    def broken(_folder: Path | None) -> None:
        raise KeyError("fire")

    gateway.desk.serve("another driver", "trial", broken)
    await gateway.send("3", heat_graph(gain=0.5))
    assert gateway.events[-1][0] == "model.refused"
    assert gateway.events[-1][1]["reason"] == "vision.model"
    gateway.desk.leave("another driver")
    await gateway.send("4", heat_graph(gain=0.25))
    assert gateway.events[-1][0] == "model.applied"
    assert fire(sight) == 0.25
