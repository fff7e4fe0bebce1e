"""Tells what was confirmed: thumbnail with the alarm, then the event, then larger pictures and a clip when there is time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from edge.drivers.camera.config import CameraDevice
from edge.vision import exhibits
from edge.vision.exhibits import Album, Moment, Privacy
from edge.vision.judge.watch import EventKind
from tocsin.contract.evidence import Detection, Exhibit, FixedMask, Media, Role, View
from tocsin.sdk import DriverContext

if TYPE_CHECKING:
    from edge.drivers.camera.scene import Change, Scene
    from edge.vision.frame import Frame
    from edge.vision.observation import Observation

AFTER_NS, VIEW_AGAIN_NS = 10_000_000_000, 5_000_000_000
MOST_WAITING = 32  # detections whose larger pictures are still to be made; beyond, they have the thumbnail alone

_LOST = (
    "What this camera had learned cannot be read: it learns anew.",
    "本机已学习的内容无法读取：重新学习。",
)


class _Job(msgspec.Struct, frozen=True):
    camera: str
    detection: str
    at: Moment
    before: Moment | None
    album: tuple[Moment, ...]
    after: Moment | None


class _Open(msgspec.Struct):
    """A detection that waits for the picture after it."""

    detection: str
    at: Moment
    before: Moment | None


class Reporter:
    """Of one run of a driver. An alarm waits for a small picture to be drawn, never for the disk or the line."""

    def __init__(
        self, context: DriverContext, devices: Mapping[str, CameraDevice], scene: Scene
    ) -> None:
        self._context, self._scene = context, scene
        self._devices = devices
        self._albums = {
            name: Album(Privacy(d.privacy.polygons, d.privacy.labels))
            for name, d in devices.items()
        }
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(MOST_WAITING)
        self._open: dict[str, list[_Open]] = {name: [] for name in devices}
        self._view_due_ns = dict.fromkeys(devices, 0)
        self._said_no_clip = False

    async def take(
        self, frame: Frame, seen: Sequence[Observation], changes: Sequence[Change]
    ) -> str:
        """One look and what came of it; the hash of the thumbnail of what was confirmed, or ""."""
        camera, now_ns = frame.camera, self._context.clock.now_ns()
        album = self._albums[camera]
        moment = await asyncio.to_thread(album.add, frame, seen)
        small = b""
        for change in changes:
            if change.event.kind is EventKind.GROWN:
                await self._grown(camera, change)
            elif change.told is None:
                await self._camera_event(change)
            elif change.event.kind is EventKind.ALARM:
                small = await asyncio.to_thread(
                    exhibits.thumbnail, moment.picture, change.event.box, *frame.size
                )
                await self._confirmed(camera, change, moment, small)
            else:
                self._context.log.info("camera %s: %s", camera, change.event.en)
                await self.told(camera, change.told)
        self._after(camera, moment)
        if now_ns >= self._view_due_ns[camera]:
            await self._view(camera, moment)
        return hashlib.sha256(small).hexdigest() if small else ""

    def want_view(self, camera: str) -> None:
        """With its next frame."""
        self._view_due_ns[camera] = 0

    async def told(self, camera: str, told: Detection) -> None:
        """An event of a detection, durable when it returns."""
        text = f"{told.label} {told.change}" + (f": {told.why[0]}" if told.why else "")
        await self._context.tell("vision.detection", camera, text, msgspec.to_builtins(told))

    async def run(self) -> None:
        """Make and keep the larger pictures, until cancelled."""
        while True:
            job = await self._jobs.get()
            try:
                await self._make(job)
            finally:
                self._jobs.task_done()

    async def settled(self) -> None:
        """What waits for a picture after it gets none any more; everything else is kept."""
        for camera, waiting in self._open.items():
            for one in waiting:
                self._put(camera, one, None)
            waiting.clear()
        await self._jobs.join()

    async def _confirmed(self, camera: str, change: Change, at: Moment, small: bytes) -> None:
        assert change.told is not None  # noqa: S101 - asked before
        self._context.log.warning("camera %s: %s", camera, change.event.en)
        told = change.told
        sha256 = hashlib.sha256(small).hexdigest()
        shown = Exhibit(sha256, "thumbnail", "image/jpeg", len(small), at.ts_ns)
        told = self._scene.with_evidence(camera, told.detection, [shown], told.t) or told
        told = msgspec.structs.replace(told, change="confirmed")
        kept = await self._context.evidence(small)
        await self.told(camera, told)
        if kept:
            self._context.send_evidence(kept)
        before = self._albums[camera].before(change.event.since_index or at.index)
        self._open[camera].append(_Open(told.detection, at, before))

    async def _grown(self, camera: str, change: Change) -> None:
        """Its picture of now goes to the wall. One whose detection nobody knows any more is told to nobody."""
        if change.told is not None:
            self._context.log.warning("camera %s: %s", camera, change.event.en)
            data = msgspec.to_builtins(change.told)
            await self._context.tell("vision.detection", camera, change.event.en, data)
            self.want_view(camera)

    def _after(self, camera: str, moment: Moment) -> None:
        for one in list(self._open[camera]):
            if moment.ts_ns - one.at.ts_ns >= AFTER_NS:
                self._open[camera].remove(one)
                self._put(camera, one, moment)

    def _put(self, camera: str, one: _Open, after: Moment | None) -> None:
        album = self._albums[camera].all()
        try:
            self._jobs.put_nowait(_Job(camera, one.detection, one.at, one.before, album, after))
        except asyncio.QueueFull:
            self._context.count("evidence-left-out", 1)

    async def _make(self, job: _Job) -> None:
        made: list[Exhibit] = []
        moments: list[tuple[Role, Moment | None]] = [
            ("before", job.before), ("at", job.at), ("after", job.after),
        ]  # fmt: skip
        for role, moment in moments:
            if moment is not None:
                data = await asyncio.to_thread(exhibits.jpeg, moment.picture)
                made += await self._kept(data, role, "image/jpeg", moment.ts_ns)
        data = await self._clip(job.album)
        if data:
            made += await self._kept(data, "clip", "video/webm", job.album[0].ts_ns)
        now_ns = self._context.clock.now_ns()
        told = self._scene.with_evidence(job.camera, job.detection, made, now_ns)
        if told is not None and made:
            await self.told(job.camera, told)

    async def _clip(self, album: tuple[Moment, ...]) -> bytes:
        """b"" where none can be made, said once until one can: pictures and judging go on without."""
        try:
            data = await asyncio.to_thread(exhibits.clip, album)
        except OSError as exc:
            self._context.count("clips-left-out", 1)
            if not self._said_no_clip:
                self._context.log.error("no clips can be made: %s", exc)
            self._said_no_clip = True
            return b""
        self._said_no_clip = False
        return data

    async def _kept(self, data: bytes, role: Role, media: Media, ts_ns: int) -> list[Exhibit]:
        sha256 = await self._context.evidence(data)
        if not sha256:
            self._context.count("evidence-not-kept", 1)
            return []
        return [Exhibit(sha256, role, media, len(data), ts_ns)]

    async def _view(self, camera: str, moment: Moment) -> None:
        """A small picture for the wall; soon again where nobody is there to see it yet."""
        every_ns = int(self._devices[camera].view_every_s * 1e9)
        now_ns = self._context.clock.now_ns()
        self._view_due_ns[camera] = now_ns + min(every_ns, VIEW_AGAIN_NS)
        data = await asyncio.to_thread(exhibits.thumbnail, moment.picture, None, 1, 1)
        sha256 = self._context.view(camera, data)
        if sha256:
            self._view_due_ns[camera] = now_ns + every_ns
            fixed = [FixedMask(list(m.points), list(m.labels)) for m in self._devices[camera].masks]
            shown = View(sha256, "view", "image/jpeg", len(data), moment.ts_ns, masks=fixed)
            await self._context.tell("vision.view", camera, "", msgspec.to_builtins(shown))
            self._context.send_evidence(sha256)

    async def began_anew(self, camera: str) -> None:
        """What it had learned is lost."""
        data: dict[str, object] = dict(zip(("en", "zh"), _LOST, strict=True))
        await self._context.tell("camera.anew", camera, _LOST[0], data)

    async def _camera_event(self, change: Change) -> None:
        kind = f"camera.{change.event.kind.value}"
        data: dict[str, object] = {"en": change.event.en, "zh": change.event.zh}
        await self._context.tell(kind, change.event.camera, change.event.en, data)
