"""What a device has already told and is durable, so that what it sends again is stored once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Remembered:
    """The last keys, bounded; the oldest are forgotten first."""

    def __init__(self, most: int = 1024) -> None:
        self._most = most
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, key: Hashable) -> None:
        """To be called once what `key` stands for is durable."""
        self._keys[key] = None
        while len(self._keys) > self._most:
            self._keys.popitem(last=False)
