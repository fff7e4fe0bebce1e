"""Watches the forest until its cameras have shown all their frames, and tells what was seen and what was not."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.cli.data import data_dir
from tocsin.lab.children import LabError
from tocsin.lab.demo import Demo
from tocsin.lab.forest.site import Camera, Forest

PATIENCE_S = 60.0  # for the last picture to come
_STEP_S = 0.5


class CameraTold(msgspec.Struct, frozen=True):
    """One camera. Frames count from 0; `alarm_frame` is the first one after the fire began, with `picture` the hash of what the console shows of it."""

    camera: str
    kind: str
    frames: int
    hours: float
    fire_frame: int | None
    alarm_frame: int | None
    label: str
    picture: str
    in_alarm_list: bool
    false_alarm_frames: list[int]
    false_alarm_open: bool = False  # at the end: what begins within it raises none of its own

    @property
    def as_it_should(self) -> bool:
        """An alarm with its picture where something burns, and none else."""
        seen = self.alarm_frame is not None and bool(self.picture) and self.in_alarm_list
        return not self.false_alarm_frames and (self.fire_frame is None or seen)

    def text(self) -> str:
        """For people."""
        false = self.false_alarm_frames
        many = f"{len(false)} FALSE ALARM(S), at frame {', '.join(map(str, false))}"
        if self.fire_frame is None:
            what = f"{self.hours:g} h of clouds and sunset, nothing burns"
            return f"{self.camera}: {what}: {many if false else '0 alarms'} in {self.frames} frames"
        began = f"{'fire' if self.kind == 'thermal' else 'smoke'} began at frame {self.fire_frame}"
        if self.alarm_frame is None:
            told = f"NO ALARM of its own in the {self.frames - self.fire_frame} frames after it"
            if self.false_alarm_open:
                told += " (a false one is still open)"
        else:
            shown = "its picture is on the console" if self.picture else "its picture did NOT come"
            told = f"alarm ({self.label}) at frame {self.alarm_frame}, {shown}"
            if not self.in_alarm_list:
                told += ", NOT in the list of alarms"
        before = f"; before that {many}" if false else "; 0 alarms before"
        return f"{self.camera}: {began}, {told}{before}"


class ForestTold(msgspec.Struct, frozen=True):
    """What `tocsin demo --scene forest --json` prints."""

    model: str
    frames: int
    fps: float
    cameras: list[CameraTold]
    console_url: str

    @property
    def as_it_should(self) -> bool:
        """For every camera."""
        return all(c.as_it_should for c in self.cameras)

    def text(self) -> str:
        """For people."""
        lines = [c.text() for c in self.cameras]
        wrong = [c.camera for c in self.cameras if not c.as_it_should]
        if wrong:
            lines.append(
                f"NOT as it should be: {', '.join(wrong)}. Visible cameras are judged by {self.model}; thermal ones need no model."
            )
        return "\n".join(lines)


def watch(run: Demo, forest: Forest, say: Callable[[str], None]) -> ForestTold:
    """Returns when all frames were shown and the pictures of alarms are there, or did not come in `PATIENCE_S`.

    Raises:
        LabError: a part died, or the cloud does not answer.
    """
    heard: set[str] = set()
    end_s = time.monotonic() + forest.seconds
    late_s = end_s + PATIENCE_S
    while (now_s := time.monotonic()) < late_s:
        run.children.check()
        found = _detections(run)
        for row in found:
            if row["detection"] not in heard:
                heard.add(row["detection"])
                say(f"{row['device']}: {row['label']} at frame {row['told'].get('frame')}: {row['told']['why'][0]}")  # fmt: skip
        if now_s >= end_s and all(_whole(run, r["detection"]) for r in found):
            break
        time.sleep(_STEP_S)
    return told_of(run, forest)


def told_of(run: Demo, forest: Forest) -> ForestTold:
    """What stands in the cloud now."""
    found = _detections(run)
    listed = {a["evidence"] for a in run.client.get("/api/v1/alarms?active=false&limit=1000")}
    cameras = [_camera(run, c, forest.frames, found, listed) for c in forest.cameras]
    return ForestTold(_model(), forest.frames, forest.fps, cameras, run.console_url)


def _camera(
    run: Demo, camera: Camera, frames: int, found: list[Any], listed: set[str]
) -> CameraTold:
    seen = ((int(r["told"].get("frame", 0)), r) for r in found if r["device"] == camera.id)
    mine = sorted(seen, key=lambda pair: pair[0])
    fire = camera.fire_frame
    true = [(n, r) for n, r in mine if fire is not None and n >= fire]
    false = [(n, r) for n, r in mine if fire is None or n < fire]
    frame, row = true[0] if true else (None, None)
    return CameraTold(
        camera.id,
        "thermal" if camera.thermal else "visible",
        frames,
        camera.hours,
        fire,
        frame,
        "" if row is None else row["label"],
        "" if row is None else _whole(run, row["detection"]),
        row is not None and row["thumbnail"] in listed,
        [n for n, _ in false],
        any(r["ended_ns"] is None for _, r in false),
    )


def _model() -> str:
    """Name and version of what the visible cameras are judged by."""
    table = tomllib.loads((data_dir("models") / "smoke-fire" / "model.toml").read_text("utf-8"))
    return f"{table['name']} {table['version']}"


def _detections(run: Demo) -> list[Any]:
    rows: list[Any] = run.client.get("/api/v1/detections?limit=1000")
    return rows


def _whole(run: Demo, detection: str) -> str:
    """Hash of its whole picture, once that is there and fits; else ""."""
    for shown in run.client.get(f"/api/v1/detections/{detection}")["evidence"]:
        if shown["role"] == "at" and shown["state"] == "here":
            data = run.client.get_bytes(f"/api/v1/evidence/{shown['sha256']}")
            if hashlib.sha256(data).hexdigest() != shown["sha256"]:
                raise LabError(f"picture {shown['sha256']} is not what its hash says")
            return str(shown["sha256"])
    return ""
