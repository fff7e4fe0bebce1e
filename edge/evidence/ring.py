"""Evidence on the gateway's disk: files named by their SHA-256, the oldest go when there is no room."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path

from edge.durable import DRAFT, write_durably
from tocsin.errors import EvidenceError

_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_REFUSALS = 16  # files that a disk does not remove, for one new one
_DRAFT = re.compile(_HASH.pattern + re.escape(DRAFT))


class EvidenceRing:
    """Bounded in bytes; opened at its first use. Every call may block for the disk: use a thread. Safe from several threads.

    What else lies in the folder (`lost+found`, a note) is nobody's business here: never counted, never removed.
    """

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self._folder, self._cap = folder, cap_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()  # the oldest first
        self._lock = threading.Lock()
        self._opened = False
        self._newest_ns = 0  # time of change of the newest file
        self.bytes = 0
        self.counters: Counter[str] = Counter()

    def keep(self, data: bytes) -> str:
        """On the disk when it returns; its SHA-256 in hex.

        Raises:
            EvidenceError: it is larger than the ring, the disk refuses, or there is no room and nothing can be removed. Nothing else is harmed.
        """
        name = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._open()
            if name in self._sizes:
                return name
            if len(data) > self._cap:
                self.counters["too_large"] += 1
                raise EvidenceError(
                    f"{len(data)} bytes, and the ring holds {self._cap}",
                    hint="raise evidence.max_bytes, or make the pictures smaller",
                )
            self._make_room(len(data))
            if self.bytes + len(data) > self._cap:
                self.counters["refused"] += 1
                raise EvidenceError(
                    f"{self._folder} is full, and old pictures there cannot be removed",
                    hint="mount the disk writable, and give the files there to the user of the gateway",
                )
            try:
                write_durably(self._folder / name, data)
            except OSError as exc:
                self.counters["refused"] += 1
                raise EvidenceError(f"{self._folder}: {exc.strerror}") from exc
            self._make_newest(self._folder / name)
            self._sizes[name] = len(data)
            self.bytes += len(data)
            self.counters["kept"] += 1
            return name

    def read(self, sha256: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """The size of a picture and `length` bytes of it from `offset` on; None when it is not kept (any more).

        Raises:
            EvidenceError: the disk cannot tell now; it may be there.
        """
        if not _HASH.fullmatch(sha256):
            return None
        with self._lock:
            try:
                self._open()
                with (self._folder / sha256).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    file.seek(offset)
                    return size, file.read(length)
            except FileNotFoundError as exc:
                if self._folder.is_dir():
                    self._forget(sha256)
                    return None
                self.counters["unreadable"] += 1
                raise EvidenceError(f"{self._folder} is not there") from exc
            except OSError as exc:
                self.counters["unreadable"] += 1
                raise EvidenceError(f"{self._folder}: {exc.strerror}") from exc

    def _open(self) -> None:
        """Take up what the last run left; half-written files go."""
        if self._opened:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = []
            with os.scandir(self._folder) as inside:
                for entry in inside:
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    if _HASH.fullmatch(entry.name):
                        told = entry.stat(follow_symlinks=False)
                        found.append((told.st_mtime_ns, entry.name, told.st_size))
                    elif _DRAFT.fullmatch(entry.name):
                        with suppress(OSError):
                            os.unlink(entry)  # noqa: PTH108
        except OSError as exc:
            raise EvidenceError(f"{self._folder}: {exc.strerror}") from exc
        self._opened = True
        self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
        self._newest_ns = max((ns for ns, _, _ in found), default=0)
        self.bytes = sum(self._sizes.values())
        self._make_room(0)

    def _make_newest(self, path: Path) -> None:
        """The next start tells by its time that it is, also where the clock stood in the past meanwhile."""
        with suppress(OSError):
            told_ns = path.stat().st_mtime_ns
            self._newest_ns = max(told_ns, self._newest_ns + 1)
            if told_ns < self._newest_ns:
                os.utime(path, ns=(self._newest_ns, self._newest_ns))

    def _make_room(self, wanted: int) -> None:
        """What cannot be removed still counts, and has its turn again after all others."""
        refusals = 0
        while self._sizes and self.bytes + wanted > self._cap and refusals < _MOST_REFUSALS:
            oldest = next(iter(self._sizes))
            try:
                os.unlink(self._folder / oldest)  # noqa: PTH108
            except FileNotFoundError:
                self._forget(oldest)
            except OSError:
                self.counters["not_removed"] += 1
                refusals += 1
                self._sizes.move_to_end(oldest)
            else:
                self._forget(oldest)
                self.counters["evicted"] += 1

    def _forget(self, name: str) -> None:
        self.bytes -= self._sizes.pop(name, 0)
