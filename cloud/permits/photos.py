"""Pictures that belong to permits: kept once by their hash, bounded on disk, never served as anything but a picture."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.db import read
from cloud.permits.tables import permit_photos
from tocsin.errors import BadRequestError, FolderError, NotFoundError
from tocsin.sdk import Clock

MAX_PHOTO_BYTES = 4 << 20
MAX_A_DAY = 100  # new pictures of one person
DAY_NS = 24 * 3600 * 10**9
_MAGIC = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"))


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture. `type` is jpeg, png or webp."""

    sha256: str
    site: str
    type: str
    bytes: int
    taken_by: str
    received_ns: int


class Photos:
    """A folder of pictures, and their rows. Beyond `max_bytes` a new one is refused: an old one may be evidence."""

    def __init__(self, engine: Engine, clock: Clock, folder: Path, max_bytes: int) -> None:
        self._engine, self._clock = engine, clock
        self._folder, self._max_bytes = folder, max_bytes

    def keep(self, site: str, data: bytes, by: str) -> Photo:
        """On disk before this returns; the same picture again changes nothing but how long it waits to be named.

        Raises:
            BadRequestError: no picture, too large, or no room for it.
            FolderError: the folder cannot be written.
        """
        if len(data) > MAX_PHOTO_BYTES:
            raise BadRequestError(
                f"a picture of {len(data)} bytes, at most {MAX_PHOTO_BYTES}",
                hint="the page makes pictures smaller; take it there",
            )
        kind = _type_of(data)
        if kind is None:
            raise BadRequestError("this is no JPEG, PNG or WebP picture")
        name = hashlib.sha256(data).hexdigest()
        photo = Photo(name, site, kind, len(data), by, self._clock.now_ns())
        with read(self._engine) as c:
            used = c.scalar(select(func.sum(permit_photos.c.bytes))) or 0
            there = self._find(name, site)
            since = permit_photos.c.received_ns > photo.received_ns - DAY_NS
            mine = select(func.count()).where(permit_photos.c.taken_by == by, since)
            sent = c.scalar(mine) or 0
        if there is not None and self._path(name).exists():
            return self._wanted_again(there)
        if there is None and sent >= MAX_A_DAY:
            raise BadRequestError(
                f"{by} has sent {sent} pictures in a day, the most that one person may",
                hint="somebody else of the crew takes the next one",
            )
        if used + len(data) > self._max_bytes:
            raise BadRequestError(
                f"{used} of {self._max_bytes} bytes for pictures are used",
                hint="raise permits.photo_bytes in cloud.toml",
            )
        self._write(name, data)
        if there is not None:
            return there
        try:
            with self._engine.begin() as c:
                c.execute(
                    insert(permit_photos).values({n: getattr(photo, n) for n in Photo.__slots__})
                )
        except IntegrityError:  # the same one came twice at once
            return self.get(name, site)
        if not self._path(name).exists():  # it was dropped as nobody's in between
            self._write(name, data)
        return photo

    def _wanted_again(self, photo: Photo) -> Photo:
        """One that lies here for long and nobody may have named: its time begins anew."""
        now_ns = self._clock.now_ns()
        if now_ns - photo.received_ns < DAY_NS:
            return photo
        at = permit_photos.c
        with self._engine.begin() as c:
            here = (at.sha256 == photo.sha256, at.site == photo.site)
            c.execute(update(permit_photos).where(*here).values(received_ns=now_ns))
        return replace(photo, received_ns=now_ns)

    def forget(self, sha256: str) -> None:
        """Its file goes; the row went before."""
        self._path(sha256).unlink(missing_ok=True)

    def get(self, sha256: str, site: str) -> Photo:
        """What is known of one.

        Raises:
            NotFoundError: it was not taken at this site.
        """
        found = self._find(sha256, site)
        if found is None:
            raise NotFoundError(f"there is no picture {sha256!r}")
        return found

    def read(self, sha256: str) -> bytes:
        """Its bytes.

        Raises:
            NotFoundError: the file is gone.
        """
        try:
            return self._path(sha256).read_bytes()
        except OSError as exc:
            raise NotFoundError(f"picture {sha256} cannot be read: {exc.strerror}") from exc

    def _find(self, sha256: str, site: str) -> Photo | None:
        there = (permit_photos.c.sha256 == sha256, permit_photos.c.site == site)
        with read(self._engine) as c:
            row = c.execute(select(permit_photos).where(*there)).mappings().first()
        return None if row is None else Photo(**{n: row[n] for n in Photo.__slots__})

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        draft = path.with_name(f"{name}.{secrets.token_hex(4)}.part")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            draft.replace(path)
        except OSError as exc:
            draft.unlink(missing_ok=True)
            raise FolderError(f"the picture cannot be kept: {exc.strerror}") from exc


def is_taken(c: Connection, sha256: str, site: str) -> bool:
    """Whether there is such a picture at the site."""
    there = (permit_photos.c.sha256 == sha256, permit_photos.c.site == site)
    return c.scalar(select(func.count()).select_from(permit_photos).where(*there)) == 1


def _type_of(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
