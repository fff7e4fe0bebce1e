"""An RTSP server with H.264 cameras that can be made to fail: `python -m tests.edge.vision.rtsp_server --cameras 2`.

RTSP 1.0 (RFC 2326) with RTP interleaved in the TCP connection (10.12), H.264 by RFC 6184. Each camera has a port of its own. Prints
`{"ready": true, "ports": [...]}`; then reads lines `CAMERA MODE` and answers each with `{"ok": ...}`. Modes: `play`, `stall` (connected, no
frame), `drop` (ends the connections, once), `refuse` (nothing listens), `mute` (accepts and says nothing), `missing` (404), `corrupt`
(bytes flipped, packets left out), `flap` (ends each connection after 12 frames), `resize` (the same scene in half the size, with new
parameter sets in the stream), `still` (the same key frame again and again).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
import json
import random
import re
import struct
import sys
from contextlib import suppress

import av

from tests.edge.vision.scenes import numbered

MTU = 1400
GOP = 10
FLAP_FRAMES = 12
NONCE = "5d0b7a1c"
REALM = "camera"


def encode_clip(frames: int, fps: int, width: int, height: int, gop: int) -> list[list[bytes]]:
    """Access units as lists of NAL units, numbered from 0, each group of pictures closed."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate = fps  # type: ignore[assignment]
    context.gop_size = gop
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "bframes=0:scenecut=0"}  # fmt: skip
    packets = []
    for number in range(frames):
        picture = av.VideoFrame.from_ndarray(numbered(number, width, height), format="bgr24")
        packets += context.encode(picture.reformat(format="yuv420p"))
    packets += context.encode(None)
    return [[n for n in re.split(b"\x00\x00\x00?\x01", bytes(p)) if n] for p in packets]


