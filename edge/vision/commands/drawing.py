"""Boxes on pictures, and the files that they go to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.vision.commands.draft import Draft
from edge.vision.frame import Picture
from edge.vision.observation import Box
from edge.vision.opencv import cv2
from edge.vision.whole import frames_in
from tocsin.errors import FolderError

DRAW = "--draw"
_COLOURS = {"smoke": (255, 200, 60), "fire": (40, 90, 255)}  # BGR
_OTHERS = ((80, 220, 80), (220, 80, 220), (80, 220, 220), (200, 200, 200))
_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v"}


def draw(picture: Picture, boxes: Sequence[Box]) -> Picture:
    """A copy with boxes, classes and scores."""
    shown = picture.copy()
    height, width = shown.shape[:2]
    line = max(1, round(min(width, height) / 300))
    size = max(0.35, min(width, height) / 900)
    for box in reversed(boxes):  # the best on top
        colour = _COLOURS.get(box.label) or _OTHERS[sum(box.label.encode()) % len(_OTHERS)]
        x1, y1 = round(box.x), round(box.y)
        x2, y2 = round(box.x + box.width), round(box.y + box.height)
        cv2.rectangle(shown, (x1, y1), (x2, y2), colour, line)
        text = f"{box.label} {box.score:.2f}"
        (w, h), under = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)
        x, y = min(max(0, x1), max(0, width - w)), max(h + under, y1)
        cv2.rectangle(shown, (x, y - h - under), (x + w, y), colour, cv2.FILLED)
        cv2.putText(shown, text, (x, y - under // 2), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), line, cv2.LINE_AA)  # fmt: skip
    return shown


def save(path: Path, picture: Picture) -> None:
    """Write a picture.

    Raises:
        FolderError: the folder is not there, cannot be written, or the name's ending is no kind of picture.
    """
    try:
        done, data = cv2.imencode(path.suffix or ".none", picture)
    except cv2.error:
        done = False
    if not done:
        raise FolderError(
            f"{path}: no kind of picture ends like this", hint="a name ending in .jpg or .png"
        )
    draft = Draft(path, DRAW)
    draft.fill(data.tobytes())
    draft.keep()


class Writer:
    """A video file; frames of another size than the first are brought to it. It takes its name once it is whole."""

    def __init__(self, path: Path, fps: float, first: Picture) -> None:
        """Raises:
        FolderError: it cannot be written, or the name's ending is no kind of video.
        """
        codec = _CODECS.get(path.suffix.lower())
        if codec is None:
            raise FolderError(
                f"{path}: no kind of video ends like this", hint=f"one of {', '.join(_CODECS)}"
            )
        self._size, self._frames = (first.shape[1], first.shape[0]), 0
        self._draft = Draft(path, DRAW)
        code = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(self._draft.path), code, fps, self._size)
        if not self._writer.isOpened():
            self._draft.drop()
            raise FolderError(f"{path} cannot be written", hint=f"another path for {DRAW}")

    def add(self, picture: Picture) -> None:
        """The next frame."""
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), np.uint8)
        self._writer.write(picture)
        self._frames += 1

    def keep(self) -> None:
        """Every frame was given to it.

        Raises:
            FolderError: not all of them are in it, or its place cannot be taken.
        """
        self._writer.release()
        made = frames_in(self._draft.path)
        if made < self._frames:
            self._draft.drop()
            raise FolderError(
                f"{self._draft.out} cannot be written: the disk took {made} of {self._frames} frames, it may be full",
                hint=f"make room there, or another path for {DRAW}; nothing was left behind",
            )
        self._draft.keep()

    def drop(self) -> None:
        """Nothing in it is worth keeping."""
        self._writer.release()
        self._draft.drop()

    def stop(self) -> str:
        """Ends it before its time, where it was begun; what is left, for people."""
        self._writer.release()
        made = cv2.VideoCapture(str(self._draft.path))  # it knows better than who was stopped
        frames = max(0, int(made.get(cv2.CAP_PROP_FRAME_COUNT)))
        made.release()
        return (
            f"{self._draft.path} has the first {frames} frames; {self._draft.out} was not written"
        )
