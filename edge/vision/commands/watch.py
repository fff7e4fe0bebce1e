"""`tocsin vision watch`: recorded frames as a live camera, through the whole judging chain."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from edge.vision.commands.draft import refuse_unwritable
from edge.vision.commands.options import DEFAULT_MODEL, Model, Numbers, Variant
from edge.vision.commands.progress import progress
from edge.vision.flame import Flames
from edge.vision.frame import Frame
from edge.vision.judge.settings import Mask
from edge.vision.judge.watch import Watch
from edge.vision.nn.load import load_detector
from edge.vision.observation import Observation
from edge.vision.pipeline.develop import Radiometry
from edge.vision.sources.folder import FolderSource
from edge.vision.sources.source import Reject
from edge.vision.sources.video import VideoSource
from edge.vision.thermal import HotSpots
from edge.vision.watch.eye import Eye
from edge.vision.watch.kept import Kept, read_kept, write_kept
from edge.vision.watch.options import JudgeOptions
from edge.vision.watch.playback import Eyes, Line, Playback, Summary
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.config import load
from tocsin.errors import LinkError, PictureError, UsageError
from tocsin.sdk import SystemClock

_KELVIN = "--kelvin: kelvin in one count, 0.01 for a Lepton, 0.04 for a Tau 2"
_START_NS = 1_767_247_200_000_000_000  # 2026-01-01 06:00 UTC: recorded frames have no time, and a run is as the one before


def watch(
    recorded: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of pictures in the order of their names, or a video.")
    ],
    model: Model = DEFAULT_MODEL,
    variant: Variant = Numbers.AUTO,
    every_s: Annotated[
        float | None, typer.Option("--every", min=0.01, max=86_400, help="Seconds between two frames; else 60, and a video's own rate.")
    ] = None,
    look_every_s: Annotated[
        float, typer.Option("--look-every", min=0, max=86_400, help="The model looks at a frame every so many seconds; only a flame's flicker is followed in between.")
    ] = 1.0,
    k: Annotated[int | None, typer.Option("--k", help="An alarm needs so many frames (3; 2 if they are 20 s or more apart) ...")] = None,
    n: Annotated[int | None, typer.Option("--n", help="... of the last so many (5; 4).")] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="False alarms a week that each class may give here.")
    ] = None,
    judge: Annotated[
        Path | None, typer.Option("--judge", help="TOML file (schema = 1) with masks, classes and all numbers of the judging.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="What the camera taught is read from this file, if it is there, and written back at the end.")
    ] = None,
    kelvin_per_count: Annotated[
        float | None, typer.Option("--kelvin", help="16-bit thermal pictures: kelvin in one count, such as 0.01 or 0.04; no model is needed.")
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Watch an ordered folder of frames (or a video) as if it were a live camera that is seen for the first time; one line an event, as it happens.

    Each line has the frame's number (from 0, in the order of names) and file. Frames that cannot be judged (half grey, repeated, dark, cut
    short) count for nothing; how many there were is told at the end, on stderr.
    """
    if state is not None:
        refuse_unwritable(state, "--state")
    asked = options(judge, k=k, n=n, budget=budget)
    eyes: Eyes
    if kelvin_per_count is not None:
        if not 0 < kelvin_per_count <= 10:
            raise UsageError(
                "--kelvin is between 0 and 10", hint="0.01 for a Lepton, 0.04 for a Tau 2"
            )
        eyes = _Heat()
    else:
        masks = tuple(Mask(m.points, m.labels) for m in asked.masks)
        eyes = Eye(
            load_detector(model, variant=variant.value),
            all_tiles=True,
            flames=Flames(),
            masks=lambda: masks,
        )
    kept = None if state is None else read_kept(state)
    known = None if kept is None else _next_run(kept.watch)
    if isinstance(eyes, Eye) and kept is not None:
        for other in eyes.goes_on(kept.heat):
            output.note(f"what is usual here was found by {other}: it is learned anew")
    if isinstance(eyes, _Heat) and kept is not None and kept.warmth is not None:
        eyes.spots.goes_on(kept.warmth)
    source = _opened(recorded)
    apart_s = every_s or (1 / source.fps if isinstance(source, VideoSource) else 60.0)
    chain = Playback(
        source,
        eyes,
        asked.settings(max(apart_s, look_every_s)),
        camera=recorded.resolve().stem,
        every_s=apart_s,
        look_every_s=look_every_s,
        start_ns=_START_NS if known is None else known.last_ns + int(apart_s * 1e9),
        radiometry=Radiometry(kelvin_per_count) if kelvin_per_count else None,
        watch=known,
    )
    try:
        with closing(source), progress(recorded.name, len(source) or None) as stepped:
            for line in chain.lines(stepped):
                output.emit(line, as_json=as_json, human=_told(line))
    except BaseException:
        unwritten = "" if state is None else f"; {state} is as it was"
        output.note(f"stopped after {_became(chain.summary)}{unwritten}")
        raise
    summary = chain.summary
    output.note(_became(summary))
    if Reject.SIXTEEN_BIT.value in summary.skipped:
        output.note(f"warning: 16-bit pictures are looked at with {_KELVIN}")
    if summary.judged == 0:
        raise PictureError(
            f"{recorded} has no frame that can be judged",
            hint=_KELVIN
            if Reject.SIXTEEN_BIT.value in summary.skipped
            else "pictures of a camera that see something",
        )
    if state is not None:
        write_kept(state, _learned(chain.watch, eyes))


