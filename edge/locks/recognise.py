"""Whose advertisement is this? By the lock's advertising key, else by its address. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from edge.locks.dialogue import LockIdentity
from firmware_bridges.lock.gatt import Advert, is_advert_of, read_advert

_REMEMBERED = 1024  # advertisements; a lock changes its own every 15 min and at each change


class Recogniser:
    """`locks` by device id. An advertisement is compared with every key once, then remembered."""

    def __init__(self, locks: Mapping[str, LockIdentity]) -> None:
        self._locks = locks
        self._by_address = {lock.address: name for name, lock in locks.items() if lock.address}
        self._known: OrderedDict[bytes, str] = OrderedDict()

    def whose(self, address: str, makers: Sequence[bytes]) -> tuple[str, Advert | None]:
        """The device id ("" for none of ours) and what it says of its state, which nobody vouches for."""
        for data in makers:
            advert = read_advert(data)
            if advert is None:
                continue
            name = self._whose_advert(advert) or self._by_address.get(address, "")
            return name, advert
        return self._by_address.get(address, ""), None

    def _whose_advert(self, advert: Advert) -> str:
        key = advert.random + advert.hint
        if key in self._known:
            return self._known[key]
        name = next(
            (
                name
                for name, lock in self._locks.items()
                if lock.advert_key is not None and is_advert_of(advert, lock.advert_key)
            ),
            "",
        )
        self._known[key] = name
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return name
