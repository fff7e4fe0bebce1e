"""OpenCV as this process wants it; import it before `cv2` is used. Its streams read the environment once, when the first one opens."""

from __future__ import annotations

import os

# A camera that speaks RTSP only over UDP is not served. A stream opens with its first key frame, not after seconds of counting frames.
os.environ.setdefault(
    "OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;1000000|fpsprobesize;0"
)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # every failure is told once, by us
os.environ.setdefault(
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4"
)  # seconds that a device may stand still

import cv2

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
cv2.setNumThreads(1)  # threads are ours: one a camera, one worker a core


__all__ = ["cv2"]