def options(
    judge: Path | None, *, k: int | None, n: int | None, budget: float | None
) -> JudgeOptions:
    """The file, and what the command line says instead.

    Raises:
        ConfigError: the file is wrong.
        UsageError: the numbers do not go together.
    """
    table: dict[str, Any] = load(judge, JudgeOptions).value.model_dump() if judge else {}
    told = {"k": k, "n": n, "alarms_per_week": budget}
    table |= {name: value for name, value in told.items() if value is not None}
    if k is not None and n is None and (table.get("n") or k) < k:
        table["n"] = k
    try:
        return JudgeOptions.model_validate(table)
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in exc.errors()
        )
        raise UsageError(
            f"these numbers of the judging do not hold: {wrong}",
            hint="--k at most --n, up to 60; --budget above 0",
        ) from exc


def _learned(watched: Watch, eyes: Eyes) -> Kept:
    if isinstance(eyes, Eye):
        return Kept(watched, eyes.kept())
    return Kept(watched, warmth=eyes.spots.kept() if isinstance(eyes, _Heat) else None)


class _Heat:
    """Thermal pictures: no model, every frame is looked at."""

    def __init__(self) -> None:
        self.spots = HotSpots()

    def look(self, frame: Frame, *, learn: bool = True) -> Observation:
        return self.spots.look(frame, learn=learn)

    def glance(self, frame: Frame) -> None:
        pass


def _opened(recorded: Path) -> FolderSource | VideoSource:
    source = (
        VideoSource(recorded, SystemClock(), lambda _: False, paced=False)
        if recorded.is_file()
        else FolderSource(recorded)
    )
    try:
        source.open()
    except LinkError as exc:
        raise PictureError(
            exc.message, hint=exc.hint or "a folder of pictures, or a video"
        ) from exc
    return source


def _became(summary: Summary) -> str:
    skipped = "".join(f", {count} {reason}" for reason, count in summary.skipped.items())
    return f"{summary.frames} frames, {summary.judged} judged{skipped}; {summary.alarms} alarms"


def _told(line: Line) -> str:
    place = ""
    if line.box is not None:
        box = line.box
        place = f" at {box.x:.0f},{box.y:.0f} size {box.width:.0f} x {box.height:.0f}"
    return f"frame {line.frame} ({line.file}) {line.event}{place}: {line.en}"


def _next_run(known: Watch) -> Watch:
    """Frames are counted anew: what was followed is gone, what was learned stays."""
    return Watch(
        lessons=known.lessons,
        next_number=known.next_number,
        last_ns=known.last_ns,
        judged=known.judged,
        by_spectrum=known.by_spectrum,
        model=known.model,
    )
