"""Whether a camera writes all of its JPEGs wrong, so that those whose picture is whole had better be taken: decided over several openings of its source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from edge.vision.sources.damage import Damage

OPENINGS = 3


@dataclass(frozen=True, slots=True)
class Leniency:
    """What is known of one camera. Each method is something that happens and gives what is known then.

    After `OPENINGS` in a row in which nothing came but whole pictures that are wrong in one way, those are `taken`. A picture that is as it
    should be ends that for good: the camera can, so what is wrong is damage.
    """

    taken: Damage | None = None
    can: bool = False
    _habit: Damage | None = None
    _openings: int = 0  # in a row with nothing but `_habit`
    _now: Damage | None = None  # since the last opening
    _mixed: bool = False

    def opened(self) -> Self:
        """A new opening, which ends the one before."""
        if self.can or (self._now is None and not self._mixed):
            return self  # without a picture it tells nothing
        if self._mixed:
            return replace(self, _habit=None, _openings=0, _now=None, _mixed=False)
        openings = self._openings + 1 if self._now is self._habit else 1
        taken = self._now if openings >= OPENINGS else self.taken
        return replace(self, taken=taken, _habit=self._now, _openings=openings, _now=None)

    def suspect(self, damage: Damage) -> Self:
        """A whole picture came that is wrong in this way."""
        if self.can or self._mixed or damage is self._now:
            return self
        if self._now is None:
            return replace(self, _now=damage)
        return replace(self, _mixed=True)

    def refused(self) -> Self:
        """A picture came that is not whole."""
        return self if self.can or self._mixed else replace(self, _mixed=True)

    def whole(self) -> Self:
        """A picture came that is as it should be."""
        return self if self.can else type(self)(can=True)
