"""What a Video4Linux2 device says of itself before OpenCV opens it, for OpenCV tells no reason. Structures as in linux/videodev2.h."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from tocsin.errors import DriverReason, LinkError

_QUERYCAP, _ENUM_FMT, _REQBUFS = 0x8068_5600, 0xC040_5602, 0xC014_5608
_CAPABILITY = struct.Struct("=16s32s32s3I12x")
_FORMAT = struct.Struct("=3I32sI16x")
_BUFFERS = struct.Struct("=5I")
_CAPTURE, _CAPTURE_MPLANE, _TYPE_OF_ITS_OWN = 0x1, 0x1000, 0x8000_0000
_BUFFER_CAPTURE, _BUFFER_CAPTURE_MPLANE, _MMAP = 1, 9, 1
_MOST_FORMATS = 256


def look_at(path: Path, wanted: str = "") -> None:
    """Is it there, ours to open, free, a camera, and does it give the format `wanted` (such as `Y16 `)?

    Raises:
        LinkError: with the reason.
    """
    try:
        kind = path.stat().st_mode
    except OSError as exc:
        text = f"{path}: {exc.strerror}"
        raise LinkError(DriverReason.NO_PORT, text, hint="is the camera plugged in?") from exc
    if not stat.S_ISCHR(kind):
        raise LinkError(DriverReason.NO_PORT, f"{path} is not a device")
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise _unopened(path, exc) from exc
    try:
        _question(device, path, wanted)
    finally:
        os.close(device)


def _unopened(path: Path, exc: OSError) -> LinkError:
    if exc.errno == errno.EACCES:
        hint = "the agent's account must be in the group `video`"
        return LinkError(DriverReason.PERMISSION, f"{path}: permission denied", hint=hint)
    if exc.errno == errno.EBUSY:
        return _busy(path)
    text = f"{path}: {exc.strerror}"
    return LinkError(DriverReason.NO_PORT, text, hint="is the camera plugged in?")


def _question(device: int, path: Path, wanted: str) -> None:
    try:
        told = _asked(device, _QUERYCAP, _CAPABILITY.pack(b"", b"", b"", 0, 0, 0))
    except OSError as exc:
        raise LinkError(DriverReason.REFUSED, f"{path} is no camera ({exc.strerror})") from exc
    _, _, _, _, all_can, own = _CAPABILITY.unpack(told)
    can = own if all_can & _TYPE_OF_ITS_OWN else all_can
    if not can & (_CAPTURE | _CAPTURE_MPLANE):
        hint = "a camera often has a second device for other data: another number is the one with pictures"
        raise LinkError(DriverReason.REFUSED, f"{path} gives no pictures", hint=hint)
    kind = _BUFFER_CAPTURE if can & _CAPTURE else _BUFFER_CAPTURE_MPLANE
    formats = _formats(device, kind)
    if wanted and wanted not in formats:
        text = f"{path} gives no {wanted.strip()}"
        if formats:
            text += f", but {', '.join(name.strip() for name in formats)}"
        raise LinkError(DriverReason.REFUSED, text, hint="without `kelvin_per_count` its pictures are taken as colour or grey")  # fmt: skip
    try:
        _asked(device, _REQBUFS, _BUFFERS.pack(0, kind, _MMAP, 0, 0))  # none: only asks
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            raise _busy(path) from exc


def _formats(device: int, kind: int) -> list[str]:
    found: list[str] = []
    for index in range(_MOST_FORMATS):
        try:
            told = _asked(device, _ENUM_FMT, _FORMAT.pack(index, kind, 0, b"", 0))
        except OSError:
            break
        code: int = _FORMAT.unpack(told)[4] & 0x7FFF_FFFF
        found.append(code.to_bytes(4, "little").decode("ascii", "replace"))
    return found


def _asked(device: int, question: int, given: bytes) -> bytes:
    return fcntl.ioctl(device, question, given)


def _busy(path: Path) -> LinkError:
    text = f"{path} is in use by another program"
    return LinkError(DriverReason.REFUSED, text, hint=f"fuser -v {path}")