class Camera:
    """One stream on one port."""

    def __init__(
        self,
        clip: list[list[bytes]],
        small: list[list[bytes]],
        fps: int,
        account: tuple[str, str] | None,
        bare: bool,
    ) -> None:
        self._small = small
        self._clip, self._fps, self._account, self._bare = clip, fps, account, bare
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.mode = "play"
        nals = [nal for unit in clip for nal in unit]
        self._sps = next(n for n in nals if n[0] & 31 == 7)
        self._pps = next(n for n in nals if n[0] & 31 == 8)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def turn(self, mode: str) -> None:
        if self._server is not None and mode == "refuse":
            self._server.close()
            self._server = None
        if mode in ("refuse", "drop", "mute", "missing"):
            for writer in self._writers:
                writer.transport.abort()
        self.mode = "play" if mode == "drop" else mode
        if self._server is None and mode != "refuse":
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        sending: asyncio.Task[None] | None = None
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("$"):
                    continue
                if self.mode == "mute":
                    await asyncio.Event().wait()
                method, url, _ = head.split("\r\n", 1)[0].split(" ")
                status, extra, body = self._answer(method, url, head)
                sequence = _field(head, "CSeq")
                text = (
                    f"RTSP/1.0 {status}\r\nCSeq: {sequence}\r\nSession: 1234;timeout=60\r\n{extra}"
                )
                if body:
                    text += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{text}\r\n{body}".encode())
                await writer.drain()
                if method == "PLAY" and status.startswith("200"):
                    sending = asyncio.create_task(self._send(writer))
                if method == "TEARDOWN":
                    return
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
            ValueError,
        ):
            return
        finally:
            if sending is not None:
                sending.cancel()
            self._writers.discard(writer)
            writer.close()

    def _answer(self, method: str, url: str, head: str) -> tuple[str, str, str]:
        if method == "OPTIONS":
            return (
                "200 OK",
                "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n",
                "",
            )
        if not self._admitted(method, head):
            return "401 Unauthorized", f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}"\r\n', ""  # fmt: skip
        if self.mode == "missing":
            return "404 Not Found", "", ""
        if method == "DESCRIBE":
            return "200 OK", f"Content-Base: {url}/\r\n", self._sdp()
        if method == "SETUP":
            transport = _field(head, "Transport")
            if "interleaved" not in transport:
                return "461 Unsupported Transport", "", ""
            return "200 OK", f"Transport: {transport}\r\n", ""
        return "200 OK", "", ""

    def _admitted(self, method: str, head: str) -> bool:
        if self._account is None:
            return True
        given = dict(re.findall(r'(\w+)="([^"]*)"', _field(head, "Authorization")))
        user, password = self._account
        first = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()  # noqa: S324 - RFC 2617
        second = hashlib.md5(f"{method}:{given.get('uri', '')}".encode()).hexdigest()  # noqa: S324 - RFC 2617
        wanted = hashlib.md5(f"{first}:{NONCE}:{second}".encode()).hexdigest()  # noqa: S324 - RFC 2617
        return given.get("username") == user and given.get("response") == wanted

    def _sdp(self) -> str:
        sets = ",".join(base64.b64encode(n).decode() for n in (self._sps, self._pps))
        known = f";profile-level-id={self._sps[1:4].hex()};sprop-parameter-sets={sets}"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            "m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1{'' if self._bare else known}\r\n"
            "a=control:track1\r\n"
        )

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        loop, sequence, sent = asyncio.get_running_loop(), itertools.count(1), 3  # not a key frame
        due = loop.time()
        chance = random.Random(1)
        while True:
            clip = self._small if self.mode == "resize" else self._clip
            unit = clip[sent % len(clip)]
            if self.mode == "stall":
                await asyncio.sleep(0.05)
                due = loop.time()
                continue
            if self.mode == "still":
                unit = self._clip[0]
            for packet in _packets(unit, sequence, 90_000 // self._fps * sent):
                if self.mode == "corrupt" and chance.random() < 0.2:
                    if chance.random() < 0.3:
                        continue
                    packet = _flipped(packet, chance)
                writer.write(b"$\x00" + struct.pack(">H", len(packet)) + packet)
            await writer.drain()
            sent += 1
            if self.mode == "flap" and sent >= 3 + FLAP_FRAMES:
                writer.transport.abort()
                return
            due += 1 / self._fps
            await asyncio.sleep(max(0.0, due - loop.time()))


def _field(head: str, name: str) -> str:
    return next((v.strip() for line in head.split("\r\n") for k, _, v in [line.partition(":")] if k == name), "")  # fmt: skip


def _packets(unit: list[bytes], sequence: itertools.count[int], timestamp: int) -> list[bytes]:
    """RTP packets of an access unit: single NAL units, or FU-A (RFC 6184, 5.8) where one is too long."""
    payloads = []
    for nal in unit:
        if len(nal) <= MTU:
            payloads.append(nal)
            continue
        indicator, kind = nal[0] & 0xE0 | 28, nal[0] & 31
        parts = [nal[i : i + MTU] for i in range(1, len(nal), MTU)]
        for i, part in enumerate(parts):
            flags = (i == 0) << 7 | (i == len(parts) - 1) << 6
            payloads.append(bytes([indicator, flags | kind]) + part)
    return [
        struct.pack(">BBHII", 0x80, 96 | (i == len(payloads) - 1) << 7, next(sequence) & 0xFFFF, timestamp & 0xFFFFFFFF, 42) + payload
        for i, payload in enumerate(payloads)
    ]  # fmt: skip


def _flipped(packet: bytes, chance: random.Random) -> bytes:
    hurt = bytearray(packet)
    for _ in range(20):
        at = chance.randrange(12, len(hurt))
        hurt[at] ^= chance.randrange(1, 256)
    return bytes(hurt)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _run(options: argparse.Namespace) -> None:
    clip = encode_clip(options.frames, options.fps, options.width, options.height, GOP)
    small = encode_clip(GOP, options.fps, options.width // 2, options.height // 2, GOP)
    user, _, password = options.account.partition(":")
    account = (user, password) if user else None
    cameras = [
        Camera(clip, small, options.fps, account, options.bare) for _ in range(options.cameras)
    ]
    for camera in cameras:
        await camera.listen()
    _say({"ready": True, "ports": [c.port for c in cameras]})
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)  # fmt: skip
    while line := (await stdin.readline()).decode().split():
        await cameras[int(line[0])].turn(line[1])
        _say({"ok": " ".join(line)})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--account", default="", help="USER:PASSWORD")
    parser.add_argument("--bare", action="store_true", help="no parameter sets in the SDP")
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
