"""How a JPEG can be written wrong although its picture is whole, and what is said about it."""

from __future__ import annotations

from enum import StrEnum


class Damage(StrEnum):
    """What is wrong with it. Stable; shown to people."""

    RESTARTS = "restarts"  # numbered wrong, or without DRI
    MARKER = "marker"  # in its header a marker, or bytes beside all markers, where none may stand


HABITS: dict[Damage, tuple[str, str]] = {
    Damage.RESTARTS: (
        "the restart markers (RST) of its JPEGs are numbered wrong, or stand where none may",
        "其 JPEG 的重启标记（RST）编号错误或位置不当",
    ),
    Damage.MARKER: (
        "in the header of its JPEGs stands a marker, or bytes that belong to none, where none may",
        "其 JPEG 文件头中有不应出现的标记或多余字节",
    ),
}
"""In English and Chinese."""

FIX = (
    "update the camera's firmware, or read it by RTSP",
    "请升级摄像机固件，或改用 RTSP 读取",
)
CUT_SHORT = "truncated: they are cut short; or they lack their end marker (EOI), and nothing tells whole ones from those cut short"
