"""What the cameras of a driver are judged by."""

from __future__ import annotations

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.learned import Learned
from edge.drivers.camera.scene import Scene


def scene(**options: object) -> Scene:
    device = {"id": "cam-01", "source": "http://127.0.0.1:9/snap.jpg", **options}
    config = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})
    return Scene({d.id: d for d in config.devices}, {"cam-01": Learned()})


def test_smoke_at_a_new_camera_must_score_more_than_flames() -> None:
    new = scene()
    assert new.limit("cam-01", "smoke", "visible", 10**18) == 0.75
    assert new.limit("cam-01", "fire", "visible", 10**18) == 0.6
