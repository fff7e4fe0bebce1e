"""The C core for lock makers: built with every warning an error and the sanitizers on, it does what the Python lock does, to the letter.

The same vectors, then whatever hypothesis makes happen to the Python lock, written down as vectors and replayed in C.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridges.lock import client
from firmware_bridges.lock.bench import GATEWAY, KID, LOCK_ID, NOW, Bench, seed
from firmware_bridges.lock.gatt import INFO, Profile
from firmware_bridges.lock.happenings import (
    Area,
    EgressUsed,
    Tampered,
)
from scripts.lock_scenes import lines_of, traced, traced_lock
from scripts.lock_vectors import FOLDER
from tests.firmware_bridges.lock.lock_life import DOINGS, Life
from tocsin.errors import GrantRefusedError
from tocsin.grants.att import ATT_CODES
from tocsin.grants.claims import encode_claims
from tocsin.grants.grant import check, issue, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.primitives import public_key
from tocsin.grants.sign1 import sign1

SOURCE = FOLDER.parent / "c"
BOTH = pytest.mark.parametrize("profile", list(Profile))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host program with sanitizers."""
    return built("host", tmp_path_factory.mktemp("core") / "lock_host")


def built(what: str, out: Path) -> Path:
    assert shutil.which("cc"), "no C compiler (apt-get install gcc libc6-dev libsodium-dev)"
    done = subprocess.run(
        [SOURCE / "build", what, out], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def replayed(core: Path, lines: list[str]) -> tuple[int, str]:
    """Exit status of the C core after these lines, and what it says."""
    done = subprocess.run(
        [core, "vectors", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_core_does_what_every_vector_says(core: Path) -> None:
    files = sorted(FOLDER.glob("*.txt"))
    assert len(files) == 5
    done = subprocess.run(
        [core, "vectors", *files], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = sum(len(path.read_text("ascii").splitlines()) for path in files)
    checked = sum(int(line.split(" ")[1]) for line in done.stdout.splitlines())
    assert lines / 3 < checked < lines


def test_a_core_that_did_otherwise_would_be_found(core: Path) -> None:
    lines = (FOLDER / "attacks.txt").read_text("ascii").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("out refuse"))
    changed = [*lines[:at], "out refuse 1 1", *lines[at + 1 :]]
    assert replayed(core, changed)[0] == 1
    assert replayed(core, lines[:at] + lines[at + 1 :])[0] == 1
    assert replayed(core, [*lines[:at], "in 0 00"])[0] != 0


def variants(data: bytes) -> Iterator[bytes]:
    """Every flipped bit, every cut, and one byte more."""
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)
    yield from (data[:length] for length in range(len(data)))
    yield data + b"\x00"


def grant_line(raw: bytes, issuers: IssuerKeys) -> str:
    """What the Python code makes of a grant."""
    code = 0
    try:
        check(verify(raw, issuers).claims, lock_id=LOCK_ID, now_s=NOW)
    except GrantRefusedError as refused:
        code = ATT_CODES[refused.reason]
    return f"grant {code} {NOW} 0 {raw.hex() or '-'}"


def test_every_changed_grant_is_refused_for_the_same_reason(core: Path) -> None:
    """Changed on the way; and changed by the issuer itself before it signed, so that the claims are looked at."""
    bench = Bench(Profile.SIGNATURES)
    issuers = IssuerKeys({KID: public_key(seed("issuer 1"))})
    claims = bench.claims(gw=GATEWAY, ctr=70_000, uses=25)
    good = issue(claims, kid=KID, seed=seed("issuer 1")).raw
    lines = [f"lock {LOCK_ID.hex()}", f"issuer {KID.hex()} {issuers.keys[KID].hex()}"]
    lines += [grant_line(raw, issuers) for raw in (good, *variants(good))]
    lines += [
        grant_line(sign1(payload, kid=KID, seed=seed("issuer 1")), issuers)
        for payload in variants(encode_claims(claims))
    ]
    codes = {line.split(" ")[1] for line in lines[2:]}
    assert codes >= {"0", "128", "132", "133", "134"}
    status, said = replayed(core, lines)
    assert status == 0, said


@given(profile=st.sampled_from(list(Profile)), frame_bytes=st.integers(20, 244), doings=DOINGS)
@settings(max_examples=60)
def test_whatever_happens_both_locks_do_the_same(
    core: Path, profile: Profile, frame_bytes: int, doings: list[tuple[str, int, bytes]]
) -> None:
    life = Life(profile, frame_bytes)
    life.bench.connect()
    life.tell_time(0, b"")
    for verb, one, data in doings:
        life.act(verb, one, data)
    lines = lines_of(life.bench, "life")[:-2]
    read = life.bench.lock.read(INFO).hex()
    status, said = replayed(core, [*lines, f"info {life.bench.lock.now_s} {read}", "end"])
    assert status == 0, said


def assert_replays(core: Path, bench: Bench) -> None:
    status, said = replayed(core, lines_of(bench, "told"))
    assert status == 0, said


@BOTH
@pytest.mark.parametrize("lost", [b"", b"\x00" * 1024], ids=["erased", "spoilt"])
def test_a_lock_that_lost_its_state_is_void_alike(
    core: Path, profile: Profile, lost: bytes
) -> None:
    bench = traced(profile)
    bench.tell_time()
    for slot in (0, 1):
        traced_lock(bench).spoil(Area.STATE, slot, lost.ljust(1024, b"\xff"))
    bench.lock.restart()
    assert bench.lock.state.durable.min_ctr == 2**32 - 1
    bench.connect()
    for act in (bench.tell_time, lambda: bench.unlock(bench.claims()), bench.rescue):
        with suppress(GrantRefusedError):
            act()
    bench.happens(EgressUsed())
    assert_replays(core, bench)


@BOTH
def test_a_clock_at_the_end_of_32_bits_and_a_log_with_a_gap_are_taken_alike(
    core: Path, profile: Profile
) -> None:
    bench = traced(profile)
    bench.tell_time(2**32 - 2)
    bench.pass_time(10)
    for number in range(600):
        bench.happens(Tampered(number % 2 == 0))
        if number % 300 == 299:
            state = bench.lock.state
            bench.send(client.ack_log(bench.hello(), state.seq, state.head)[1])
    traced_lock(bench).spoil(Area.LOG, 200, bytes(64))
    bench.lock.restart()
    assert len(bench.lock.state.log) < 450
    bench.connect()
    bench.send(client.get_log(bench.hello(), 1, 16)[1])
    assert_replays(core, bench)


@BOTH
def test_what_flash_does_not_take_is_not_opened_but_for_a_rescue(
    core: Path, profile: Profile
) -> None:
    for rescue, found in ((False, "found:  refuse 1 130"), (True, "found:  actuate 1")):
        bench = traced(profile)
        bench.tell_time()
        lines = lines_of(bench, "worn out")[:-2]
        before = len(traced_lock(bench).lines)
        if rescue:
            bench.rescue()
        else:
            bench.unlock(bench.claims())
        status, said = replayed(
            core, [*lines, "failing 1", *traced_lock(bench).lines[before:], "end"]
        )
        assert status == 1
        assert found in said
        assert ("found:  actuate 1" in said) is rescue


def test_the_bench_tells_what_a_verification_costs(tmp_path: Path) -> None:
    program = built("bench", tmp_path / "bench")
    done = subprocess.run(
        [program, "bench", FOLDER / "grants.txt", "20"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["rounds"] == 20
    assert told["profile_a_ns"] > 0
    assert told["profile_b_ns"] > 0
