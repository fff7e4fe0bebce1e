"""What `tocsin vision eval --json` prints is what the page of the cameras says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edge.vision.evaluate import report
from edge.vision.evaluate.coco import BadLabel

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "vision.md").read_text("utf-8")
PARTS: list[type[msgspec.Struct]] = [
    report.Report, report.Subject, report.Measure, report.BoxMeasure, report.Camera,
    report.CameraMeasure, report.Skipped, BadLabel,
]  # fmt: skip


def keys(part: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(part)}


def told_keys() -> set[str]:
    (rows,) = re.findall(r"`--json` is one object.*?(\n\|.*?)\n\n", PAGE, re.DOTALL)
    return set(re.findall(r"`([a-z0-9_]+)`", rows))


@pytest.mark.parametrize("part", PARTS)
def test_every_key_of_the_report_is_on_the_page(part: type[msgspec.Struct]) -> None:
    assert {k for k in keys(part) if not k.endswith("_ci")} <= told_keys()


def test_the_page_tells_no_key_that_the_report_has_not() -> None:
    assert told_keys() - set[str]().union(*map(keys, PARTS)) <= {"start"}
