"""The whole judging chain over sequences: false alarm events per camera-day, and sequences found or not.

    python -m scripts.vision_sequences --model smoke-fire --data ../shared/data/fire-smoke --groups hpwren-05,hpwren-11 --skies 8

Each group's quiet frames come first, then its burning ones, both in the order of their names: on pictures of these sets that is not the
order in which they were taken. A group with a burning frame is one sequence with fire; the quiet frames before it are one without. With `--times`, a
JSON object of file names and the local times burnt into the pictures ("20190714.094823"), frames come in that order and at those minutes: a sequence
ends where an hour is missing, its fire begins at its first frame with a box, and what is told within ten frames before at that box is early, not false
(people label smoke later than it is seen); frames of a group without a time are left out. `--skies`
adds generated days without fire (tocsin/lab/forest/sky.py), a frame a minute from midnight to midnight. With `--days 7` each goes on for a week of
other weathers over the same hill, and a fire begins at noon of the day after; `--rejected` has an operator reject each alarm ten minutes later.
Their clouds are as tall as wide, which a column of smoke is too; `--wide 4` draws them as they are near the horizon, seen from the side.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from edge.vision.commands.watch import options
from edge.vision.judge.boxes import overlap
from edge.vision.judge.settings import Settings
from edge.vision.judge.watch import Event, EventKind, Watch, answered, step
from edge.vision.nn.detector import Detector
from edge.vision.nn.load import load_detector
from edge.vision.observation import Box
from edge.vision.pipeline.develop import Developer
from edge.vision.sources.picture_file import decode
from edge.vision.sources.source import Raw, Reject
from edge.vision.watch.eye import Eye
from tocsin.lab.forest.scene import Smoke, sun
from tocsin.lab.forest.sky import Picture, Sky

START_NS = 1_767_225_600_000_000_000
DAY_FRAMES = 1440
_BURNS_FOR = 30  # frames
_ANSWERED_NS = 600_000_000_000
_ANOTHER, _EARLY = timedelta(hours=1), 10  # frames


def week(
    seed: int, days: int, day_frames: int = DAY_FRAMES, *, wide: float = 1.0
) -> Iterator[Picture]:
    """(480, 640, 3) a minute: days without fire, then one up to noon, when smoke begins to rise, and half an hour of it."""
    smoke, noon = Smoke(seed), days * day_frames + day_frames // 2
    for index in range(noon + _BURNS_FOR):
        day, frame = divmod(index, day_frames)
        if frame == 0:
            sky = Sky(seed, wide=wide, weather=day)
        hour = 24 * frame / day_frames
        picture = np.asarray(cv2.resize(sky.frame(hour), (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)  # fmt: skip
        age_s = 60.0 * (index - noon)
        yield smoke.over(picture, age_s + 5, sun(hour)) if age_s >= 0 else picture


def alarms(detector: Detector, settings: Settings, frames: Iterable[Raw | Reject], every_s: float, *, rejected: bool = False) -> Iterator[int]:  # fmt: skip
    """Indexes of the frames at which alarms were raised. `rejected`: ten minutes after each somebody says that nothing burned."""
    timed = ((index * every_s, raw) for index, raw in enumerate(frames))
    return (e.index for e in raised(detector, settings, timed, rejected=rejected))


def raised(detector: Detector, settings: Settings, frames: Iterable[tuple[float, Raw | Reject]], *, rejected: bool = False) -> Iterator[Event]:  # fmt: skip
    """The alarms of frames that were taken so many seconds after the start."""
    developer, eye, watch = Developer("camera"), Eye(detector, all_tiles=True), Watch()
    asked: list[tuple[int, int]] = []
    for index, (after_s, raw) in enumerate(frames):
        after_ns = int(after_s * 1e9)
        frame = raw if isinstance(raw, Reject) else developer.develop(raw, index, START_NS + after_ns, after_ns)  # fmt: skip
        if not isinstance(frame, Reject):
            calm = not any(t.open for t in watch.tracks)
            watch, events = step(watch, eye.look(frame, learn=calm), settings)
            told = [e for e in events if e.kind is EventKind.ALARM]
            yield from told
            asked += [(e.ts_ns, e.track) for e in told if rejected]
            while asked and frame.ts_ns - asked[0][0] >= _ANSWERED_NS:
                watch = answered(watch, asked.pop(0)[1], fire=False, settings=settings)


def sky_week(
    detector: Detector,
    settings: Settings,
    seed: int,
    days: int,
    *,
    rejected: bool,
    wide: float,
) -> dict[str, Any]:
    """False alarms by day, and after how many frames the fire of the day after was told."""
    quiet = days * DAY_FRAMES + DAY_FRAMES // 2
    frames = week(seed, days, wide=wide)
    told = list(alarms(detector, settings, frames, 60.0, rejected=rejected))
    false = [i for i in told if i < quiet]
    by_day = [sum(i // DAY_FRAMES == day for i in false) for day in range(days + 1)]
    after = min((i - quiet for i in told if i >= quiet), default=None)
    return {"sequence": f"sky-{seed}", "quiet_frames": quiet, "burning_frames": _BURNS_FOR,
            "false_alarms": len(false), "false_alarms_by_day": by_day, "first_alarm": after}  # fmt: skip


def groups_of(data: Path, wanted: set[str]) -> dict[str, tuple[list[Path], list[Path]]]:
    """Quiet and burning pictures by group."""
    out: dict[str, tuple[list[Path], list[Path]]] = {}
    for group, path, boxes in _pictures(data, wanted):
        out.setdefault(group, ([], []))[bool(boxes)].append(path)
    return out


def _pictures(data: Path, wanted: set[str]) -> Iterator[tuple[str, Path, list[Box]]]:
    """Group, file and labelled boxes, each file of labels by the names in it."""
    for name in ("train.json", "val.json"):
        file = json.loads((data / name).read_text("utf-8"))
        boxes: dict[int, list[Box]] = {}
        for note in file["annotations"]:
            if not note.get("iscrowd"):
                boxes.setdefault(note["image_id"], []).append(Box("", 1.0, *note["bbox"]))
        for image in sorted(file["images"], key=lambda i: str(i["file_name"])):
            if image["group"] in wanted:
                path = data / "images" / image["file_name"]
                yield image["group"], path, boxes.get(image["id"], [])


class Taken(NamedTuple):
    """A picture of a sequence."""

    at: datetime
    path: Path
    boxes: list[Box]


def by_time(data: Path, wanted: set[str], times: dict[str, str]) -> dict[str, list[Taken]]:
    """Each group's pictures that have a time, in the order they were taken, in one sequence until an hour is missing."""
    out: dict[str, list[Taken]] = {}
    frames = [
        (group, Taken(_moment(path.name, times[path.name]), path, boxes))
        for group, path, boxes in _pictures(data, wanted)
        if path.name in times
    ]
    name, last = "", datetime.min  # noqa: DTZ901 - of none
    for group, taken in sorted(frames, key=lambda f: (f[0], f[1].at)):
        if not name.startswith(f"{group} ") or taken.at - last > _ANOTHER:
            name = f"{group} {taken.at:%Y-%m-%d %H:%M}"
        out.setdefault(name, []).append(taken)
        last = taken.at
    return out


