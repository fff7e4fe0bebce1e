"""Video as RTP carries it: H.264 (RFC 6184) and H.265 (RFC 7798), made by x264 and x265, and JPEGs (RFC 2435), whose pictures carry their number."""

from __future__ import annotations

import base64
import itertools
import re
import struct
from dataclasses import dataclass

import av
import cv2

from tests.edge.vision.scenes import numbered

MTU = 1400
Unit = list[bytes]  # the NAL units of one picture


@dataclass(frozen=True)
class Codec:
    """What differs between the two."""

    name: str  # in the SDP's rtpmap
    encoder: str
    options: dict[str, str]
    header_bytes: int  # of a NAL unit
    fragment: int  # the type of a fragment (FU-A; FU)
    sets: tuple[int, ...]  # types of the parameter sets, in order
    set_names: tuple[str, ...]  # as the SDP calls them

    def type_of(self, nal: bytes) -> int:
        """Of a NAL unit."""
        return nal[0] & 31 if self.header_bytes == 1 else nal[0] >> 1 & 63

    def encode(self, frames: int, fps: int, width: int, height: int, gop: int) -> list[Unit]:
        """Pictures numbered from 0, each group of pictures closed."""
        context = av.CodecContext.create(self.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate = fps  # type: ignore[assignment]
        context.gop_size = gop
        context.options = {"preset": "ultrafast", "tune": "zerolatency", **self.options}
        packets = []
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(numbered(number, width, height), format="bgr24")
            packets += context.encode(picture.reformat(format="yuv420p"))
        packets += context.encode(None)
        return [[n for n in re.split(b"\x00\x00\x00?\x01", bytes(p)) if n] for p in packets]

    def sets_of(self, clip: list[Unit]) -> list[bytes]:
        """The first parameter set of each kind."""
        nals = [nal for unit in clip for nal in unit]
        return [next(n for n in nals if self.type_of(n) == kind) for kind in self.sets]

    def payloads(self, nal: bytes) -> list[bytes]:
        """A single NAL unit packet, or fragments of one that is too long."""
        if len(nal) <= MTU:
            return [nal]
        size, kind = self.header_bytes, self.type_of(nal)
        if size == 1:
            head = bytes([nal[0] & 0xE0 | self.fragment])
        else:
            head = bytes([nal[0] & 0x81 | self.fragment << 1, nal[1]])
        parts = [nal[i : i + MTU] for i in range(size, len(nal), MTU)]
        flags = [(i == 0) << 7 | (i == len(parts) - 1) << 6 for i in range(len(parts))]
        return [head + bytes([f | kind]) + p for f, p in zip(flags, parts, strict=True)]

    def packets(self, unit: Unit, sequence: itertools.count[int], timestamp: int) -> list[bytes]:
        """RTP packets of a picture; its last one has the marker."""
        return rtp([payload for nal in unit for payload in self.payloads(nal)], sequence, timestamp)

    def media(self, sets: list[bytes]) -> str:
        """The lines of the SDP; without parameter sets when none are given."""
        texts = [base64.b64encode(nal).decode() for nal in sets]
        if self.header_bytes == 1:
            told = [f"profile-level-id={sets[0][1:4].hex()}", f"{self.set_names[0]}={','.join(texts)}"] if sets else []  # fmt: skip
            told.insert(0, "packetization-mode=1")
        else:
            told = [f"{n}={t}" for n, t in zip(self.set_names, texts, strict=False)]
        fmtp = f"a=fmtp:96 {';'.join(told)}\r\n" if told else ""
        return f"a=rtpmap:96 {self.name}/90000\r\n{fmtp}"


class Mjpeg(Codec):
    """Each picture is a JPEG; a unit is its size in blocks, its two quantisation tables, and what is coded."""

    def encode(self, frames: int, fps: int, width: int, height: int, gop: int) -> list[Unit]:
        """In whole blocks of 16 px: the header has no room for other sizes. The number stands at the bottom too."""
        wide, high = width // 16 * 16, height // 16 * 16
        found = []
        for number in range(frames):
            picture = numbered(number, wide, high)
            picture[-(high // 4) :] = picture[: high // 4]
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            at = jpeg.index(b"\xff\xda")
            tables = b"".join(t[1:] for t in re.findall(rb"(?s)\xff\xdb..(.{65})", jpeg[:at]))
            found.append(
                [
                    bytes((wide // 8, high // 8)),
                    tables,
                    jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) : -2],
                ]
            )
        return found

    def sets_of(self, clip: list[Unit]) -> list[bytes]:
        return []

    def media(self, sets: list[bytes]) -> str:
        return f"a=rtpmap:96 {self.name}/90000\r\n"

    def packets(self, unit: Unit, sequence: itertools.count[int], timestamp: int) -> list[bytes]:
        """4:2:0 (type 1), with the tables in the first (Q 255)."""
        size, tables, coded = unit
        payloads = []
        for at in range(0, len(coded), MTU):
            head = struct.pack(">IBB", at, 1, 255) + size
            first = struct.pack(">HH", 0, len(tables)) + tables if at == 0 else b""
            payloads.append(head + first + coded[at : at + MTU])
        return rtp(payloads, sequence, timestamp)


def rtp(payloads: list[bytes], sequence: itertools.count[int], timestamp: int) -> list[bytes]:
    """The packets of a picture."""
    return [
        struct.pack(">BBHII", 0x80, 96 | (i == len(payloads) - 1) << 7, next(sequence) & 0xFFFF, timestamp & 0xFFFFFFFF, 42) + payload
        for i, payload in enumerate(payloads)
    ]  # fmt: skip


CODECS = {
    "h264": Codec(
        "H264", "libx264", {"x264-params": "bframes=0:scenecut=0"}, 1, 28, (7, 8), ("sprop-parameter-sets",)
    ),
    "h265": Codec(
        "H265", "libx265", {"x265-params": "bframes=0:scenecut=0:open-gop=0:repeat-headers=1:log-level=none"},
        2, 49, (32, 33, 34), ("sprop-vps", "sprop-sps", "sprop-pps"),
    ),
    "mjpeg": Mjpeg("JPEG", "", {}, 0, 0, (), ()),
}  # fmt: skip
