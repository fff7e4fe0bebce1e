"""What the cameras of one driver see together: observations in, confirmed detections and their ends out. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from edge.drivers.camera.config import CameraDevice, MaskConfig, PoseConfig
from edge.drivers.camera.learned import Known, Learned
from edge.vision.judge.bearings import Standing
from edge.vision.judge.boxes import grown
from edge.vision.judge.calibration import threshold
from edge.vision.judge.settings import Mask
from edge.vision.judge.site import Site, SiteSettings, step_site
from edge.vision.judge.watch import Event, EventKind, Watch, answered
from edge.vision.observation import Box, Observation
from edge.vision.pose import Pose, bearing_of
from edge.vision.watch.answer import Answer
from tocsin.contract.evidence import Detection, Exhibit, Growth
from tocsin.contract.ids import ulid
from tocsin.errors import UsageError


class Change(msgspec.Struct, frozen=True):
    """Something to tell: a detection that was confirmed, grew or ended, or a camera that moved (`told` None)."""

    event: Event
    told: Detection | None = None


Looks = Callable[[str, int, bool], Pose | None]
"""Where a camera that turns looked at a moment (Unix time), given whether its picture moved; None: it did not say."""

_SURE_DEG = 10.0  # who knows its direction no better agrees with nobody


def _nowhere(_camera: str, _ts_ns: int, _moved: bool) -> Pose | None:
    return None


class Scene:
    """One thread at a time. `learned` is what the last run knew of each camera."""

    def __init__(
        self,
        devices: Mapping[str, CameraDevice],
        learned: Mapping[str, Learned],
        looks: Looks = _nowhere,
    ) -> None:
        self._devices, self._looks = devices, looks
        self._turn = any(d.ptz is not None for d in devices.values())
        self._fixed = {name: _masks(device.masks) for name, device in devices.items()}
        self._drawn = {name: learned[name].masks for name in devices}
        self._known = {name: dict(learned[name].known) for name in devices}
        self._site = Site({name: learned[name].watch for name in devices})
        self._settings = self._settled()

    def see(self, seen: Observation) -> list[Change]:
        """One more observation of any camera."""
        if self._turn:
            now = self._standing(seen.ts_ns, seen)
            self._settings = msgspec.structs.replace(self._settings, standing=now)
        self._site, events = step_site(self._site, seen, self._settings)
        return [self._changed(event, seen) for event in events]

    def limit(self, camera: str, label: str, spectrum: str, ts_ns: int) -> float:
        """What a class must score at a camera now."""
        settings = self._settings.cameras[camera]
        limits = settings.limits_of(label)
        return threshold(self._watch(camera).calibration, label, spectrum, ts_ns, limits).score

    def is_open(self, camera: str) -> bool:
        """Whether something confirmed is in view."""
        return any(t.open for t in self._watch(camera).tracks)

    def confirmed(self, camera: str) -> int:
        """How many things that are."""
        return sum(t.open for t in self._watch(camera).tracks)

    def close(self, camera: str, ts_ns: int) -> list[Detection]:
        """Detections that a restart or a lost file left open, ended."""
        open_tracks = {t.number for t in self._watch(camera).tracks if t.open}
        left = []
        for name, known in self._known[camera].items():
            if known.told.change != "ended" and known.track not in open_tracks:
                left.append(self._note(camera, name, known, "ended", ts_ns))
        return left

    def judged(self, camera: str, detection: str, verdict: str) -> Answer:
        """A person said what it was; what the camera's eye is to learn from it.

        Raises:
            UsageError: this camera knows no such detection.
        """
        known = self._known[camera].get(detection)
        if known is None:
            raise UsageError(f"camera {camera} knows no detection {detection!r} (any more)")
        settings = self._settings.cameras[camera]
        fire = verdict == "confirmed"
        watch = answered(self._watch(camera), known.track, fire=fire, settings=settings)
        self._site = Site({**self._site.watches, camera: watch}, self._site.sizes)
        box = grown(Box(known.told.label, known.told.score, *known.told.box), settings.grow)
        shares = (box.x, box.y, box.width, box.height)
        return Answer(known.told.label, shares, known.since_ns, fire)

    def masks(self, camera: str) -> tuple[Mask, ...]:
        """Those that hold now: of the configuration, and drawn."""
        return (*self._fixed[camera], *(self._drawn[camera] or ()))

    def draw(self, camera: str, masks: tuple[Mask, ...]) -> None:
        """Besides those of the configuration from now on, until others are drawn."""
        self._drawn[camera] = masks
        self._settings = self._settled()

    def learned(self, camera: str) -> Learned:
        """What must survive a restart."""
        return Learned(self._watch(camera), self._known[camera], self._drawn[camera])

    def with_evidence(
        self, camera: str, detection: str, exhibits: list[Exhibit], ts_ns: int
    ) -> Detection | None:
        """More pictures of one; None when it is not known any more."""
        known = self._known[camera].get(detection)
        if known is None:
            return None
        ended = known.told.change == "ended"
        told = msgspec.structs.replace(
            known.told,
            change="ended" if ended else "updated",
            t=known.told.t if ended else max(ts_ns, known.told.t),
            evidence=[*known.told.evidence, *exhibits],
        )
        self._known[camera][detection] = msgspec.structs.replace(known, told=told)
        return told

    def _watch(self, camera: str) -> Watch:
        return self._site.watches.get(camera, Watch())

    def _changed(self, event: Event, seen: Observation) -> Change:
        camera = event.camera
        if event.kind is EventKind.ALARM and event.box is not None:
            told = self._detection(event, seen)
            self._known[camera][told.detection] = Known(event.track, told, event.ts_ns)
            while len(self._known[camera]) > _MOST_KNOWN:
                del self._known[camera][next(iter(self._known[camera]))]
            return Change(event, told)
        if event.kind in (EventKind.ENDED, EventKind.GROWN):
            for name, known in self._known[camera].items():
                if known.track != event.track or known.told.change == "ended":
                    continue
                if event.kind is EventKind.ENDED:
                    return Change(event, self._note(camera, name, known, "ended", event.ts_ns))
                if event.box is not None:
                    box = share_of(event.box, seen.width, seen.height)
                    grown = Growth(event.times, box, event.ts_ns)
                    known = msgspec.structs.replace(
                        known, told=msgspec.structs.replace(known.told, grown=grown)
                    )
                    return Change(event, self._note(camera, name, known, "updated", event.ts_ns))
        return Change(event)

    def _note(
        self, camera: str, name: str, known: Known, change: Literal["updated", "ended"], ts_ns: int
    ) -> Detection:
        # after what was told of it before, also when the clock was set back meanwhile
        told = msgspec.structs.replace(known.told, change=change, t=max(ts_ns, known.told.t))
        self._known[camera][name] = msgspec.structs.replace(known, told=told)
        return told

    def _detection(self, event: Event, seen: Observation) -> Detection:
        box, pose = event.box, self._pose(event.camera, seen.ts_ns, seen.moved)
        assert box is not None  # noqa: S101 - an alarm has one
        angles: dict[str, Any] = {}
        if pose is not None:
            found = bearing_of(box, seen.width, seen.height, pose)
            angles = {
                "bearing": round(found.azimuth_deg, 2),
                "bearing_error": round(found.azimuth_error_deg, 2),
                "elevation": round(found.elevation_deg, 2),
                "elevation_error": round(found.elevation_error_deg, 2),
            }
        return Detection(
            ulid(event.ts_ns),
            "confirmed",
            event.label,
            event.score,
            share_of(box, seen.width, seen.height),
            event.ts_ns,
            why=[event.en],
            why_zh=[event.zh],
            spectrum=seen.spectrum,
            model=seen.model,
            version=seen.version,
            frame=event.index,
            **angles,
        )

    def _settled(self) -> SiteSettings:
        cameras = {name: device.judging(self.masks(name)) for name, device in self._devices.items()}
        return SiteSettings(cameras, self._standing(0, None))

    def _standing(self, ts_ns: int, seen: Observation | None) -> dict[str, Standing]:
        """Of the cameras that know where they look at that moment."""
        found = {}
        for name, device in self._devices.items():
            moved = seen is not None and seen.moved and seen.camera == name
            pose = self._pose(name, ts_ns, moved)
            if device.pose is None or pose is None:
                continue
            if device.ptz is None or pose.error_deg <= _SURE_DEG:
                at = device.pose
                found[name] = Standing(at.lat, at.lon, pose, at.height_m)
        return found

    def _pose(self, camera: str, ts_ns: int, moved: bool) -> Pose | None:
        device = self._devices[camera]
        if device.ptz is not None:
            return self._looks(camera, ts_ns, moved)
        return None if device.pose is None else pose_of(device.pose)


_MOST_KNOWN = 64


def share_of(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """A box as shares of the picture: x, y, width, height."""
    return (
        round(box.x / width, 5), round(box.y / height, 5),
        round(box.width / width, 5), round(box.height / height, 5),
    )  # fmt: skip


def pose_of(given: PoseConfig) -> Pose:
    """As configured."""
    return Pose(
        given.azimuth_deg, given.elevation_deg, given.hfov_deg, given.roll_deg, given.error_deg
    )


def _masks(configured: tuple[MaskConfig, ...]) -> tuple[Mask, ...]:
    return tuple(Mask(m.points, m.labels) for m in configured)
