"""Several cameras that look at one site: what one sees counts for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edge.vision.judge.bearings import Standing, apart, crossing, sun
from edge.vision.judge.boxes import grown, overlap
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import Track
from edge.vision.judge.verdict import GLINT_DEG, Sign
from edge.vision.judge.watch import Event, Watch, step
from edge.vision.observation import Box, Observation
from edge.vision.pose import bearing_of

_BURNS = frozenset({"smoke", "fire", "hot-spot"})
_SUN_UP_DEG, _SUN_HIGH_DEG = 0.0, 60.0


class Overlay(msgspec.Struct, frozen=True):
    """Where the pixels of another camera lie in this one's picture: a homography, by rows."""

    camera: str
    other: str
    matrix: tuple[float, float, float, float, float, float, float, float, float]


class SiteSettings(msgspec.Struct, frozen=True):
    """What the cameras of a site know of one another."""

    cameras: dict[str, Settings] = {}
    standing: dict[str, Standing] = {}
    overlays: tuple[Overlay, ...] = ()
    within_s: float = 120.0  # two sightings belong together
    others: Settings = Settings()  # of a camera that is not named


class Site(msgspec.Struct, frozen=True):
    """What is remembered of all cameras. Plain data."""

    watches: dict[str, Watch] = {}
    sizes: dict[str, tuple[int, int]] = {}


def step_site(
    site: Site, seen: Observation, settings: SiteSettings
) -> tuple[Site, tuple[Event, ...]]:
    """After one more observation of any camera."""
    own = settings.cameras.get(seen.camera, settings.others)
    watch = site.watches.get(seen.camera, Watch())
    signs = {t.number: tuple(_signs(site, seen, t, settings)) for t in watch.tracks}
    watch, events = step(watch, seen, own, signs)
    sizes = {**site.sizes, seen.camera: (seen.width, seen.height)}
    return Site({**site.watches, seen.camera: watch}, sizes), events


def _signs(site: Site, seen: Observation, track: Track, settings: SiteSettings) -> Iterator[Sign]:
    here = settings.standing.get(seen.camera)
    if here is not None and track.label == "hot-spot":
        azimuth, elevation = sun(here.lat, here.lon, seen.ts_ns)
        if _SUN_UP_DEG < elevation < _SUN_HIGH_DEG:
            bearing = bearing_of(track.box, seen.width, seen.height, here.pose)
            off_deg = apart(bearing.azimuth_deg, azimuth)
            if off_deg < GLINT_DEG:
                yield Sign("sun", seen.camera, off_deg)
    if track.label not in _BURNS:
        return
    for name, other in site.watches.items():
        if name == seen.camera:
            continue
        for theirs in other.tracks:
            if theirs.label in _BURNS and _fresh(theirs, other, seen, settings):
                sign = _agree(site, seen, track, name, theirs, settings)
                if sign is not None:
                    yield sign
                    break


def _fresh(track: Track, watch: Watch, seen: Observation, settings: SiteSettings) -> bool:
    """Seen lately, as strongly as an alarm goes on at."""
    last = track.sightings[-1] if track.sightings else None
    if last is None or last.box is None or track.lost:
        return False
    if abs(seen.ts_ns - last.ts_ns) > settings.within_s * 1e9:
        return False
    spoken = [
        t.score for key, (_, t) in watch.thresholds.items() if key.startswith(f"{track.label}/")
    ]
    return track.open or last.score >= 0.8 * max(spoken, default=1.0)


def _agree(
    site: Site,
    seen: Observation,
    track: Track,
    other: str,
    theirs: Track,
    settings: SiteSettings,
) -> Sign | None:
    kind = "thermal" if theirs.label == "hot-spot" else "visible"
    for overlay in settings.overlays:
        if (overlay.camera, overlay.other) == (seen.camera, other):
            mapped = _through(overlay, theirs.box)
            near = overlap(grown(mapped, 0.5), grown(track.box, 0.5)) > 0
            return Sign(kind, other, theirs.sightings[-1].score) if near else None
    here, there = settings.standing.get(seen.camera), settings.standing.get(other)
    size = site.sizes.get(other)
    if here is None or there is None or size is None:
        return None
    place = crossing(
        here,
        bearing_of(track.box, seen.width, seen.height, here.pose),
        there,
        bearing_of(theirs.box, *size, there.pose),
    )
    return None if place is None else Sign("bearing", other, place.km)


def _through(overlay: Overlay, box: Box) -> Box:
    a, b, c, d, e, f, g, h, i = overlay.matrix
    corners = []
    for x in (box.x, box.x + box.width):
        for y in (box.y, box.y + box.height):
            w = g * x + h * y + i or 1e-9
            corners.append(((a * x + b * y + c) / w, (d * x + e * y + f) / w))
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Box(box.label, box.score, min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
