"""The newest small picture of each camera, for the wall of cameras: in memory alone, never on the disk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

MOST_BYTES = 16 << 20
"""Of all together: 256 of the largest, over a thousand usual ones."""


class Views:
    """One a camera. Beyond `most_bytes` the one that was kept longest ago goes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._sha256: OrderedDict[str, str] = OrderedDict()  # by camera, the oldest first
        self._data: dict[str, bytes] = {}  # two cameras may show the same

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._data

    def keep(self, camera: str, data: bytes) -> tuple[str, list[str]]:
        """Its SHA-256 in hex ("": larger than all together may be), and what is no longer here."""
        if len(data) > self._most_bytes:
            return "", []
        before = set(self._data)
        sha256 = hashlib.sha256(data).hexdigest()
        self._sha256.pop(camera, None)
        self._sha256[camera] = sha256
        self._data[sha256] = data
        self._drop_unnamed()
        while self._bytes > self._most_bytes:
            self._sha256.popitem(last=False)
            self._drop_unnamed()
        return sha256, sorted(before - set(self._data))

    def read(self, sha256: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """The size of one, and `length` bytes of it from `offset` on; None when it is not here (any more)."""
        data = self._data.get(sha256)
        return None if data is None else (len(data), data[offset : offset + length])

    def _drop_unnamed(self) -> None:
        named = set(self._sha256.values())
        self._data = {name: data for name, data in self._data.items() if name in named}
        self._bytes = sum(map(len, self._data.values()))
