"""A radiometric camera that sees a fire begin, from its pictures to the alarm and the picture of it in the cloud."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tocsin.lab.children import tocsin_command
from tocsin.lab.client import ConsoleClient
from tocsin.lab.demo import Demo
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

CAMERA, DEAD, FRAMES, ONSET = "heat-01", "heat-02", 60, 24


def scene(folder: Path) -> None:
    """A cool hillside in 0.04 K counts, and from frame 24 on a fire that grows."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    slope = np.linspace(8.0, 16.0, 120)[:, None] * np.ones((1, 160))
    for i in range(FRAMES):
        degrees = slope + rng.normal(0.0, 0.08, slope.shape)
        if i >= ONSET:
            size = 2 + (i - ONSET) // 4
            degrees[60 : 60 + size, 80 : 80 + size] = 180.0 + i
        counts = np.round((degrees + 273.15) / 0.04).astype(np.uint16)
        assert cv2.imwrite(str(folder / f"{i:04d}.png"), counts)


class Hill(Site, frozen=True):
    """A camera, and one that is not there."""

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(Device(name, "vision", 1.0, "camera", "") for name in (CAMERA, DEAD))

    def processes(self, folder: Path) -> dict[str, list[str]]:
        scene(folder / "frames")
        return {}

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "camera"
name = "ridge"
period_s = 1.0
[[drivers.devices]]
id = "{CAMERA}"
source = "frames"
kelvin_per_count = 0.04
fps = 4.0
repeat = true
idle_fps = 4.0
view_every_s = 2.0
pose = {{ lat = 22.5, lon = 114.0, azimuth_deg = 200.0, hfov_deg = 60.0 }}
[[drivers.devices]]
id = "{DEAD}"
source = "rtsp://127.0.0.1:{free_port()}/live"
kelvin_per_count = 0.04
[[alarms]]
device = "{CAMERA}"
quantity = "confirmed"
level1 = 1
""",
            "utf-8",
        )
        return path


def test_a_fire_is_an_alarm_with_its_picture_and_a_person_says_what_it_was(tmp_path: Path) -> None:
    with Demo(tmp_path, Hill(), broker="mosquitto") as run:
        run.start(lambda _part: None)

        def get(path: str) -> Any:
            run.children.check()
            return run.client.get(path)

        wait_until_sync(lambda: get("/api/v1/detections"), 60.0, "a detection")
        seen = get("/api/v1/detections")[-1]
        wait_until_sync(lambda: get("/api/v1/alarms"), 20.0, "the alarm")
        alarm = get("/api/v1/alarms")[-1]
        assert (seen["label"], seen["device"]) == ("hot-spot", CAMERA)
        states = {d["device"]: d["state"] for d in get("/api/v1/devices")}
        assert states == {CAMERA: "ok", DEAD: "unavailable"}
        assert alarm["evidence"] == seen["thumbnail"]
        told = seen["told"]
        assert ONSET <= told["frame"] <= ONSET + 8
        assert abs(told["bearing"] - 200.0) < 4.0
        x, y, width, height = told["box"]
        assert x <= 80.5 / 160 <= x + width
        assert y <= 60.5 / 120 <= y + height

        def here() -> dict[str, str]:
            shown = get(f"/api/v1/detections/{seen['detection']}")["evidence"]
            return {e["role"]: e["sha256"] for e in shown if e["state"] == "here"}

        wait_until_sync(lambda: "at" in here(), 60.0, "the whole picture")
        for sha256 in here().values():
            data = run.client.get_bytes(f"/api/v1/evidence/{sha256}")
            assert hashlib.sha256(data).hexdigest() == sha256
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
        wait_until_sync(lambda: get("/api/v1/cameras/views"), 20.0, "a picture for the wall")
        views = {view["sha256"] for view in get("/api/v1/cameras/views")}
        pictures = set(here().values())
        on_disk = {path.name for path in (tmp_path / "edge" / "evidence").iterdir()}
        assert views
        assert pictures <= on_disk
        assert not views & on_disk
        verdict = {"verdict": "confirmed", "note": "the farm's bonfire"}
        where = ("--data", str(tmp_path / "cloud"), "--json")
        token = tocsin_command("token", "create", "ann", "--scope", "alarms", *where)
        ann = ConsoleClient(run.console_url, json.loads(token)["token"])
        judged = ann.post(f"/api/v1/detections/{seen['detection']}/verdict", verdict)
        assert (judged["verdict"], judged["not_passed_on"]) == ("confirmed", "")
        last = f"/api/v1/commands/{judged['command']}"
        wait_until_sync(lambda: get(last)["state"] not in ("sent", "accepted"), 20.0, "told")
        assert get(last)["state"] == "done", get(last)
        assert (tmp_path / "edge" / "devices" / CAMERA / "learned.json").is_file()
