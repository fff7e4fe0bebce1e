"""The demo's forest: one hill, seen by four cameras on ports of their own; two of them see a fire begin, two see clouds and a sunset."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tocsin.lab.forest.scene import KELVIN
from tocsin.lab.site import Device, Site, gateway_head

SEED = 4


class Camera(msgspec.Struct, frozen=True):
    """`hour` of the day in its first frame, and how many its frames show. `fire_frame` None: nothing burns."""

    id: str
    thermal: bool
    fire_frame: int | None
    hour: float
    hours: float


CAMERAS = (
    Camera("ridge-heat", True, 60, 9.0, 0.2),
    Camera("ridge-eye", False, 60, 9.0, 0.2),
    Camera("quiet-heat", True, None, 15.0, 4.5),
    Camera("quiet-eye", False, None, 15.0, 4.5),
)


class Forest(Site, frozen=True):
    """Every camera has the settings of the others; only the day before it differs. `fps`: pictures a second of each."""

    cameras: tuple[Camera, ...] = CAMERAS
    fps: float = 2.0
    frames: int = 180

    @property
    def seconds(self) -> float:
        """Until all frames are shown."""
        return self.frames / self.fps

    @property
    def devices(self) -> tuple[Device, ...]:
        """The cameras."""
        return tuple(Device(c.id, "vision", 1.0, "camera", "") for c in self.cameras)

    def processes(self, folder: Path) -> dict[str, list[str]]:
        """One each, on a port of its own."""
        return {c.id: self._process(c) for c in self.cameras}

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        """`gateway.toml` for the ports that the cameras announced."""
        path = folder / "gateway.toml"
        cameras = "".join(_camera(c, ports[c.id], self.fps) for c in self.cameras)
        path.write_text(gateway_head(broker_port) + _DRIVER + cameras + _ALARMS, "utf-8")
        return path

    def _process(self, camera: Camera) -> list[str]:
        out = [
            "tocsin.lab.forest.camera", "--stdin-lease", "--seed", str(SEED), "--fps", str(self.fps),
            "--hour", str(camera.hour), "--hours-per-s", str(camera.hours / self.seconds),
        ]  # fmt: skip
        if camera.fire_frame is not None:  # seen for the first time in that frame
            out += ["--fire-after", str((camera.fire_frame - 0.5) / self.fps)]
        return out


def _camera(camera: Camera, port: str, fps: float) -> str:
    kind = f"kelvin_per_count = {KELVIN}\n" if camera.thermal else 'model = "smoke-fire"\n'
    place = "counts.png" if camera.thermal else "snapshot.jpg"
    return f"""[[drivers.devices]]
id = "{camera.id}"
source = "http://{port}/{place}"
fps = {fps}
idle_fps = {fps}
view_every_s = 2.0
pose = {{ lat = 22.5712, lon = 114.0418, azimuth_deg = 212.0, hfov_deg = 58.0 }}
{kind}"""


_DRIVER = """[[drivers]]
type = "camera"
name = "ridge"
period_s = 1.0
"""
_ALARMS = """[[alarms]]
device = "*"
quantity = "confirmed"
level1 = 1
"""
