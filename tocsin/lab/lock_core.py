"""What the lock's own C core takes to verify a grant on this machine, by its host program; the sources are part of a checkout only."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

import tocsin
from tocsin.lab.children import LabError

_LOCK = Path(tocsin.__file__).parent.parent / "firmware_bridges" / "lock"
_BUILD_S = 120.0


class CoreFigure(msgspec.Struct, frozen=True):
    """The fastest of ten batches; cycles are those of the time stamp counter, 0 where there is none.

    Profile A: two MACs, as for a lock without signatures. Profile B: one Ed25519 signature, by libsodium.
    """

    rounds: int
    grant_bytes: int
    profile_a_ns: float
    profile_a_cycles: float
    profile_b_ns: float
    profile_b_cycles: float


def measure_core(folder: Path, rounds: int) -> CoreFigure | None:
    """Build the host program and let it measure; None where the sources are not there.

    Raises:
        LabError: it does not build (gcc and libsodium are needed) or verifies wrongly.
    """
    build, grants = _LOCK / "c" / "build", _LOCK / "vectors" / "grants.txt"
    if not build.is_file() or not grants.is_file():
        return None
    program = folder / "lock_bench"
    _output(["sh", str(build), "bench", str(program)])
    told = _output([str(program), "bench", str(grants), str(max(1, rounds // 100))])
    return msgspec.json.decode(told, type=CoreFigure)


def _output(argv: list[str]) -> bytes:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_BUILD_S, check=False)
    except OSError as exc:
        raise LabError(f"the lock's C core: {exc}") from exc
    if done.returncode != 0:
        text = done.stderr.decode("utf-8", "replace")[-500:]
        raise LabError(
            f"the lock's C core: {text}", hint="apt-get install gcc libc6-dev libsodium-dev"
        )
    return done.stdout
