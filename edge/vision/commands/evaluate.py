"""`tocsin vision eval`: how well a model does on labelled pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from edge.vision.commands.options import DEFAULT_MODEL, Model, Numbers, Variant
from edge.vision.commands.progress import progress
from edge.vision.evaluate import coco as coco_file
from edge.vision.evaluate import shown
from edge.vision.evaluate.evaluate import evaluate as report_of
from edge.vision.evaluate.halves import for_calibration
from edge.vision.evaluate.looking import Seen, look
from edge.vision.evaluate.report import Subject
from edge.vision.nn.load import load_detector
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.errors import FolderError, UsageError


def evaluate(
    coco: Annotated[
        Path, typer.Option("--coco", help="COCO file; images[].group names the camera.")
    ],
    images: Annotated[Path, typer.Option("--images", help="Folder that its file names start from.")],
    model: Model = DEFAULT_MODEL,
    variant: Variant = Numbers.AUTO,
    share: Annotated[
        float | None,
        typer.Option("--share", help="Share of quiet frames that a threshold may let through; else the model's own."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", help="Also write a file with one JSON line for each frame: what it scored, and its boxes."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Cameras looked at at once; else one a core."),
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Measure a model on labelled pictures of cameras that it never saw: AUC, AP, calibrated recall and false frames, boxes."""
    if share is not None and not 0 < share < 1:
        raise UsageError(f"--share {share:g} is not between 0 and 1", hint="0.005 is 0.5 %")
    pictures = coco_file.read(coco)
    detector = load_detector(model, variant=variant.value)
    started = time.monotonic()
    with progress(f"{detector.name} {detector.version}", len(pictures)) as step:
        cores = threads or os.cpu_count() or 1
        seen = look(detector, pictures, images, threads=cores, step=step)
    settings = detector.settings
    small = settings.int8 if detector.variant == "int8" else None
    report = report_of(
        seen,
        subject=Subject(
            settings.name, settings.version, detector.variant,
            *((small.file, small.sha256) if small else (settings.file, settings.sha256)),
        ),
        classes=detector.classes,
        table=settings.calibration,
        box_threshold=settings.head.threshold,
        coco=coco,
        images=images,
        share=share,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
    if scores is not None:
        _write(scores, seen)
    output.emit(report, as_json=as_json, human=shown.text(report))


def _write(path: Path, seen: Iterable[Seen]) -> None:
    lines = [
        output.to_json(
            {
                "file": s.truth.file,
                "group": s.truth.group,
                "quiet": s.truth.quiet,
                "calibration": for_calibration(s.truth.file, s.truth.quiet),
                "labelled": sorted({b.label for b in s.truth.boxes}),
                "scores": s.found.scores if s.found else None,
                "boxes": s.found.boxes if s.found else [],
                "skipped": s.skipped,
            }
        )
        for s in seen
    ]
    try:
        path.write_text("\n".join(lines) + "\n", "utf-8")
    except OSError as exc:
        raise FolderError(
            f"{path} cannot be written: {exc.strerror or exc}", hint="another path for --scores"
        ) from exc
