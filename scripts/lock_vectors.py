"""Writes firmware_bridges/lock/vectors/: what a lock's firmware is tested against, in lines a C program reads without a library.

`python -m scripts.lock_vectors` writes them anew; a test asserts that they are up to date and that they replay.
A line is a verb and words; numbers are decimal, bytes are hex, `-` is empty. `#` begins a comment. docs/specs/lock.md, section 9.
"""

from __future__ import annotations

import json
from pathlib import Path

from firmware_bridges.lock.attacks import ATTACKS
from firmware_bridges.lock.bench import LOCK_ID
from firmware_bridges.lock.frames import Kind, Partial, joined, split
from scripts.grant_vectors import FILE as GRANTS
from scripts.lock_scenes import SCENES, lines_of, refused, traced
from tocsin.grants.att import ATT_CODES
from tocsin.grants.lock_log import (
    LockEvent,
    LockEventKind,
    encode_event,
    first_head,
    next_head,
)

FOLDER = Path(__file__).parent.parent / "firmware_bridges/lock/vectors"
_CHECK = 8  # bytes of check at the end of a slot


def sessions() -> str:
    """Everything a lock must do, happening by happening."""
    lines = ["# what a lock must do with everything that happens to it"]
    for name, scene, profiles, frame_bytes in SCENES:
        for profile in profiles:
            bench = traced(profile, frame_bytes)
            scene(bench)
            lines += lines_of(bench, f"{name} {profile.name}")
    return "\n".join(lines) + "\n"


def attacks() -> str:
    """The attack table, played against each profile."""
    lines = ["# the attack table: every case ends with a refusal"]
    for attack in ATTACKS:
        for profile in attack.profiles:
            bench = traced(profile)
            bench.tell_time()
            code = refused(lambda attack=attack, bench=bench: attack.act(bench))  # type: ignore[misc]
            if code != ATT_CODES[attack.refusal]:
                raise AssertionError(f"{attack.name}: {code:#04x}")
            lines += lines_of(bench, f"{attack.name} {profile.name}")
    return "\n".join(lines) + "\n"


def frames() -> str:
    """`split KIND MESSAGE FRAME_BYTES BODY` with its `frame`s; `join` gives frames, then `message KIND BODY` or `refuse CODE`."""
    lines = ["# frames: split, and joining that is refused"]
    body = bytes(range(256)) + bytes(range(44))
    for kind, message, frame_bytes, length in (
        (Kind.HELLO, 0, 20, 24),
        (Kind.GETLOG, 255, 244, 0),
        (Kind.GRANT, 7, 182, 174),
        (Kind.GRANT, 8, 182, 176),
        (Kind.RESCUE, 9, 244, 300),
        (Kind.LOGPAGE, 256, 20, 200),
    ):
        lines.append(f"split {kind.value} {message} {frame_bytes} {body[:length].hex() or '-'}")
        lines += [
            f"frame {frame.hex()}" for frame in split(kind, body[:length], frame_bytes, message)
        ]
        lines.append("end")
    first, second, third = split(Kind.GRANT, bytes(40), 20, 1)
    for parts in (
        [b""],
        [b"\x01\x01\x00\x80\x00"],
        [b"\x02\x01\x00\x80\x00\x00"],
        [b"\x01\x7f\x00\x80\x00\x00"],
        [b"\x01\x01\x00\x80\x02\x81"],
        [b"\x01\x01\x00\x00\x00\x00"],
        [b"\x01\x01\x00\x80\x00\x00\x01"],
        [split(Kind.GRANT, bytes(238), 244)[0] + b"\x00"],
        [second],
        [first, third],
        [first, second[:2] + b"\x02" + second[3:]],
        [first, second[:1] + b"\x03" + second[2:]],
        [first, second[:-1], third],
        [first, second, third[:-1]],
        [first, second, second],
    ):
        lines.append("join")
        lines += [f"frame {part.hex() or '-'}" for part in parts]
        lines += [f"refuse {_join_refused(parts)}", "end"]
    return "\n".join(lines) + "\n"


def _join_refused(parts: list[bytes]) -> int:
    def join() -> None:
        state: Partial | None = None
        for part in parts:
            found = joined(state, part)
            state = found if isinstance(found, Partial) else None

    return refused(join)


def log() -> str:
    """`first LOCK_ID HEAD`, then `event BYTES HEAD`."""
    head = first_head(LOCK_ID)
    lines = ["# the log's chain: the head after each event", f"first {LOCK_ID.hex()} {head.hex()}"]
    for seq, kind in enumerate(LockEventKind, start=1):
        data = bytes(range(seq % 17))
        event = encode_event(LockEvent(seq, 1_800_000_000 + seq, seq % 3, kind, b"grant-01", data))
        head = next_head(head, event)
        lines.append(f"event {event.hex()} {head.hex()}")
    return "\n".join(lines) + "\n"


def grants() -> str:
    """`grant CODE NOW MIN_CTR BYTES`: code 0 is good. From docs/specs/vectors/grants.json."""
    stored = json.loads(GRANTS.read_text("utf-8"))
    lines = [
        "# grants: what verifying gives, at a time and above a counter",
        f"lock {stored['lock_id']}",
    ]
    lines += [f"issuer {kid} {key}" for kid, key in sorted(stored["issuers"].items())]
    lines += [f"grant 0 1800000000 0 {one['grant']}" for one in stored["grants"]]
    lines += [
        f"grant {one['att']} {one['now']} {one['min_ctr']} {one['grant'] or '-'}"
        for one in stored["refused"]
    ]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Every file and its text."""
    made = {
        "sessions.txt": sessions(),
        "attacks.txt": attacks(),
        "frames.txt": frames(),
        "log.txt": log(),
        "grants.txt": grants(),
    }
    return {FOLDER / name: text for name, text in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "ascii")
