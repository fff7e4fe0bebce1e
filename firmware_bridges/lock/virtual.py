"""A virtual lock: the state machine with flash in memory, a bolt that moves at once, and a door. What wrappers wrap.

lock = VirtualLock(identity, issuers, entropy=os.urandom, seconds=time.monotonic)
for out in lock.happens(Written(1, frame)): ...     # Refuse, Indicate, Notify, Drop, Advertise: the radio's part
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridges.lock import machine
from firmware_bridges.lock.gatt import INFO, encode_info
from firmware_bridges.lock.happenings import (
    Actuate,
    Area,
    BoltMoved,
    Effect,
    Happening,
    Store,
)
from firmware_bridges.lock.state import Identity, LockState, info
from firmware_bridges.lock.turn import FRESH_BYTES
from tocsin.grants.issuers import IssuerKeys


class VirtualLock:
    """One lock. `flash` outlives `restart`; `is_stuck` is a bolt that does not move."""

    def __init__(
        self,
        identity: Identity,
        issuers: IssuerKeys | None,
        *,
        entropy: Callable[[int], bytes],
        seconds: Callable[[], float],
        flash: dict[tuple[Area, int], bytes] | None = None,
    ) -> None:
        self.identity, self.issuers = identity, issuers
        self.flash: dict[tuple[Area, int], bytes] = {} if flash is None else flash
        self.is_stuck = False
        self._entropy, self._seconds = entropy, seconds
        self._started = seconds()
        self.state, effects = self._boot(is_unlocked=False, is_open=False)
        self.advertised = self._carried_out(effects)

    @property
    def now_s(self) -> int:
        """Whole seconds since the lock started."""
        return int(self._seconds() - self._started)

    def read(self, char_uuid: str) -> bytes:
        """A characteristic's value. Raises KeyError for one that cannot be read."""
        if char_uuid.lower() != INFO:
            raise KeyError(char_uuid)
        return encode_info(info(self.identity, self.state, self.now_s))

    def happens(self, happening: Happening) -> list[Effect]:
        """The radio's part of the effects, in order; flash and bolt are served here."""
        self.state, effects = machine.step(
            self.identity, self.state, happening, self.now_s, self._entropy(FRESH_BYTES)
        )
        return self._carried_out(effects)

    def restart(self) -> list[Effect]:
        """Power was away: what is not in flash is forgotten, bolt and door stay where they are."""
        self._started = self._seconds()
        self.state, effects = self._boot(
            is_unlocked=self.state.is_unlocked, is_open=self.state.is_open
        )
        return self._carried_out(effects)

    def write_flash(self, store: Store) -> None:
        """One write. A test of power cuts puts its own in its place."""
        self.flash[store.area, store.slot] = store.data

    def _boot(self, *, is_unlocked: bool, is_open: bool) -> tuple[LockState, tuple[Effect, ...]]:
        return machine.boot(
            self.identity,
            self.flash,
            self.issuers,
            is_unlocked=is_unlocked,
            is_open=is_open,
            fresh=self._entropy(FRESH_BYTES),
        )

    def _carried_out(self, effects: tuple[Effect, ...]) -> list[Effect]:
        radio: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Store):
                self.write_flash(effect)
            elif not isinstance(effect, Actuate):
                radio.append(effect)
            elif not self.is_stuck:
                radio += self.happens(BoltMoved(effect.to_unlocked))
        return radio
