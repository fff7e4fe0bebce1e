"""A report for people."""

from __future__ import annotations

from collections.abc import Iterator

from edge.vision.evaluate.report import Interval, Measure, Report
from tocsin.cli.output import printable, table


def text(report: Report) -> str:
    """The whole report; groups, labels and file names are somebody else's and may hold anything."""
    return "\n".join(printable(line) for line in _lines(report))


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return table(headings, [[printable(cell) for cell in row] for row in rows]).split("\n")


def _lines(report: Report) -> Iterator[str]:
    model = report.model
    yield f"{model.name} {model.version} ({model.variant}), {report.coco}"
    yield (
        f"{report.frames} frames: {report.scored} scored, {report.calibration_frames} taught thresholds"
        f" (at most {report.share:.2%} of quiet frames), {len(report.skipped)} skipped; {report.seconds:.0f} s"
    )
    yield ""
    headings = ["class", "frames", "with", "AUC", "AP", "recall", "by camera", "false frames"]
    rows = [_row(name, m) for name, m in (*report.classes.items(), ("any", report.any))]
    for source, of in report.sources.items():
        rows += [_row(f"{source} {name}", m) for name, m in of.items()]
    yield from _table(headings, rows)
    yield ""
    yield f"boxes scored {report.box_threshold:g} or more: recall / precision at IoU"
    box_rows = [
        [name, *(f"{_p(b.recall)} / {_p(b.precision)}" for b in m.boxes.values())]
        for name, m in report.classes.items()
    ]
    yield from _table(["class", *report.any.boxes], box_rows)
    yield ""
    yield from _table(
        ["camera", "scored", "skipped", "quiet", "threshold", "AUC", "recall", "false frames"],
        [
            [
                c.group,
                str(c.scored),
                str(c.skipped),
                str(c.quiet_frames),
                " ".join(
                    f"{n} {m.threshold:.2f}"
                    for n, m in c.classes.items()
                    if m.threshold is not None
                )
                + ("" if c.calibrated else " (not calibrated)"),
                _p(c.classes["any"].auc),
                f"{_p(c.classes['any'].recall)} ({c.classes['any'].raised} of {c.classes['any'].positives})",
                f"{_p(c.classes['any'].false_frame_rate)} ({c.classes['any'].false_frames})",
            ]
            for c in report.cameras
        ],
    )
    for skipped in report.skipped:
        yield f"skipped {skipped.file}: {skipped.reason}"
    for bad in report.bad_labels:
        where = ", ".join(f"{v:g}" for v in bad.bbox)
        yield f"label that marks nothing in {bad.file}: {bad.label} at {where} (annotation {bad.annotation})"
    if report.unknown_classes:
        yield f"labelled, and unknown to the model: {', '.join(report.unknown_classes)}"
    yield ""
    yield from report.rules


def _row(name: str, m: Measure) -> list[str]:
    return [
        name,
        str(m.frames),
        str(m.positives),
        _with(m.auc, m.auc_ci),
        _with(m.ap, m.ap_ci),
        _with(m.calibrated_recall, m.calibrated_recall_ci),
        _p(m.calibrated_recall_mean),
        f"{_with(m.false_frame_rate, m.false_frame_rate_ci, 4)} ({m.false_frames} of {m.quiet_frames})",
    ]


def _with(value: float | None, ci: Interval, digits: int = 3) -> str:
    if value is None:
        return "-"
    edges = f" [{ci[0]:.{digits}f}, {ci[1]:.{digits}f}]" if ci else ""
    return f"{value:.{digits}f}{edges}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
