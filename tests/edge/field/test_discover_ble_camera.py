"""`tocsin discover ble` and `camera`: through bleak's own hook, and to a camera's side on a real UDP port."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason
from hypothesis import given
from hypothesis import strategies as st

from edge.field.discover.bluetooth import Heard, listen, to_toml
from edge.field.discover.cameras import to_toml as cameras_to_toml
from edge.field.discover.cameras import video_devices
from edge.field.discover.ws_discovery import matches, probe
from tests.edge.field.conftest import Run
from tocsin.errors import LinkError, MissingExtraError

ANSWER = """<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<s:Header><a:RelatesTo>urn:uuid:{id}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>
<a:EndpointReference><a:Address>urn:uuid:cam-1</a:Address></a:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/Profile/Streaming onvif://www.onvif.org/name/Ridge%20East
 onvif://www.onvif.org/hardware/X-100 onvif://www.onvif.org/location/%E5%8C%97%E5%B1%B1</d:Scopes>
<d:XAddrs>http://192.0.2.7:8080/onvif/device_service https://192.0.2.7/onvif/device_service</d:XAddrs>
</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"""


class Radio(BaseBleakScanner):
    """Takes the place of the machine's Bluetooth: two devices advertise."""

    async def start(self) -> None:
        for address, name, rssi in (
            ("C0:00:00:00:00:01", "Far", -90),
            ("C0:00:00:00:00:02", "Lock\n7", -40),
        ):
            told = AdvertisementData(name, {0x004C: b"x"}, {}, ["0000180f-0000-1000-8000-00805f9b34fb"], None, rssi, ())  # fmt: skip
            device = self.create_or_update_device(address, address, name, None, told)
            self.call_detection_callbacks(device, told)

    async def stop(self) -> None:
        pass

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args[0] if args else None, None)


class Off(Radio):
    """An adapter that is switched off."""

    async def start(self) -> None:
        raise BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF)


async def test_who_advertises_is_listed_the_strongest_first() -> None:
    heard = await listen(0.01, Radio)
    assert [(h.address[-2:], h.rssi_dbm, h.makers) for h in heard] == [
        ("02", -40, ["0x004C"]),
        ("01", -90, ["0x004C"]),
    ]
    assert tomllib.loads(to_toml(heard)) == {}
    assert "# Lock7: -40 dBm" in to_toml(heard)


def test_a_lock_is_printed_as_the_beginning_of_a_block() -> None:
    shown = ["locked", "door-open", "tamper"]
    lock = Heard("C0:00:00:00:00:03", "", -50, [], ["0xFFFF"], shown)
    other = Heard("C0:00:00:00:00:04", "Tag", -80, [], [])
    text = to_toml([lock, other])
    table = tomllib.loads(text)["drivers"][0]
    assert table["devices"] == [{"id": "lock-1", "address": "C0:00:00:00:00:03"}]
    assert "# locked, door-open, tamper, -50 dBm" in text
    assert "# Tag: -80 dBm" in text


async def test_why_there_is_no_bluetooth_is_one_clear_line() -> None:
    with pytest.raises(LinkError, match="not available: powered off") as off:
        await listen(0.01, Off)
    assert "rfkill" in off.value.hint


def test_without_a_bluetooth_service_or_without_bleak_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    code, objects, _ = run("discover", "ble", "--for", "0.5")
    assert (code, objects[0]["error"]["code"]) == (5, "driver.link")
    assert "apt install bluez" in objects[0]["error"]["hint"]
    monkeypatch.setitem(sys.modules, "bleak", None)
    with pytest.raises(MissingExtraError):
        asyncio.run(listen(0.1))
    code, objects, _ = run("discover", "ble")
    assert (code, objects[0]["error"]["hint"]) == (4, "pip install 'tocsin[ble]'")


@contextmanager
def _camera() -> Iterator[tuple[int, list[bytes]]]:
    """The side of a camera: (port, searches it heard). It also sends answers that are not ours, and garbage."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            data, peer = sock.recvfrom(65_536)
            if data == b"end":
                return
            heard.append(data)
            asked = re.search(rb"MessageID>urn:uuid:([^<]+)<", data)
            assert asked is not None
            stranger = ANSWER.format(id=uuid.uuid4()).replace("cam-1", "cam-2")
            for answer in (
                b"\xff",
                stranger.encode(),
                ANSWER.format(id=asked[1].decode()).encode(),
            ):
                sock.sendto(answer, peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield sock.getsockname()[1], heard
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", sock.getsockname()[1]))
        thread.join(5)
        sock.close()


def test_a_camera_that_is_asked_tells_its_name_and_address(run: Run) -> None:
    with _camera() as (port, heard):
        code, objects, _ = run(
            "discover", "camera", "--address", f"127.0.0.1:{port}", "--for", "0.4"
        )
    assert code == 0
    (camera,) = objects[0]["cameras"]
    assert camera == {
        "id": "urn:uuid:cam-1", "name": "Ridge East", "hardware": "X-100", "location": "北山",
        "services": ["http://192.0.2.7:8080/onvif/device_service", "https://192.0.2.7/onvif/device_service"],
    }  # fmt: skip
    assert len(heard) == 1
    assert b"NetworkVideoTransmitter" in heard[0]


def test_nothing_is_sent_unless_told_where(run: Run) -> None:
    code, objects, err = run("discover", "camera", "--for", "0.2")
    assert "--interface ADDRESS sends one search to 239.255.255.250:3702" in err
    assert code == (0 if video_devices() else 5)
    code, objects, _ = run("discover", "camera", "--interface", "192.0.2.99", "--for", "0.2")
    assert code == 5
    assert "cannot search from 192.0.2.99" in objects[-1]["error"]["message"]
    code, objects, _ = run("discover", "camera", "--address", "a:b:c")
    assert code == 2


def test_the_table_of_a_camera_is_toml(tmp_path: Path) -> None:
    cameras = matches(ANSWER.format(id="1").encode(), "1")
    table = tomllib.loads(cameras_to_toml([], cameras, with_driver=True))["drivers"][0]
    assert (table["type"], table["host"], table["port"]) == ("onvif", "192.0.2.7", 8080)
    assert tomllib.loads(cameras_to_toml([], cameras, with_driver=False)) == {}
    for name, index in (("video0", "0"), ("video1", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index").write_text(index)
        (tmp_path / name / "name").write_text("USB camera\n")
    assert [(v.path, v.name) for v in video_devices(tmp_path)] == [("/dev/video0", "USB camera")]


@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda t: ANSWER.format(id=t).encode())
    )
)
def test_any_datagram_is_read_without_harm(data: bytes) -> None:
    matches(data, "1")
    matches(b'<!DOCTYPE a [<!ENTITY b "c">]>' + data, "1")


def test_a_document_type_is_refused() -> None:
    evil = '<!DOCTYPE a [<!ENTITY b "c">]>' + ANSWER.format(id="1").partition("?>")[2]
    assert matches(evil.encode(), "1") == []
    assert len(matches(ANSWER.format(id="1").encode(), "1")) == 1
    assert b"urn:uuid:42<" in probe("42")
