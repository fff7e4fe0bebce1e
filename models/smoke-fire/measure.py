"""What a model does on cameras that training never saw: the measures of `tocsin vision eval`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from edge.vision.evaluate import coco, evaluate, looking
from edge.vision.evaluate.report import Subject
from edge.vision.nn.load import load_detector


def left_out(model: Path, folder: Path, files: set[str], *, ignore: bool = True) -> dict[str, Any]:
    """The report on these pictures of train.json and val.json; as `tocsin vision eval --json` prints it.

    Without `ignore`, quiet frames count whole, also where smoke may be that nobody labelled. That is a lower bound, and the control
    that is needed: a network which is hot wherever the ground meets the sky does well as long as those places are left out.
    """
    detector = load_detector(model, variant="fp32")
    settings = detector.settings
    known = [p for file in _labelled(folder) for p in coco.read(file)]
    pictures = sorted((p for p in known if p.file in files), key=lambda p: (p.group, p.file))
    if not ignore:
        pictures = [msgspec.structs.replace(p, ignored=()) for p in pictures]
    seen = looking.look(detector, pictures, folder / "images", threads=1, step=lambda: None)
    report = evaluate.evaluate(
        seen,
        subject=Subject(settings.name, settings.version, "fp32", settings.file, settings.sha256),
        classes=detector.classes,
        table=settings.calibration,
        box_threshold=settings.head.threshold,
        coco=folder,
        images=folder / "images",
    )
    return dict(msgspec.to_builtins(report))


def _labelled(folder: Path) -> list[Path]:
    """Without a file that has no pictures, as the val.json of an export has none."""
    files = [folder / name for name in ("train.json", "val.json")]
    return [f for f in files if json.loads(f.read_text("utf-8"))["images"]]


HEADING = (
    "| left out | class | frames | AUC | AP | calibrated recall | false frames |",
    "|---|---|---|---|---|---|---|",
)


def shown(report: dict[str, Any]) -> str:
    """Markdown: a line a calibrated camera and class, then each kind of place."""
    lines = [*HEADING, *(line for camera in report["cameras"] for line in camera_lines(camera))]
    for source, classes in report["sources"].items():
        for name, m in classes.items():
            values = (
                _with(m, key) for key in ("auc", "ap", "calibrated_recall", "false_frame_rate")
            )
            lines.append(f"| all {source} | {name} | {m['frames']} | {' | '.join(values)} |")
    return "\n".join(lines)


def camera_lines(camera: dict[str, Any]) -> list[str]:
    """A line a class that was there; intervals are Wilson's, of frames."""
    lines = []
    for name, m in camera["classes"].items():
        if camera["calibrated"] and m["positives"] and name != "any":
            found = _share(m["raised"], m["positives"])
            false = _share(m["false_frames"], camera["quiet_frames"])
            told = f"{_told(m['auc'])} | {_told(m['ap'])} | {found} | {false}"
            lines.append(f"| {camera['group']} | {name} | {camera['scored']} | {told} |")
    return lines


def _with(measure: dict[str, Any], key: str) -> str:
    ci = measure[f"{key}_ci"]
    return _told(measure[key]) + (f" ({ci[0]:.2f} to {ci[1]:.2f})" if ci else "")


def _share(hits: int, of: int) -> str:
    """With its 95 % Wilson interval."""
    if not of:
        return "-"
    z, p = 1.96, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{p:.2f} ({max(0.0, middle - half):.2f} to {min(1.0, middle + half):.2f})"


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
