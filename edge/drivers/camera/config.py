"""`[[drivers]]` of type `camera`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from edge.vision.judge.settings import Mask, Settings
from edge.vision.sources.options import SourceOptions
from edge.vision.watch.options import MOST_FRAMES, JudgeOptions
from tocsin.cli.data import data_dir
from tocsin.config import ConfigPath, KeyPath, Mistake, MistakesError, Section
from tocsin.config.types import from_config_dir, looks_at_files
from tocsin.errors import ConfigError, TocsinError
from tocsin.sdk import DriverConfig, Endpoint

_SHOWN = 20  # classes of a model in a message
HEAT = ("hot-spot",)  # what a radiometric camera is asked for


def _one_of(classes: tuple[str, ...]) -> str:
    more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    return f"a class of the model: {', '.join(classes[:_SHOWN])}{more}"


def _inside(polygon: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if len(polygon) < 3:
        raise ValueError("three corners or more")
    if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in polygon):
        raise ValueError("corners are shares of width and height, from 0 to 1")
    return polygon


Polygon = Annotated[tuple[tuple[float, float], ...], AfterValidator(_inside)]


class MaskConfig(Section):
    """A part of the picture where nothing counts: a chimney, a road, the sea."""

    points: Polygon = Field(
        description="Corners [x, y], shares of width and height from the top left."
    )
    labels: tuple[str, ...] = Field(
        default=(), description="Only these classes; none named: all of them."
    )


class PrivacyConfig(Section):
    """What no picture that leaves the gateway shows."""

    polygons: tuple[Polygon, ...] = Field(
        default=(), description="Parts of the picture that are always pixelated."
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="Classes of the model whose boxes are pixelated: faces, plates, people.",
    )


class PoseConfig(Section):
    """Where a camera stands and looks, one that turns (`ptz`) at pan 0 and tilt 0; with it a detection has a bearing, and two cameras agree."""

    lat: float = Field(ge=-90, le=90, description="Latitude, degrees (WGS 84).")
    lon: float = Field(ge=-180, le=180, description="Longitude, degrees (WGS 84).")
    height_m: float | None = Field(
        default=None,
        ge=-500,
        le=9000,
        description="The camera above sea level, as exactly as `elevation_deg`: two cameras that have it agree only where both see the foot of the smoke at one height.",
    )
    azimuth_deg: float = Field(
        ge=0, lt=360, description="Where the middle of the picture lies, clockwise from north."
    )
    elevation_deg: float = Field(default=0.0, ge=-90, le=90, description="Above the horizon.")
    hfov_deg: float = Field(
        default=60.0, gt=1, lt=170, description="Horizontal angle of view, at its widest."
    )
    roll_deg: float = Field(
        default=0.0, ge=-180, le=180, description="The horizon falls to the right when positive."
    )
    error_deg: float = Field(
        default=1.0, gt=0, le=45, description="Standard deviation of the direction."
    )


class PtzConfig(Section):
    """A camera that turns and zooms is asked where it looks; `pose` is then where it looks at pan 0 and tilt 0, at its widest."""

    protocol: Literal["isapi", "onvif"] = Field(
        description="`isapi` (Hikvision) or `onvif` (extra `onvif`)."
    )
    address: str | None = Field(
        default=None,
        description="`http://host:port` of the camera's web server; default the host of `source`. Asked with the camera's account.",
    )
    every_s: float = Field(default=1.0, ge=0.2, le=60, description="Asked so often, seconds.")
    speed_deg_per_s: float = Field(
        default=60.0,
        gt=0,
        le=1000,
        description="How fast it can turn: while it turns, each second since it told is so much more error.",
    )
    channel: int = Field(default=1, ge=1, le=256, description="Of `isapi`: the channel.")
    tilt: Literal["down", "up"] = Field(
        default="down",
        description="Of `isapi`: which way its elevation counts from the horizon; domes count down.",
    )
    profile: str | None = Field(
        default=None,
        description="Of `onvif`: token of the media profile; default the first that can be turned.",
    )
    pan_deg: tuple[float, float] = Field(
        default=(-180.0, 180.0),
        description="Of `onvif`: degrees at pan -1 and at pan 1, clockwise from above.",
    )
    tilt_deg: tuple[float, float] = Field(
        default=(-90.0, 90.0),
        description="Of `onvif`: degrees above the horizon at tilt -1 and at tilt 1.",
    )
    zoom_most: float | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Of `onvif`: how many times it zooms at most; 1: not at all.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        mistakes = []
        if self.address is not None:
            parts = urlsplit(self.address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                mistakes.append(Mistake(("address",), "an address like http://192.168.1.60"))
            elif "@" in parts.netloc:
                mistakes.append(Mistake(("address",), "no account in the address: the camera's `username` and `password` are used"))  # fmt: skip
        if self.protocol == "onvif" and self.zoom_most is None:
            mistakes.append(Mistake(("zoom_most",), "how many times it zooms, as its data sheet says; 1: not at all"))  # fmt: skip
        if mistakes:
            raise MistakesError(mistakes)
        return self


class HeatConfig(Section):
    """When a radiometric camera sees a hot spot; the defaults are for forests."""

    high_c: float = Field(default=150.0, description="Hot whatever is around, degrees C.")
    low_c: float = Field(default=60.0, description="Less is never a fire, degrees C.")
    contrast_k: float = Field(default=25.0, gt=0, description="Over the surroundings, K.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low_c >= self.high_c:
            raise MistakesError([Mistake(("low_c",), "below high_c")])
        return self


class CameraDevice(SourceOptions):
    """One camera."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the device.")
    model: str = Field(
        default="smoke-fire",
        description="Model by its name, or the folder of one of your own; not for a radiometric camera.",
    )
    labels: tuple[str, ...] = Field(
        default=(), description="Classes that are confirmed; none named: all that the model has."
    )
    per_week: float = Field(
        default=1.0,
        gt=0,
        le=10_000,
        description="False alarms that this camera may give a week for one class: its thresholds are learned from its own quiet frames for that.",
    )
    k: int | None = Field(
        default=None,
        ge=1,
        le=MOST_FRAMES,
        description="Confirmed when seen in so many frames (default 3; 2 where they are 20 s or more apart) ...",
    )
    n: int | None = Field(
        default=None,
        ge=1,
        le=MOST_FRAMES,
        description="... of the last so many (default 5; 4 where they are 20 s or more apart; at least k).",
    )
    second_sign: bool = Field(
        default=True,
        description="Being seen again is not enough: it must grow, rise, last, be strong, or be seen by another camera.",
    )
    masks: tuple[MaskConfig, ...] = Field(default=(), description="Where nothing counts.")
    privacy: PrivacyConfig = Field(default=PrivacyConfig(), description="What no picture shows.")
    pose: PoseConfig | None = Field(default=None, description="Where it stands and looks.")
    ptz: PtzConfig | None = Field(default=None, description="How a camera that turns is asked.")
    heat: HeatConfig = Field(default=HeatConfig(), description="Limits of a radiometric camera.")
    idle_fps: float = Field(
        default=0.5, gt=0, le=30, description="Looks a second while nothing happens."
    )
    open_fps: float = Field(
        default=5.0, gt=0, le=30, description="Looks a second while something is followed."
    )
    view_every_s: float = Field(
        default=60.0,
        ge=1,
        le=86_400,
        description="A small picture for the wall goes to the cloud so often, seconds.",
    )

    @field_validator("model")
    @classmethod
    def _is_there(cls, model: str, info: ValidationInfo) -> str:
        """A relative folder starts at the folder of the configuration file; a name is one of the shipped ones."""
        if "/" in model:
            return str(from_config_dir(Path(model), info))
        known = sorted(p.parent.name for p in data_dir("models").glob("*/model.toml"))
        if model not in known:
            allowed = f"a shipped model ({', '.join(known)}), or a folder: ./models/people"
            raise MistakesError([Mistake((), allowed, known)])
        return model

    @model_validator(mode="after")
    def _k_of_n(self) -> Self:
        if self.k is not None and self.n is not None and self.k > self.n:
            raise MistakesError([Mistake(("k",), "at most n")])
        return self

    @model_validator(mode="after")
    def _classes_of_the_model(self) -> Self:
        """A model that is not here, or is wrong, is told of the whole driver, or when it is loaded."""
        classes = self._classes_in_its_file()
        if classes is not None:
            wrong = list(self.unknown(classes))
            if wrong:
                raise MistakesError([Mistake(p, _one_of(classes), classes) for p, _ in wrong])
        return self

    def _classes_in_its_file(self) -> tuple[str, ...] | None:
        from edge.vision.nn.load import find
        from edge.vision.nn.settings import load_model_file

        if self.radiometric:
            return HEAT
        try:
            return load_model_file(find(self.model)).value.classes
        except (TocsinError, OSError):
            return None

    def unknown(self, classes: Collection[str]) -> Iterator[tuple[KeyPath, str]]:
        """Names that are no class of its model, and where they stand."""
        named: list[tuple[KeyPath, tuple[str, ...]]] = [
            (("labels",), self.labels),
            (("privacy", "labels"), self.privacy.labels),
        ]
        named += [(("masks", i, "labels"), m.labels) for i, m in enumerate(self.masks)]
        for path, labels in named:
            yield from (((*path, i), x) for i, x in enumerate(labels) if x not in classes)

    @property
    def apart_s(self) -> float:
        """Between two of its frames while something is followed, seconds, as far as is configured."""
        fps = max(self.open_fps, self.idle_fps)
        if self.fps is not None and self.scheme != "rtsp":
            fps = min(fps, self.fps)
        return 1 / fps

    def judging(self, masks: tuple[Mask, ...]) -> Settings:
        """As the rules take it, with these masks."""
        given = JudgeOptions(
            k=self.k,
            n=self.n,
            second_sign=self.second_sign,
            alarms_per_week=self.per_week,
            labels=self.labels,
        )
        return msgspec.structs.replace(given.settings(self.apart_s), masks=masks)

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.ptz is not None:
            if self.pose is None:
                raise MistakesError([Mistake(("pose",), "where it looks at pan 0 and tilt 0")])
            if not self.head:
                text = "the camera's web server, such as http://192.168.1.60"
                raise MistakesError([Mistake(("ptz", "address"), text)])
        return self

    @property
    def head(self) -> str:
        """The web server that a camera that turns is asked at; empty: none is known."""
        if self.ptz is None or self.ptz.address is not None:
            return "" if self.ptz is None else self.ptz.address or ""
        parts = urlsplit(self.source) if self.scheme else None
        if parts is None or not parts.hostname:
            return ""
        if self.scheme in ("http", "https", "onvif"):
            return f"{self.scheme.replace('onvif', 'http')}://{parts.netloc}"
        return f"http://[{parts.hostname}]" if ":" in parts.hostname else f"http://{parts.hostname}"

    @property
    def radiometric(self) -> bool:
        """Whether it tells temperatures."""
        return self.kelvin_per_count is not None


