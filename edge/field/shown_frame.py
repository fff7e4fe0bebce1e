"""One frame as a line for people, and as an object with what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edge.frames import Frame, Missed
from tocsin.cli.output import printable
from tocsin.errors import CodecError
from tocsin.sdk.codec import Describe, FrameInput, codec_names, load_codec

_HEX_BYTES = 32
_SUMMARY = 150


class Reader:
    """Reads frames with the codec that is called like their driver, where there is one."""

    def __init__(self) -> None:
        self._known = codec_names()
        self._codecs: dict[str, Describe | None] = {}

    def read(self, frame: Frame) -> dict[str, Any]:
        """The frame with `frame` (what it says) or `error` (why it is refused); neither where no codec knows it."""
        out: dict[str, Any] = {name: getattr(frame, name) for name in frame.__struct_fields__}
        describe = self._codec(frame.type)
        if describe is None or frame.size != len(frame.hex) // 2:
            return out
        try:
            out["frame"] = describe(FrameInput(bytes.fromhex(frame.hex)))
        except CodecError as error:
            out["error"] = {"code": error.reason, "message": error.message, "offset": error.offset}
        return out

    def _codec(self, kind: str) -> Describe | None:
        if kind not in self._codecs:
            self._codecs[kind] = _loaded(kind) if kind in self._known else None
        return self._codecs[kind]

    def line(self, frame: Frame, *, age_s: float | None = None, with_device: bool = False) -> str:
        """Time, age, direction, size, hex, and what it says."""
        told = self.read(frame)
        at = datetime.fromtimestamp(frame.time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
        age = f"{_age(age_s):>6}  " if age_s is not None else ""
        device = f"{frame.device or '?'}  " if with_device else ""
        shown = bytes.fromhex(frame.hex)[:_HEX_BYTES].hex(" ")
        cut = " .." if frame.size > _HEX_BYTES else ""
        if "frame" in told:
            says = summary(told["frame"])
        else:
            says = printable(f"refused: {told['error']['message']}") if "error" in told else ""
        return (
            f"{at}  {age}{device}{frame.direction} {frame.size:>4}  {shown}{cut}  {says}".rstrip()
        )


def missed_line(missed: Missed) -> str:
    """For people."""
    return f"... {missed.missed} frames came faster than they could be shown"


def _loaded(kind: str) -> Describe | None:
    try:
        return load_codec(kind)
    except ImportError:  # its extra is not installed: hex alone must do
        return None


def _age(seconds: float) -> str:
    return f"-{seconds:.1f}s" if seconds < 100 else f"-{seconds:.0f}s"


def summary(facts: dict[str, Any]) -> str:
    """What a frame says, on one line."""
    text = printable(" ".join(_pairs(facts)))
    return text if len(text) <= _SUMMARY else text[: _SUMMARY - 2] + ".."


def _pairs(facts: dict[str, Any], prefix: str = "") -> list[str]:
    out: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            out += _pairs(value, f"{prefix}{name}.")
        elif value is True:
            out.append(prefix + name)
        elif value is not False and value not in (None, "", []):
            out.append(f"{prefix}{name}={_compact(value)}")
    return out


def _compact(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_compact, value)) + "]"
    if isinstance(value, dict):
        return "{" + " ".join(_pairs(value)) + "}"
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value)
