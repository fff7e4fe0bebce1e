"""The folder of the outbox: may it be written, is there room, does it survive a power cut, is the file whole."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge.doctor.findings import Finding, fail, ok, warn
from edge.outbox.database import FILE

LEAST_FREE_BYTES = 32 << 20
SLOW_WRITE_S = 0.5
_VOLATILE = ("tmpfs", "ramfs")
_MB = 1 << 20


def look(data_dir: Path, max_bytes: int, *, agent_runs: bool) -> Iterator[Finding]:
    """Everything about the folder; writes one small file there and removes it."""
    place = _existing(data_dir)
    if place != data_dir:
        yield ok("folder", f"{data_dir} is not there yet; the agent makes it in {place}")
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        mend = f"mount -o remount,rw $(findmnt -no TARGET -T {place}); dmesg | tail tells why"
        yield fail("folder", f"{place} is mounted read-only", mend)
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield fail("folder", f"{place} cannot be written by this user", f"chown {_user()} {place}")
        return
    yield from _room(data_dir, place, max_bytes)
    yield from _write(place)
    kind = _filesystem(place)
    if kind in _VOLATILE:
        yield warn(
            "disk",
            f"{place} lies in memory ({kind}): a power cut loses what the cloud has not stored",
            "set gateway.data_dir to a folder on a disk",
        )
    if not agent_runs:
        yield from _whole(data_dir / "outbox" / FILE)


def _room(data_dir: Path, place: Path, max_bytes: int) -> Iterator[Finding]:
    stat = os.statvfs(place)
    free = stat.f_bavail * stat.f_frsize
    used = sum(f.stat().st_size for f in (data_dir / "outbox").glob("*") if f.is_file())
    text = f"{free // _MB} MB free under {place}; the outbox may grow to {max_bytes // _MB} MB"
    mend = f"free space: du -xh --max-depth=2 {place} | sort -h | tail"
    if free < LEAST_FREE_BYTES:
        yield fail("disk", text, mend)
    elif free < max_bytes - used:
        yield warn("disk", text, f"{mend}; or lower outbox.max_bytes")
    else:
        yield ok("disk", text)
    if stat.f_files and stat.f_favail < 100:
        yield fail("disk", f"no inodes are left under {place}", mend)


def _write(place: Path) -> Iterator[Finding]:
    probe = place / f".doctor-{os.getpid()}"
    began_s = time.monotonic()
    try:
        opened = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(opened, bytes(1 << 16))
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as exc:
        mend = "dmesg | tail shows what the disk says"
        if exc.errno == errno.ENOSPC:
            mend = f"free space: du -xh --max-depth=2 {place} | sort -h | tail"
        yield fail("disk", f"64 kB cannot be written under {place}: {exc.strerror}", mend)
        return
    finally:
        probe.unlink(missing_ok=True)
    took_s = time.monotonic() - began_s
    if took_s > SLOW_WRITE_S:
        text = f"64 kB took {took_s:.1f} s to be durable"
        yield warn("disk", text, "is the card worn out? dmesg | tail; smartctl -a")
    else:
        yield ok("disk", f"64 kB durable in {took_s * 1000:.0f} ms")


def _whole(file: Path) -> Iterator[Finding]:
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as base:
            told = base.execute("PRAGMA quick_check(1)").fetchone()[0]
            rows = base.execute("SELECT coalesce(sum(rows), 0) FROM chunk").fetchone()[0]
    except sqlite3.Error as exc:
        told, rows = str(exc), 0
    if told == "ok":
        yield ok("outbox", f"{file} is whole; it holds {rows} rows")
    else:
        text = f"{file} is damaged: {told}"
        yield fail(
            "outbox", text, "start the agent: it salvages what can be read and says what not"
        )


def last_wall_ns(data_dir: Path) -> int:
    """The wall clock at the outbox's last commit; 0 if there is none."""
    file = data_dir / "outbox" / FILE
    if not file.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as base:
            found = base.execute("SELECT max(wall_ns) FROM stream").fetchone()[0]
    except sqlite3.Error:
        return 0
    return int(found or 0)


def _existing(path: Path) -> Path:
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _filesystem(place: Path) -> str:
    """The type of the file system that holds `place` (proc(5), mountinfo)."""
    best, kind = -1, ""
    real = place.resolve()
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode().decode("unicode_escape"))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind
