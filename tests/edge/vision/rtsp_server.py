"""An RTSP server with H.264, H.265 or MJPEG cameras that can be made to fail: `python -m tests.edge.vision.rtsp_server --cameras 2`.

RTSP 1.0 (RFC 2326) with RTP interleaved in the TCP connection (10.12). Each camera has a port of its own. Prints
`{"ready": true, "ports": [...]}`; then reads lines `CAMERA MODE` and answers each with `{"ok": ...}`. Modes: `play`, `stall` (connected, no
frame), `drop` (ends the connections, once), `refuse` (nothing listens), `mute` (accepts and says nothing), `missing` (404), `corrupt`
(bytes flipped, packets left out), `gaps` (packets left out), `skip` (one picture of each group left out), `flap` (ends each connection
after 12 frames), `resize` (the same scene in half the size, with new parameter sets in the stream), `still` (the same key frame again
and again).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import re
import struct
import sys
from contextlib import suppress

from tests.edge.vision.rtp_video import CODECS, Codec, Unit

GOP = 10
FLAP_FRAMES = 12
SKIPPED = 4  # of each group
NONCE = "5d0b7a1c"
REALM = "camera"


class Camera:
    """One stream on one port."""

    def __init__(
        self,
        codec: Codec,
        clip: list[Unit],
        small: list[Unit],
        fps: int,
        account: tuple[str, str] | None,
        bare: bool,
    ) -> None:
        self._codec, self._small = codec, small
        self._clip, self._fps, self._account, self._bare = clip, fps, account, bare
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.mode = "play"

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
        sets = [] if self._bare else self._codec.sets_of(self._clip)
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            "m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n"
            f"{self._codec.media(sets)}a=control:track1\r\n"
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
            if self.mode == "short" and sent % GOP == 0:
                unit = [*unit[:-1], unit[-1][: len(unit[-1]) // 2]]
            packets = self._codec.packets(unit, sequence, 90_000 // self._fps * sent)
            if self.mode == "holes" and sent % GOP == 0:
                packets = packets[: len(packets) // 2]
            for packet in packets:
                if self.mode == "skip" and sent % GOP == SKIPPED:
                    continue
                if self.mode in ("corrupt", "gaps") and chance.random() < 0.2:
                    if self.mode == "gaps" or chance.random() < 0.3:
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
    codec = CODECS[options.codec]
    clip = codec.encode(options.frames, options.fps, options.width, options.height, GOP)
    small = codec.encode(GOP, options.fps, options.width // 2, options.height // 2, GOP)
    user, _, password = options.account.partition(":")
    account = (user, password) if user else None
    cameras = [
        Camera(codec, clip, small, options.fps, account, options.bare)
        for _ in range(options.cameras)
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
    parser.add_argument("--codec", choices=CODECS, default="h264")
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