def _moment(name: str, text: str) -> datetime:
    """strptime alone takes 20190714.0948 for eight seconds past 09:04."""
    if re.fullmatch(r"\d{8}\.\d{6}", text):
        with suppress(ValueError):
            return datetime.strptime(text, "%Y%m%d.%H%M%S")  # noqa: DTZ007 - of one camera
    sys.exit(f"{name}: {text!r} is no time such as 20190714.094823")


def timed(detector: Detector, settings: Settings, name: str, frames: list[Taken]) -> dict[str, Any]:
    """One sequence in the order of its times."""
    read = (((f.at - frames[0].at).total_seconds(), decode(f.path.read_bytes())) for f in frames)
    onset = next((i for i, f in enumerate(frames) if f.boxes), len(frames))
    told = list(raised(detector, settings, read))
    fire = [e.index - onset for e in told if e.index >= onset or _early(e, frames, onset)]
    return {"sequence": name, "quiet_frames": onset, "burning_frames": len(frames) - onset,
            "false_alarms": len(told) - len(fire), "first_alarm": min(fire, default=None)}  # fmt: skip


def _early(event: Event, frames: list[Taken], onset: int) -> bool:
    """Told shortly before anybody labelled it, at the same place."""
    labelled = frames[onset].boxes if onset < len(frames) else []
    box = event.box
    near = box is not None and any(overlap(box, b) > 0 for b in labelled)
    return near and onset - event.index <= _EARLY


def main() -> None:
    """One JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--model", default="smoke-fire")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--groups", default="")
    parser.add_argument("--times", type=Path, help="when each picture was taken")
    parser.add_argument("--skies", type=int, default=0)
    parser.add_argument("--first-sky", type=int, default=0, help="seed of the first of them")
    parser.add_argument(
        "--days", type=int, default=1, help="of each sky; from 2 on a fire follows them"
    )
    parser.add_argument(
        "--wide",
        type=float,
        default=1.0,
        help="how much wider than tall clouds are; 4 as near the horizon",
    )
    parser.add_argument(
        "--rejected", action="store_true", help="every alarm of a sky is rejected ten minutes later"
    )
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--judge", type=Path)
    told = parser.parse_args()
    detector = load_detector(told.model)
    settings = options(told.judge, k=None, n=None, budget=None).settings(told.every)
    rows: list[dict[str, Any]] = []
    wanted = {g for g in told.groups.split(",") if g}
    if told.times is not None:
        sequences = by_time(told.data, wanted, json.loads(told.times.read_text("utf-8")))
        rows += [timed(detector, settings, name, frames) for name, frames in sequences.items()]
        wanted = set()
    for name, (quiet, burning) in (groups_of(told.data, wanted) if wanted else {}).items():
        raws = (decode(p.read_bytes()) for p in quiet + burning)
        at = list(alarms(detector, settings, raws, told.every))
        after = [i - len(quiet) for i in at if i >= len(quiet)]
        rows.append({"sequence": name, "quiet_frames": len(quiet), "burning_frames": len(burning),
                     "false_alarms": len(at) - len(after), "first_alarm": min(after, default=None)})  # fmt: skip
    for seed in range(told.first_sky, told.first_sky + told.skies):
        if told.days > 1:
            rows.append(
                sky_week(
                    detector, settings, seed, told.days, rejected=told.rejected, wide=told.wide
                )
            )
            continue
        sky = Sky(seed, wide=told.wide)
        raws = (sky.frame(24 * i / DAY_FRAMES) for i in range(DAY_FRAMES))
        false = list(alarms(detector, settings, raws, 60.0, rejected=told.rejected))
        rows.append({"sequence": f"sky-{seed}", "quiet_frames": DAY_FRAMES, "burning_frames": 0,
                     "false_alarms": len(false), "first_alarm": None})  # fmt: skip
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
