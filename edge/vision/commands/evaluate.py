"""`tocsin vision eval`: how well a model does on labelled pictures."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge.vision.commands.draft import refuse_source, refuse_unwritable
from edge.vision.commands.options import DEFAULT_MODEL, Model, Numbers, Variant
from edge.vision.commands.progress import progress
from edge.vision.evaluate import coco as coco_file
from edge.vision.evaluate import shown
from edge.vision.evaluate.coco import Labelled
from edge.vision.evaluate.evaluate import evaluate as report_of
from edge.vision.evaluate.halves import for_calibration
from edge.vision.evaluate.looking import FOLDER, MISSING, Seen, look, missing
from edge.vision.evaluate.report import Report, Subject
from edge.vision.nn.load import load_detector
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.errors import FolderError, PictureError, UsageError

_BAD_LABEL = "bad-label"
_SCORES = "--scores"
_NAMED = 3
_HINTS = {
    "another-size": "width and height of each image are those of its file",
    MISSING: FOLDER,
    _BAD_LABEL: "boxes in px of the picture's own size",
}


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
        typer.Option(_SCORES, help="Also write a file with one JSON line for each frame: what it scored, and its boxes."),
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
    labelled = coco_file.read(coco)
    if scores is not None:
        refuse_source(scores, coco, _SCORES)
        refuse_unwritable(scores, _SCORES)
    detector = load_detector(model, variant=variant.value)
    pictures = coco_file.spelled(labelled, detector.classes)
    _tell_missing(missing(pictures, images), len(pictures), images)
    started = time.monotonic()
    with progress(f"{detector.name} {detector.version}", len(pictures)) as step:
        cores = threads or os.cpu_count() or 1
        seen = look(detector, [p for p in pictures if _told(p)], images, threads=cores, step=step)
    seen += [Seen(p, skipped=_BAD_LABEL) for p in pictures if not _told(p)]
    seen.sort(key=lambda s: (s.truth.group, s.truth.file))
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
    report = msgspec.structs.replace(report, bad_labels=tuple(b for p in pictures for b in p.bad))
    if scores is not None:
        _write(scores, seen)
    _measured(report, pictures, detector.classes)
    output.emit(report, as_json=as_json, human=shown.text(report))


def _tell_missing(files: Sequence[str], of: int, folder: Path) -> None:
    """Before the first look: a run may take hours."""
    if files:
        more = ", ..." if len(files) > _NAMED else ""
        named = output.printable(", ".join(files[:_NAMED]))
        output.note(
            f"warning: {len(files)} of {of} pictures are not in {folder} and are skipped: {named}{more}"
        )


def _told(picture: Labelled) -> bool:
    """Whether its labels say what is in it: a box outside the picture, or an empty one, does not, and then it is neither quiet nor a positive."""
    return bool(picture.boxes) or not picture.bad


def _measured(report: Report, pictures: Sequence[Labelled], classes: Sequence[str]) -> None:
    """Warns of labels that count for nothing.

    Raises:
        PictureError: not one frame was scored, or no label is of a class that the model has.
    """
    alone = sum(p.group == coco_file.NO_GROUP for p in pictures)
    if alone:
        output.note(
            f"warning: {alone} images have no group: they count as frames of one camera, {coco_file.NO_GROUP}"
        )
    unknown = output.printable(", ".join(report.unknown_classes))
    if unknown:
        output.note(f"warning: labelled, and unknown to the model: {unknown}")
    if report.bad_labels:
        first = report.bad_labels[0]
        output.note(
            f"warning: {len(report.bad_labels)} labels mark nothing (outside their picture, or empty); the first is annotation {first.annotation} of {output.printable(first.file)}"
        )
    if report.scored == 0:
        why = Counter(s.reason for s in report.skipped)
        told = "".join(f", {count} {reason}" for reason, count in sorted(why.items()))
        first_file = f"; the first is {report.skipped[0].file}" if report.skipped else ""
        raise PictureError(
            f"not one of {report.frames} frames could be scored: {report.calibration_frames} taught thresholds{told}{first_file}",
            hint=_HINTS.get(next(iter(why), ""), "more labelled pictures of the same cameras"),
        )
    labels = {b.label for p in pictures for b in p.boxes}
    if labels and not labels & set(classes):
        raise PictureError(
            f"nothing could be measured: no label is of a class of the model ({', '.join(classes)})",
            hint=f"categories named so in the place of {unknown}",
        )


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
            f"{path} cannot be written: {exc.strerror or exc}", hint=f"another path for {_SCORES}"
        ) from exc
