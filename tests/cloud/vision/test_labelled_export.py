"""What people judged comes out as labelled pictures, by the API and by `tocsin vision export`, from a running cloud."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import httpx
import msgspec
import numpy as np
import pytest

from cloud.identity.rules import Scope
from cloud.vision.coco import size_of
from edge.vision.evaluate.coco import read
from tests.cloud.conftest import RunningCloud
from tocsin.contract.evidence import MAX_PART_BYTES, Detection, EvidencePart, Exhibit
from tocsin.contract.messages import VERSION, Event
from tocsin.lab.children import LabError, tocsin_command

AT = "/api/v1/detections/export"
BOX = (0.25, 0.5, 0.125, 0.25)
MODEL = Path(__file__).parents[3] / "models" / "smoke-fire"
S = 10**9


def _jpeg(shade: int, width: int = 320, height: int = 200) -> bytes:
    picture = np.random.default_rng(shade).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Watching:
    """Cameras of the site north, and what came of them."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.now_ns = cloud, time.time_ns()

    def sees(
        self, name: str, picture: bytes | None, at_s: float, verdict: str = "", camera: str = "cam-1", **more: Any
    ) -> None:  # fmt: skip
        t = self.now_ns + int(at_s * S)
        shown = []
        if picture is not None:
            shown = [Exhibit(_sha(picture), "at", "image/jpeg", len(picture), t)]
        told = Detection(
            name, "confirmed", more.pop("label", "smoke"), 0.9, BOX, t, evidence=shown, **more
        )
        for change, when in (("confirmed", t), ("ended", t + 30 * S)):
            said = msgspec.structs.replace(told, change=change, t=when)
            data = msgspec.to_builtins(said)
            event = Event(VERSION, "north", "gw-north", "S", 0, "vision.detection", when, camera, "", data)  # fmt: skip
            self.cloud.vision.on_event(event, when)
        for at in range(0, len(picture or b""), MAX_PART_BYTES):
            assert picture is not None
            part = picture[at : at + MAX_PART_BYTES]
            self.cloud.vision.on_part(
                EvidencePart(VERSION, "north", "gw-north", _sha(picture), at, len(picture), part)
            )
        if verdict:
            self.cloud.vision.judge(name, verdict, "ann", "", None)

    def zip(self, query: str = "", **who: Any) -> tuple[zipfile.ZipFile, httpx.Headers]:
        token = self.cloud.token(Scope.ALARMS, **who)
        answer = httpx.get(f"{self.cloud.url}{AT}{query}", headers=token, timeout=30)
        assert answer.status_code == 200, answer.text
        return zipfile.ZipFile(io.BytesIO(answer.content)), answer.headers


@pytest.fixture
def watching(two_sites: RunningCloud) -> Watching:
    return Watching(two_sites)


SMOKE, GLARE, LATER, FIRE = (_jpeg(i) for i in range(4))


def _labels(found: zipfile.ZipFile) -> Any:
    return json.loads(found.read("train.json"))


def test_confirmed_ones_are_boxes_and_rejected_ones_pictures_without(watching: Watching) -> None:
    watching.sees("d-1", SMOKE, 0, "confirmed")
    watching.sees("d-2", GLARE, 1000, "rejected")
    watching.sees("d-3", LATER, 2000)
    watching.sees("d-4", None, 3000, "confirmed")  # its picture is at the gateway
    found, headers = watching.zip()
    assert found.testzip() is None
    labels = _labels(found)
    assert [(i["verdict"], i["group"], i["width"], i["height"]) for i in labels["images"]] == [
        ("confirmed", "north/cam-1", 320, 200), ("rejected", "north/cam-1", 320, 200),
    ]  # fmt: skip
    (box,) = labels["annotations"]
    assert (box["bbox"], box["iscrowd"], box["image_id"]) == ([80.0, 100.0, 40.0, 50.0], 0, 1)
    assert [c["name"] for c in labels["categories"][:2]] == ["smoke", "fire"]
    for image, data in zip(labels["images"], (SMOKE, GLARE), strict=True):
        assert found.read(f"images/{image['file_name']}") == data
    told = (headers["X-Tocsin-Pictures"], headers["X-Tocsin-Bytes"], headers["X-Tocsin-Truncated"])
    assert told == ("2", str(len(SMOKE) + len(GLARE)), "false")
    assert labels["info"]["detections"] == 3
    looked = watching.cloud.vision.gallery.seen_by("d-1")
    assert [v["account"] for v in looked] == ["test"]
    assert watching.cloud.vision.gallery.seen_by("d-3") == []


def test_what_else_the_camera_saw_then_counts_neither_way(watching: Watching) -> None:
    watching.sees("d-1", GLARE, 10, "rejected")
    watching.sees("d-2", None, 0, "confirmed")  # 10 s before, still there
    watching.sees("d-3", None, 15)  # confirmed 5 s later: it is in the picture already
    watching.sees("d-4", None, 12, "rejected")
    watching.sees("d-5", None, 12, camera="cam-2")
    watching.sees("d-6", None, 500)
    labels = _labels(watching.zip()[0])
    assert [a["iscrowd"] for a in labels["annotations"]] == [1, 1]
    assert labels["annotations"][0]["bbox"] == [70.0, 87.5, 60.0, 75.0]
    watching.sees("d-7", LATER, 600)
    unjudged = _labels(watching.zip("?unjudged=true")[0])
    assert [i["verdict"] for i in unjudged["images"]] == ["rejected", ""]
    mine = [a for a in unjudged["annotations"] if a["image_id"] == 2]
    assert [(a["iscrowd"], a["bbox"]) for a in mine] == [(1, [80.0, 100.0, 40.0, 50.0])]


