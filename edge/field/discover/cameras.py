"""Cameras: those on this machine (Video4Linux) and those that answer an ONVIF search on a network we were told of."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from edge.field.discover.ws_discovery import GROUP, PORT, Camera, matches, probe
from tocsin.errors import DriverReason, LinkError

_MOST = 1000
_SYSFS = Path("/sys/class/video4linux")


class VideoDevice(msgspec.Struct, frozen=True):
    """A camera of this machine. `state`: free or no permission."""

    path: str
    name: str
    state: str


def video_devices(folder: Path = _SYSFS) -> list[VideoDevice]:
    """The first node of each capture device; none is opened."""
    found = []
    for entry in sorted(folder.glob("video*")):
        path = f"/dev/{entry.name}"
        if _read(entry / "index") in ("", "0"):
            may = os.access(path, os.R_OK | os.W_OK)
            found.append(
                VideoDevice(path, _read(entry / "name"), "free" if may else "no permission")
            )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self.cameras: dict[str, Camera] = {}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for camera in matches(data, self._message_id):
            if len(self.cameras) < _MOST:
                self.cameras.setdefault(camera.id or camera.services[0], camera)


async def search(
    addresses: Sequence[tuple[str, int]], interface: str | None, seconds: float
) -> list[Camera]:
    """Ask each address, and every camera on the network of the interface with this IPv4 address, once.

    Raises:
        LinkError: the machine has no such interface, or nothing can be sent.
    """
    message_id = str(uuid.uuid4())
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        targets = list(addresses)
        if interface is not None:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            targets.append((GROUP, PORT))
        sock.bind((interface or "", 0))
        loop = asyncio.get_running_loop()
        transport, answers = await loop.create_datagram_endpoint(
            lambda: _Answers(message_id), sock=sock
        )
    except OSError as exc:
        sock.close()
        text = f"cannot search from {interface or 'this machine'}: {exc.strerror or exc}"
        raise LinkError(
            DriverReason.NO_PORT,
            text,
            hint="--interface takes an address that `ip -4 address` shows",
        ) from exc
    try:
        for target in targets:
            transport.sendto(probe(message_id), target)
        await asyncio.sleep(seconds)
    finally:
        transport.close()
    return list(answers.cameras.values())


def to_toml(video: Sequence[VideoDevice], cameras: Sequence[Camera], *, with_driver: bool) -> str:
    """What was found; a table to paste for each network camera where the driver `onvif` is installed."""
    parts = [f"# {one.path}: {one.name or 'camera'} ({one.state})" for one in video]
    for camera in cameras:
        told = ", ".join(filter(None, (camera.name, camera.hardware, camera.location, camera.id)))
        lines = [f"# {told or 'a camera without a name'}", *(f"# {url}" for url in camera.services)]
        parts.append("\n".join([*lines, *(_table(camera) if with_driver else ())]))
    return "\n\n".join(parts)


def _table(camera: Camera) -> list[str]:
    url = urlsplit(camera.services[0])
    host = url.hostname or ""
    name = "camera-" + re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")
    port = [f"port = {url.port}"] if url.port not in (None, 80) else []
    head = ["[[drivers]]", 'type = "onvif"    # username and password: tocsin sample onvif']
    return [*head, f'name = "{name}"', f'host = "{host}"', *port, f'device = "{name}"']
