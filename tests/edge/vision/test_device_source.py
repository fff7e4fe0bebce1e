"""What a path that is no camera is refused with; cameras themselves are tried by scripts/v4l2-guest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.vision.sources.device import DeviceSource
from tocsin.errors import DriverReason, LinkError


def _refusal(path: Path) -> LinkError:
    with pytest.raises(LinkError) as caught:
        DeviceSource(path).open()
    return caught.value


def test_what_is_no_camera_is_said(tmp_path: Path) -> None:
    absent = _refusal(Path("/dev/video-that-is-not-there"))
    assert (absent.reason, absent.hint) == (DriverReason.NO_PORT, "is the camera plugged in?")
    (tmp_path / "video0").touch()
    assert "is not a device" in _refusal(tmp_path / "video0").message
    terminal, line = os.openpty()
    other = _refusal(Path(os.ttyname(line)))
    os.close(terminal)
    os.close(line)
    assert other.reason is DriverReason.REFUSED
    assert "is no camera" in other.message
