"""Video as RTP carries it: H.264 (RFC 6184) and H.265 (RFC 7798), made by x264 and x265, whose pictures carry their number."""

from __future__ import annotations

import base64
import itertools
import re
import struct
from dataclasses import dataclass

import av

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
        payloads = [payload for nal in unit for payload in self.payloads(nal)]
        return [
            struct.pack(">BBHII", 0x80, 96 | (i == len(payloads) - 1) << 7, next(sequence) & 0xFFFF, timestamp & 0xFFFFFFFF, 42) + payload
            for i, payload in enumerate(payloads)
        ]  # fmt: skip

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


CODECS = {
    "h264": Codec(
        "H264", "libx264", {"x264-params": "bframes=0:scenecut=0"}, 1, 28, (7, 8), ("sprop-parameter-sets",)
    ),
    "h265": Codec(
        "H265", "libx265", {"x265-params": "bframes=0:scenecut=0:open-gop=0:repeat-headers=1:log-level=none"},
        2, 49, (32, 33, 34), ("sprop-vps", "sprop-sps", "sprop-pps"),
    ),
}  # fmt: skip