class CameraConfig(DriverConfig):
    """Cameras that this gateway looks at."""

    type: Literal["camera"] = Field(description="Driver: `camera`.")
    devices: tuple[CameraDevice, ...] = Field(min_length=1, description="The cameras.")
    workers: int | None = Field(
        default=None, ge=1, le=64, description="Threads that look; default one a core."
    )
    share_of_core: float = Field(
        default=0.8, gt=0, le=1, description="Of each core; the rest is left to the other work."
    )
    period_s: float = Field(
        default=10.0, ge=1, le=3600, description="A row of readings of each camera so often."
    )
    state_dir: ConfigPath | None = Field(
        default=None,
        description="Folder where what each camera learned is kept over a restart; default a folder of each camera in `data_dir` of the gateway.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        ids = [d.id for d in self.devices]
        twice = next((i for i, name in enumerate(ids) if name in ids[:i]), None)
        if twice is not None:
            raise MistakesError([Mistake(("devices", twice, "id"), "each camera stands once")])
        return self

    @model_validator(mode="after")
    def _models_are_right(self, info: ValidationInfo) -> Self:
        """Each model once, however many cameras look with it."""
        if not looks_at_files(info):
            return self
        first: dict[str, int] = {}
        for i, device in enumerate(self.devices):
            if not device.radiometric:
                first.setdefault(device.model, i)
        whys = {i: _wrong_with(model) for model, i in first.items()}
        mistakes = [Mistake(("devices", i, "model"), why) for i, why in whys.items() if why]
        if mistakes:
            raise MistakesError(mistakes)
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What each camera is reached by."""
        heads = (_port(d.head) for d in self.devices if d.head)
        return tuple(dict.fromkeys([*(_endpoint(d) for d in self.devices), *heads]))


def _wrong_with(model: str) -> str:
    """Why a model cannot be loaded, as far as its files tell; empty: they are right."""
    from edge.vision.nn.load import verify

    try:
        verify(model)
    except ConfigError as exc:
        return "; ".join(map(str, exc.problems))
    except TocsinError as exc:
        return f"{exc.message} ({exc.hint})" if exc.hint else exc.message
    except OSError as exc:
        return f"cannot be read: {exc.strerror or exc}"
    return ""


def _endpoint(device: CameraDevice) -> Endpoint:
    return _port(device.source) if device.scheme else Endpoint("file", device.source)


def _port(url: str) -> Endpoint:
    parts = urlsplit(url)
    port = parts.port or {"rtsp": 554, "https": 443}.get(parts.scheme, 80)
    return Endpoint("connect", f"{parts.hostname}:{port}")
