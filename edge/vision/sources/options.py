"""Where a camera's frames come from, as configured, and the source that brings them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.vision.sources.source import Source, Wait
from tocsin.config import Mistake, MistakesError, Secret, Section
from tocsin.config.types import from_config_dir
from tocsin.sdk import Clock

STREAMS = ("rtsp", "http", "https", "onvif")


class SourceOptions(Section):
    """One camera's source. The part of the library that it needs is loaded when it is opened."""

    source: str = Field(
        min_length=1,
        description="`rtsp://host/path`, `http://host/path` (a JPEG or an MJPEG stream), `onvif://host` (its snapshots), `/dev/video0`, "
        "a video file, or a folder of pictures.",
    )
    username: str | None = Field(default=None, description="Account of the camera.")
    password: Secret | None = Field(default=None, description="Its password.")
    fps: float | None = Field(
        default=None, gt=0, le=120,
        description="Pictures a second: how often a snapshot is fetched or a file's picture comes (default 1; a video's own rate); wished of a device.",
    )  # fmt: skip
    repeat: bool = Field(default=False, description="A file or folder begins again at its end.")
    as_fast_as_looked_at: bool = Field(
        default=False, description="A file or folder is not paced; no picture is passed over."
    )
    kelvin_per_count: float | None = Field(
        default=None, gt=0, le=10,
        description="A radiometric camera with 16 bits, linear in temperature: kelvin in one count, such as 0.01 or 0.04.",
    )  # fmt: skip
    width: int | None = Field(default=None, ge=32, le=16_384, description="Wished of a device, px.")
    height: int | None = Field(
        default=None, ge=32, le=16_384, description="Wished of a device, px."
    )

    @field_validator("source")
    @classmethod
    def _from_the_file(cls, source: str, info: ValidationInfo) -> str:
        """A relative path starts at the folder of the configuration file."""
        return source if "://" in source else str(from_config_dir(Path(source), info))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        mistakes = []
        scheme = self.scheme
        if scheme and scheme not in STREAMS:
            allowed = ", ".join(f"{s}://" for s in STREAMS)
            mistakes.append(Mistake(("source",), f"one of {allowed}, or a path"))
        parts = urlsplit(self.source) if scheme else None
        if parts is not None and "@" in parts.netloc:
            mistakes.append(Mistake(("source",), "no account in the address: use `username` and `password`, which never show"))  # fmt: skip
        elif parts is not None and not parts.hostname:
            mistakes.append(Mistake(("source",), "an address with a host"))
        if (self.username is None) != (self.password is None):
            mistakes.append(Mistake(("username",), "`username` and `password` go together"))
        if (self.width is None) != (self.height is None):
            mistakes.append(Mistake(("width",), "`width` and `height` go together"))
        if mistakes:
            raise MistakesError(mistakes)
        return self

    @property
    def scheme(self) -> str:
        """Of an address; empty for a path."""
        return self.source.partition("://")[0] if "://" in self.source else ""


def opener(options: SourceOptions, clock: Clock) -> Callable[[Wait], Source]:
    """Makes the source anew each time."""

    def make(wait: Wait) -> Source:
        return _stream(options, clock, wait) if options.scheme else _local(options, clock, wait, Path(options.source))  # fmt: skip

    return make


def _stream(options: SourceOptions, clock: Clock, wait: Wait) -> Source:
    from edge.vision.sources.address import Address

    password = options.password.reveal() if options.password else ""
    address = Address(options.source, options.username or "", password)
    fps = options.fps or 1.0
    match options.scheme:
        case "rtsp":
            from edge.vision.sources.rtsp import RtspSource

            return RtspSource(address)
        case "onvif":
            from edge.vision.sources.onvif import OnvifSource

            return OnvifSource(address, clock, wait, fps=fps)
        case _:
            from edge.vision.sources.http import HttpSource

            return HttpSource(address, clock, wait, fps=fps)


def _local(options: SourceOptions, clock: Clock, wait: Wait, path: Path) -> Source:
    from edge.vision.sources.pacing import Pacing

    if path.is_dir():
        from edge.vision.sources.folder import FolderSource

        paced = None if options.as_fast_as_looked_at else Pacing(options.fps or 1.0, clock, wait)
        return FolderSource(path, pacing=paced, repeat=options.repeat)
    if path.is_relative_to("/dev"):
        from edge.vision.sources.device import DeviceSource

        size = (options.width, options.height) if options.width and options.height else None
        return DeviceSource(path, counts=options.kelvin_per_count is not None, size=size, fps=options.fps)  # fmt: skip
    from edge.vision.sources.video import VideoSource

    paced_video = not options.as_fast_as_looked_at
    return VideoSource(path, clock, wait, paced=paced_video, fps=options.fps, repeat=options.repeat)
