"""JT/T 808 messages of the 2011, 2013 and 2019 editions: for benches and fuzzing."""

from __future__ import annotations

from collections.abc import Iterator

from firmware_bridges.jt808.describe import describe_frame
from firmware_bridges.jt808.frames import (
    Frame,
    Header,
    check_byte,
    encode_frame,
    encode_parts,
    escape,
    unescape,
)
from firmware_bridges.jt808.location import Extra, Location, encode_batch, encode_location
from firmware_bridges.jt808.messages import (
    Ack,
    Auth,
    Id,
    Parameter,
    Register,
    RegisterAck,
    ResendRequest,
    Text,
    encode_ack,
    encode_auth,
    encode_parameters,
    encode_register,
    encode_register_ack,
    encode_resend,
    encode_text,
)
from firmware_bridges.jt808.more import encode_track
from firmware_bridges.jt808.reassembly import Reassembler
from firmware_bridges.jt808.splitter import Splitter
from tocsin.errors import CodecError
from tocsin.sdk.codec import Examples, Feed, FrameInput

_EXTRAS = (
    Extra(0x01, (123456).to_bytes(4, "big")),
    Extra(0x02, (455).to_bytes(2, "big")),
    Extra(0x03, (612).to_bytes(2, "big")),
    Extra(0x11, b"\x02\0\0\0\x07"),
    Extra(0x25, b"\0\0\0\x03"),
    Extra(0x30, b"\x1f"),
    Extra(0x31, b"\x0b"),
    Extra(0xE1, b"\x01\x02\x03"),
)
_WHERE = Location(
    0, 3, 22_543_000, 114_057_900, 12, 612, 274, bytes.fromhex("261124123005"), _EXTRAS
)


def _bodies(edition: str) -> Iterator[tuple[int, bytes]]:
    new = edition == "2019"
    location = encode_location(_WHERE)
    yield Id.TERMINAL_ACK, encode_ack(Ack(1, Id.TEXT, 0))
    yield Id.HEARTBEAT, b""
    yield (
        Id.REGISTER,
        encode_register(Register(44, 300, "MAKER", "MODEL-1", "TC00001", 2, "粤B12345", edition)),
    )
    yield Id.REGISTER_ACK, encode_register_ack(RegisterAck(1, 0, "secret"))
    yield (
        Id.AUTH,
        encode_auth(
            Auth("secret", "860000000000001" if new else None, "1.0" if new else None), new
        ),
    )
    yield Id.PARAMETERS, b"\0\1" + encode_parameters((Parameter(0x29, b"\0\0\0\x1e"),))
    yield (
        Id.SET_PARAMETERS,
        encode_parameters((Parameter(0x29, b"\0\0\0\x1e"), Parameter(0x13, b"host"))),
    )
    yield Id.LOCATION, location
    yield Id.LOCATION_ANSWER, b"\0\1" + location
    yield Id.VEHICLE_CONTROL_ANSWER, b"\0\1" + location
    yield Id.BATCH, encode_batch(1, (_WHERE, _WHERE, _WHERE))
    yield Id.TEXT, encode_text(Text(8, "前方拥堵", 1 if new else None), new)
    yield Id.RESEND_PARTS, encode_resend(ResendRequest(7, (2, 3)), new)
    yield Id.TRACK, encode_track(5, 60)
    for other in (
        Id.ATTRIBUTES,
        Id.DRIVER,
        Id.MEDIA_EVENT,
        Id.MEDIA,
        Id.TRANSPARENT_UP,
        Id.ASK_SOME_PARAMETERS,
    ):
        yield other, bytes(range(60))


def examples() -> Examples:
    """Every message that is encoded here, in every edition, and one in parts."""
    frames = []
    for edition in ("2011", "2013", "2019"):
        version = 1 if edition == "2019" else None
        for number, (msg_id, body) in enumerate(_bodies(edition)):
            frames.append(encode_frame(Header(msg_id, "013912345678", number, version), body))
    batch = encode_batch(1, (_WHERE,) * 30)
    frames += [frame for _, frame in encode_parts(Header(Id.BATCH, "013912345678", 90), batch)]
    return Examples(tuple(FrameInput(frame) for frame in frames), _seal, (_stream,))


def _seal(given: FrameInput) -> bytes:
    content = bytearray(unescape(given.data[1:-1])[:-1])
    if len(content) > 12:
        attributes = int.from_bytes(content[2:4], "big")
        head = (17 if attributes & 0x4000 else 12) + (4 if attributes & 0x2000 else 0)
        length = max(0, len(content) - head) & 0x3FF
        content[2:4] = (attributes & ~0x3FF | length).to_bytes(2, "big")
    return b"\x7e" + escape(bytes(content) + bytes((check_byte(bytes(content)),))) + b"\x7e"


def _stream() -> Feed:
    splitter, parts = Splitter(), Reassembler()
    fed = 0

    def feed(data: bytes) -> object:
        nonlocal fed
        fed += 1
        told = [_one(item, parts, fed * 1_000_000_000) for item in splitter.feed(data)]
        return told, parts.missing(fed * 1_000_000_000)

    return feed


def _one(item: Frame | CodecError, parts: Reassembler, mono_ns: int) -> object:
    if isinstance(item, CodecError):
        return item
    whole = parts.feed(item, mono_ns)
    return None if whole is None else describe_frame(Frame(whole.header, whole.body, 0))
