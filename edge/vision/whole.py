"""Whether a video that OpenCV wrote is whole: it says nothing of a disk that is full."""

from __future__ import annotations

from pathlib import Path

from edge.vision.opencv import cv2


def frames_in(path: Path) -> int:
    """That can be read."""
    film, count = cv2.VideoCapture(str(path)), 0
    while film.grab():
        count += 1
    film.release()
    return count
