"""The whole judging chain over sequences: false alarm events per camera-day, and sequences found or not.

    python -m scripts.vision_sequences --model smoke-fire --data ../shared/data/fire-smoke --groups hpwren-05,hpwren-11 --skies 8

Each group's quiet frames come first, then its burning ones, both in the order of their names: on pictures of these sets that is not the
order in which they were taken. A group with a burning frame is one sequence with fire; the quiet frames before it are one without. `--skies`
adds generated days without fire (tocsin/lab/forest/sky.py), a frame a minute from midnight to midnight.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edge.vision.commands.watch import options
from edge.vision.judge.settings import Settings
from edge.vision.judge.watch import EventKind, Watch, step
from edge.vision.nn.detector import Detector
from edge.vision.nn.load import load_detector
from edge.vision.pipeline.develop import Developer
from edge.vision.sources.picture_file import decode
from edge.vision.sources.source import Raw, Reject
from edge.vision.watch.eye import Eye
from tocsin.lab.forest.sky import Sky

START_NS = 1_767_225_600_000_000_000
DAY_FRAMES = 1440


def alarms(detector: Detector, settings: Settings, frames: Iterable[Raw | Reject], every_s: float) -> Iterator[int]:  # fmt: skip
    """Indexes of the frames at which alarms were raised."""
    developer, eye, watch = Developer("camera"), Eye(detector, all_tiles=True), Watch()
    for index, raw in enumerate(frames):
        after_ns = int(index * every_s * 1e9)
        frame = raw if isinstance(raw, Reject) else developer.develop(raw, index, START_NS + after_ns, after_ns)  # fmt: skip
        if not isinstance(frame, Reject):
            calm = not any(t.open for t in watch.tracks)
            watch, events = step(watch, eye.look(frame, learn=calm), settings)
            yield from (e.index for e in events if e.kind is EventKind.ALARM)


def groups_of(data: Path, wanted: set[str]) -> dict[str, tuple[list[Path], list[Path]]]:
    """Quiet and burning pictures by group."""
    out: dict[str, tuple[list[Path], list[Path]]] = {}
    for name in ("train.json", "val.json"):
        file = json.loads((data / name).read_text("utf-8"))
        burning = {a["image_id"] for a in file["annotations"] if not a.get("iscrowd")}
        for image in sorted(file["images"], key=lambda i: i["file_name"]):
            if image["group"] in wanted:
                pair = out.setdefault(image["group"], ([], []))
                pair[image["id"] in burning].append(data / "images" / image["file_name"])
    return out


def main() -> None:
    """One JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--model", default="smoke-fire")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--groups", default="")
    parser.add_argument("--skies", type=int, default=0)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--judge", type=Path)
    told = parser.parse_args()
    detector = load_detector(told.model)
    settings = options(told.judge, k=None, n=None, budget=None).settings(told.every)
    rows: list[dict[str, Any]] = []
    wanted = {g for g in told.groups.split(",") if g}
    for name, (quiet, burning) in (groups_of(told.data, wanted) if wanted else {}).items():
        raws = (decode(p.read_bytes()) for p in quiet + burning)
        raised = list(alarms(detector, settings, raws, told.every))
        after = [i - len(quiet) for i in raised if i >= len(quiet)]
        rows.append({"sequence": name, "quiet_frames": len(quiet), "burning_frames": len(burning),
                     "false_alarms": len(raised) - len(after), "first_alarm": min(after, default=None)})  # fmt: skip
    for seed in range(told.skies):
        sky = Sky(seed)
        raws = (sky.frame(24 * i / DAY_FRAMES) for i in range(DAY_FRAMES))
        raised = list(alarms(detector, settings, raws, 60.0))
        rows.append({"sequence": f"sky-{seed}", "quiet_frames": DAY_FRAMES, "burning_frames": 0,
                     "false_alarms": len(raised), "first_alarm": None})  # fmt: skip
    print(json.dumps({"model": detector.name, "version": detector.version, **totals(rows, told.every), "sequences": rows}))  # fmt: skip


def totals(rows: list[dict[str, Any]], every_s: float) -> dict[str, Any]:
    """By camera-day, and by sequence as pyronear counts: one with fire is found when an alarm follows its onset."""
    days = sum(r["quiet_frames"] for r in rows) * every_s / 86_400
    fires = [r for r in rows if r["burning_frames"]]
    found = sum(r["first_alarm"] is not None for r in fires)
    quiet = [r for r in rows if r["quiet_frames"]]
    false = sum(r["false_alarms"] > 0 for r in quiet)
    events = sum(r["false_alarms"] for r in rows)
    precision = found / (found + false) if found + false else None
    recall = found / len(fires) if fires else None
    both = precision and recall
    return {
        "camera_days": round(days, 3),
        "false_alarms": events,
        "false_alarms_per_camera_day": round(events / days, 2) if days else None,
        "fires": len(fires),
        "found": found,
        "within_3_frames": sum(r["first_alarm"] is not None and r["first_alarm"] <= 3 for r in fires),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision and recall and both else None,
        "false_positive_rate": false / len(quiet) if quiet else None,
    }  # fmt: skip


if __name__ == "__main__":
    main()