def test_time_camera_class_spectrum_and_site_choose(watching: Watching) -> None:
    watching.sees("d-1", SMOKE, 0, "confirmed")
    watching.sees("d-2", GLARE, 100, "rejected", camera="cam-2")
    watching.sees("d-3", LATER, 200, "confirmed", label="hot-spot", spectrum="thermal")
    watching.sees("d-4", FIRE, 300, "confirmed", label="fire")

    def names(query: str) -> list[str]:
        return [i["detection"] for i in _labels(watching.zip(query)[0])["images"]]

    assert names("") == ["d-1", "d-4", "d-2"]
    assert names("?spectrum=thermal") == ["d-3"]
    assert names("?spectrum=all") == ["d-1", "d-3", "d-4", "d-2"]
    assert names("?device=cam-2") == ["d-2"]
    assert names("?label=smoke&label=fire&device=cam-1") == ["d-1", "d-4"]
    middle = watching.now_ns + 50 * S
    assert names(f"?from_ns={middle}") == ["d-4", "d-2"]
    assert names(f"?to_ns={middle}") == ["d-1"]
    assert names("?limit=1") == ["d-4"]
    assert watching.zip("?limit=1")[1]["X-Tocsin-Truncated"] == "true"
    other = watching.zip(sites=frozenset({"south"}))[0]
    assert _labels(other)["images"] == []


def test_a_picture_that_changed_on_the_disk_is_left_out_and_told(watching: Watching) -> None:
    watching.sees("d-1", SMOKE, 0, "confirmed")
    watching.sees("d-2", GLARE, 100, "rejected")
    row = watching.cloud.vision.take_out([_sha(SMOKE)], "root", None)[0]
    Path(str(row["path"])).write_bytes(FIRE)
    labels = _labels(watching.zip()[0])
    assert [i["detection"] for i in labels["images"]] == ["d-2"]
    assert labels["info"]["left_out"] == {"wrong-hash": 1}


def test_who_may_not_judge_takes_nothing_out(watching: Watching) -> None:
    for scope, status in ((Scope.READ, 403), (Scope.QUERY, 403)):
        head = watching.cloud.token(scope)
        assert httpx.get(watching.cloud.url + AT, headers=head).status_code == status
    head = watching.cloud.token(Scope.ALARMS)
    for query in ("?from_ns=5&to_ns=5", "?limit=0", "?limit=10001", "?spectrum=x", "?surprise=1"):
        assert httpx.get(watching.cloud.url + AT + query, headers=head).status_code == 400, query


def test_the_command_fetches_what_eval_and_the_trainer_read(
    watching: Watching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        watching.sees(f"s-{i}", _jpeg(10 + i), 100 * i, "confirmed")
        watching.sees(f"r-{i}", _jpeg(20 + i), 1000 + 100 * i, "rejected")
    token = watching.cloud.token(Scope.ALARMS)["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("TOCSIN_TOKEN", token)
    out, url = tmp_path / "judged", watching.cloud.url
    told = json.loads(tocsin_command("vision", "export", str(out), "--url", url, "--json"))
    assert (told["pictures"], told["confirmed"], told["rejected"], told["boxes"]) == (6, 3, 3, 3)
    truth = read(out / "train.json")
    assert [len(p.boxes) for p in truth] == [1, 1, 1, 0, 0, 0]
    labelled = ("--coco", str(out / "train.json"), "--images", str(out / "images"))
    report = json.loads(tocsin_command("vision", "eval", *labelled, "--json"))
    assert report["skipped"] == []
    monkeypatch.syspath_prepend(str(MODEL))
    trainer = importlib.import_module("data")

    items = trainer.load(out, tmp_path / "cache")
    assert [(i.group, len(i.boxes)) for i in items] == [("north/cam-1", n) for n in (1, 1, 1, 0, 0, 0)]  # fmt: skip
    for name in ("data", "procedural"):
        sys.modules.pop(name)

    with pytest.raises(LabError) as there:
        tocsin_command("vision", "export", str(out), "--url", url)
    assert "there already" in there.value.hint
    packed = tmp_path / "judged.zip"
    tocsin_command("vision", "export", str(packed), "--url", url, "--camera", "cam-1")
    assert zipfile.ZipFile(packed).testzip() is None
    shutil.rmtree(out)
    monkeypatch.setenv("TOCSIN_TOKEN", "wrong")
    with pytest.raises(LabError) as refused:
        tocsin_command("vision", "export", str(out), "--url", url)
    assert "unknown, revoked or expired" in refused.value.hint
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".judged")) == []


def test_sizes_are_read_from_headers() -> None:
    png = cv2.imencode(".png", np.zeros((7, 9, 3), np.uint8))[1].tobytes()
    assert size_of(png) == (9, 7)
    assert size_of(_jpeg(1, 33, 21)) == (33, 21)
    for cut in range(40):
        assert size_of(SMOKE[:cut]) is None
