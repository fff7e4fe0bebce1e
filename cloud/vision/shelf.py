"""Pictures and clips on the cloud's disk: put together from parts, believed when the hash of the whole fits."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from tocsin.errors import FolderError, NotFoundError

_log = logging.getLogger("cloud.vision")


class WrongHashError(Exception):
    """The whole is not what its name says; it is gone again."""


class Shelf:
    """Files in `folder`, named by their SHA-256. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._drafts = folder, folder / "parts"
        self._said = False  # that something cannot be dropped

    def have(self, sha256: str) -> int:
        """Bytes of an unfinished one, from its beginning."""
        try:
            return (self._drafts / sha256).stat().st_size
        except OSError:
            return 0

    def take(self, sha256: str, offset: int, size: int, data: bytes) -> int:
        """Add a part; how many bytes there are now. A part beyond a hole changes nothing.

        Raises:
            WrongHashError: it was the last one, and the whole is another.
            FolderError: the disk refuses.
        """
        draft = self._drafts / sha256
        try:
            self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                have = file.seek(0, os.SEEK_END)
                if offset > have:
                    return have
                file.seek(offset)
                file.write(data)
                file.truncate()
                have = file.tell()
        except OSError as exc:
            raise self._refused(exc) from exc
        if have >= size:
            self.finish(sha256)
        return have

    def finish(self, sha256: str) -> None:
        """Put a draft that has all its bytes in its place.

        Raises:
            WrongHashError: the whole is another.
            FolderError: the disk refuses; the draft stays, and this may be tried again.
        """
        draft = self._drafts / sha256
        try:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
                fits = hashlib.file_digest(file, "sha256").hexdigest() == sha256
            if not fits:
                draft.unlink()
                raise WrongHashError
            place = self.path(sha256)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.replace(place)
        except OSError as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: OSError) -> FolderError:
        return FolderError(f"pictures cannot be kept in {self._folder}: {exc.strerror}")

    def path(self, sha256: str) -> Path:
        """Where a whole one lies."""
        return self._folder / sha256[:2] / sha256

    def read(self, sha256: str) -> bytes:
        """A whole one.

        Raises:
            NotFoundError: it is not here (any more).
        """
        return read_whole(self.path(sha256))

    def drop(self, sha256: str) -> bool:
        """Forget one, whole or not; False when the disk refuses, which is said once until it takes it again."""
        return self._dropped(self.path(sha256)) and self.drop_draft(sha256)

    def drop_draft(self, sha256: str) -> bool:
        """Forget what is there of one that is not whole; False as above."""
        return self._dropped(self._drafts / sha256)

    def _dropped(self, path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            if not self._said:
                _log.warning("picture %s cannot be dropped: %s", path.name, exc.strerror)
            self._said = True
            return False
        self._said = False
        return True

    def drafts(self) -> dict[str, int]:
        """What is not whole, and when its last part came: Unix ns."""
        found = {}
        with suppress(OSError):  # there are none, or the disk is away: later
            for path in self._drafts.iterdir():
                found[path.name] = path.stat().st_mtime_ns
        return found


def read_whole(path: Path) -> bytes:
    """A whole one, by where it lies.

    Raises:
        NotFoundError: it is not here (any more).
    """
    try:
        return path.read_bytes()
    except OSError as exc:
        raise NotFoundError(f"picture {path.name} cannot be read: {exc.strerror}") from exc
