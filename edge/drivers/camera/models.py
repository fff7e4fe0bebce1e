"""The models that the cameras of a driver look with, each loaded once; one that cannot be used is tried again for its own cameras."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge.drivers.camera.config import CameraDevice
from tocsin.config import dotted
from tocsin.errors import DriverReason, LinkError, TocsinError
from tocsin.sdk import DriverContext

if TYPE_CHECKING:
    from edge.vision.nn.slot import Slot

AGAIN_S = 10.0  # hashing and building a graph cost something, and each of its cameras asks every few seconds


class Models:
    """By the name or folder in the configuration; any thread may ask."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._loaded: dict[str, Slot] = {}
        self._wrong: dict[str, tuple[int, str, str]] = {}  # until when, why, what mends it

    def slot(self, device: CameraDevice) -> Slot:
        """Of this camera.

        Raises:
            LinkError: its model cannot be used, or lacks a class that its settings name.
        """
        with self._lock:
            slot = self._loaded.get(device.model) or self._opened(device)
        classes = slot.current.classes
        for path, label in device.unknown(classes):
            raise LinkError(
                DriverReason.REFUSED,
                f"camera {device.id}, {dotted(path)}: its model knows no class {label!r}",
                hint=f"classes of {device.model}: {', '.join(classes)}",
            )
        return slot

    def _opened(self, device: CameraDevice) -> Slot:
        from edge.vision.nn.slot import opened

        model, now_ns = device.model, self._context.clock.mono_ns()
        until_ns, why, hint = self._wrong.get(model, (now_ns, "", ""))
        if now_ns >= until_ns:
            try:
                slot = opened(model, self._context.serve_model, self._context.model_failed)
            except TocsinError as exc:
                why, hint = exc.message, exc.hint
            except OSError as exc:
                why, hint = f"{model} cannot be read: {exc.strerror or exc}", ""
            else:
                self._wrong.pop(model, None)
                self._loaded[model] = slot
                return slot
            until_ns = self._context.clock.mono_ns() + int(AGAIN_S * 1e9)
            self._wrong[model] = until_ns, why, hint
        raise LinkError(DriverReason.BAD_FILE, f"model of camera {device.id}: {why}", hint=hint)
