"""A folder of pictures, in the order of their names, as a camera."""

from __future__ import annotations

import re
from pathlib import Path

from edge.vision.sources.pacing import Pacing
from edge.vision.sources.picture_file import MAX_PIXELS, SUFFIXES, decode_file, read_file
from edge.vision.sources.source import Raw, Reject
from tocsin.errors import DriverReason, LinkError

# A number, the fraction of a Unix time (1764237600.25 comes before .5), or any other character.
_PART = re.compile(r"(?<=[0-9]{9}\.)[0-9]|([0-9]+)|.", re.DOTALL)


def in_order(name: str) -> tuple[list[tuple[int, int]], str]:
    """The key that sorts names as people count: frame2 before frame10. Where numbers are as long as one another it is the plain order."""
    parts = [(ord("0"), int(p[1])) if p[1] else (ord(p[0]), 0) for p in _PART.finditer(name)]
    return parts, name


class FolderSource:
    """8-bit pictures, or 16-bit thermal ones (PNG, TIFF). `pacing` None: as fast as they are looked at."""

    def __init__(
        self,
        folder: Path,
        *,
        pacing: Pacing | None = None,
        repeat: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.live = pacing is not None
        self._folder, self._pacing = folder, pacing
        self._repeat, self._max_pixels = repeat, max_pixels
        self._files: list[Path] = []
        self._at = -1

    def __len__(self) -> int:
        return len(self._files)

    @property
    def file(self) -> Path:
        """Of the last `grab`."""
        return self._files[self._at]

    def open(self) -> None:
        """Reads the names; later files are not seen before it is opened again.

        Raises:
            LinkError: no such folder, or no picture in it.
        """
        try:
            found = [f for f in self._folder.iterdir() if _is_picture(f)]
        except OSError as exc:
            raise LinkError(DriverReason.NO_PORT, f"{self._folder}: {exc.strerror or exc}") from exc
        if not found:
            kinds = ", ".join(sorted(SUFFIXES))
            raise LinkError(
                DriverReason.BAD_FILE, f"{self._folder}: no picture in it", hint=f"one of {kinds}"
            )
        self._files, self._at = sorted(found, key=lambda f: in_order(f.name)), -1
        if self._pacing is not None:
            self._pacing.start()

    def grab(self) -> bool:
        """The next file's turn; nothing is read yet."""
        due = 1 if self._pacing is None else self._pacing.next()
        if due == 0:
            return False
        self._at += due
        if self._at < len(self._files):
            return True
        if self._repeat:
            self._at %= len(self._files)
        return self._repeat

    def retrieve(self) -> Raw | Reject:
        """Reads and unpacks the file."""
        data = read_file(self.file)
        return data if isinstance(data, Reject) else decode_file(data, self._max_pixels)

    def close(self) -> None:
        """Nothing is held."""


def _is_picture(file: Path) -> bool:
    """By its name; macOS lays a hidden `._name` beside each file on foreign disks."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
