"""An OPC UA server and an ONVIF camera from their own ports to the cloud's store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tocsin.lab.children import LabError
from tocsin.lab.demo import Demo
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import wait_until_sync

PRESS, CAMERA = "press-1", "cam-01"
NODE = "nsu=urn:tocsin:press;s=press."


class Plant(Site, frozen=True):
    """A press that counts its strokes twenty times a second, and a camera."""

    @property
    def devices(self) -> tuple[Device, ...]:
        return (
            Device(PRESS, "press", 0.2, "press", ""),
            Device(CAMERA, "camera", 0.2, "camera", ""),
        )

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {
            PRESS: ["firmware_bridges.opcua.device", "--step-s", "0.05", "--stdin-lease"],
            CAMERA: ["firmware_bridges.onvif.device", "--stdin-lease"],
        }

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        host, _, port = ports[CAMERA].rpartition(":")
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "opcua"
name = "plc"
url = "opc.tcp://{ports[PRESS]}/press"
[[drivers.devices]]
id = "{PRESS}"
measurement = "press"
period_s = 0.2
nodes = [
  {{ node = "{NODE}pressure", quantity = "pressure", unit = "bar" }},
  {{ node = "{NODE}strokes", quantity = "strokes", type = "i" }},
]
[[drivers]]
type = "onvif"
name = "camera"
host = "{host}"
port = {port}
username = "tocsin"
password = "camera"
device = "{CAMERA}"
period_s = 0.2
""",
            "utf-8",
        )
        return path


def test_every_stroke_and_every_look_is_in_the_store_once(tmp_path: Path) -> None:
    with Demo(tmp_path, Plant(), broker="mosquitto") as run:
        run.start(lambda _part: None)

        def rows(kind: str, columns: str) -> list[dict[str, Any]]:
            run.children.check()
            try:
                return run.client.query(
                    f"SELECT epoch_ns(time) AS t, {columns} FROM {kind} ORDER BY time"
                )
            except LabError:
                return []  # the table does not exist before its first row

        wait_until_sync(lambda: len(rows("press", "strokes")) >= 60, 60.0)
        wait_until_sync(lambda: len(rows("camera", "pan")) >= 5, 60.0)
        press = rows("press", "strokes, pressure")
        camera = rows("camera", "pan, tilt, zoom, moving")
    counted = [r for r in press if r["strokes"] is not None]
    strokes = [r["strokes"] for r in counted]
    assert strokes == list(range(strokes[0], strokes[0] + len(strokes)))
    assert [r["pressure"] for r in counted] == pytest.approx([100 + n / 10 for n in strokes])
    for found in (press, camera):
        assert len({r["t"] for r in found}) == len(found)
    looks = {(r["pan"], r["tilt"], r["zoom"], r["moving"]) for r in camera}
    assert looks == {(0.0, 0.0, 0.0, False)}
