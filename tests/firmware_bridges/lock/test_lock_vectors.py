"""The vectors for firmware: made again to the letter, and whole enough for a lock that has nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_bridges.lock import machine
from firmware_bridges.lock.frames import Kind, Message, Partial, joined, split
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import (
    Area,
    BatteryAt,
    BoltMoved,
    Connected,
    Disconnected,
    DoorMoved,
    EgressUsed,
    Happening,
    Store,
    Tampered,
    Tick,
    Written,
)
from firmware_bridges.lock.state import Identity, LockState
from scripts import lock_vectors
from scripts.lock_scenes import effect_line
from scripts.lock_vectors import FOLDER
from tocsin.errors import GrantRefusedError
from tocsin.grants.att import ATT_CODES
from tocsin.grants.grant import check, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import first_head, next_head


def lines(name: str) -> Iterator[list[str]]:
    for line in (FOLDER / name).read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            yield line.split(" ")


def raw(word: str) -> bytes:
    return b"" if word == "-" else bytes.fromhex(word)


def happening(words: list[str]) -> Happening:
    verb, rest = words[0], words[1:]
    number = int(rest[0]) if rest else 0
    made: dict[str, Happening] = {
        "disconnect": Disconnected(number),
        "door": DoorMoved(bool(number)),
        "bolt": BoltMoved(bool(number)),
        "egress": EgressUsed(),
        "tamper": Tampered(bool(number)),
        "battery": BatteryAt(number),
        "tick": Tick(),
    }
    if verb == "connect":
        return Connected(number, int(rest[1]))
    return Written(number, raw(rest[1])) if verb == "write" else made[verb]


def test_the_vectors_are_reproducible() -> None:
    stale = [path.name for path, text in lock_vectors.files().items() if path.read_text() != text]
    assert stale == [], "run: python -m scripts.lock_vectors"
    assert {path.name for path in FOLDER.iterdir()} == {p.name for p in lock_vectors.files()}


@pytest.mark.parametrize("name", ["sessions.txt", "attacks.txt"])
def test_a_lock_that_has_only_the_vectors_does_what_they_say(name: str) -> None:
    identity = Identity(bytes(8), Profile.MAC_ONLY, bytes(32))
    issuers: dict[bytes, bytes] = {}
    flash: dict[tuple[Area, int], bytes] = {}
    state: LockState | None = None
    wanted: list[str] = []
    checked = 0
    for words in lines(name):
        if words[0] == "out":
            assert wanted.pop(0) == " ".join(words[1:])
            checked += 1
            continue
        assert wanted == []
        if words[0] == "lock":
            profile, lock_id, k_lock = Profile(int(words[1])), raw(words[2]), raw(words[3])
            identity = Identity(lock_id, profile, k_lock, int(words[4]), int(words[5]))
            issuers, flash, state = {}, {}, None
        elif words[0] == "issuer":
            issuers[raw(words[1])] = raw(words[2])
        elif words[0] == "flash":
            flash[Area(words[1]), int(words[2])] = raw(words[3])
        elif words[0] in ("boot", "in"):
            if words[0] == "boot":
                keys = IssuerKeys(issuers) if issuers else None
                state, effects = machine.boot(
                    identity,
                    flash,
                    keys,
                    is_unlocked=words[2] == "1",
                    is_open=words[3] == "1",
                    fresh=raw(words[1]),
                )
            else:
                assert state is not None
                state, effects = machine.step(
                    identity, state, happening(words[3:]), int(words[1]), raw(words[2])
                )
            wanted = [effect_line(effect) for effect in effects]
            for effect in effects:
                if isinstance(effect, Store):
                    flash[effect.area, effect.slot] = effect.data
    assert checked > 300


def test_frames_split_and_join_as_the_vectors_say() -> None:
    frames: list[bytes] = []
    wanted: list[str] = []
    code = 0
    for words in lines("frames.txt"):
        if words[0] in ("split", "join"):
            wanted, frames, code = words, [], 0
        elif words[0] == "frame":
            frames.append(raw(words[1]))
        elif words[0] == "refuse":
            code = int(words[1])
        elif wanted[0] == "split":
            kind, body = Kind(int(wanted[1])), raw(wanted[4])
            assert split(kind, body, int(wanted[3]), int(wanted[2])) == frames
            assert joined_all(frames) == Message(kind, body)
        else:
            with pytest.raises(GrantRefusedError) as refused:
                joined_all(frames)
            assert ATT_CODES[refused.value.reason] == code


def joined_all(frames: list[bytes]) -> Partial | Message | None:
    state: Partial | Message | None = None
    for frame in frames:
        state = joined(state if isinstance(state, Partial) else None, frame)
    return state


def test_the_chain_and_the_grants_are_as_the_vectors_say() -> None:
    head = b""
    for words in lines("log.txt"):
        head = first_head(raw(words[1])) if words[0] == "first" else next_head(head, raw(words[1]))
        assert head == raw(words[2])
    issuers, lock_id, codes = {}, b"", []
    for words in lines("grants.txt"):
        if words[0] == "lock":
            lock_id = raw(words[1])
        elif words[0] == "issuer":
            issuers[raw(words[1])] = raw(words[2])
        else:
            code = 0
            try:
                claims = verify(raw(words[4]), IssuerKeys(issuers)).claims
                check(claims, lock_id=lock_id, now_s=int(words[2]), min_ctr=int(words[3]))
            except GrantRefusedError as refused:
                code = ATT_CODES[refused.reason]
            assert code == int(words[1])
            codes.append(code)
    assert codes.count(0) == 5
