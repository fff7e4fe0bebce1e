"""What is known live at a space, from this gateway's own readings. Ages are monotonic: a clock that jumps makes nothing old or young."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from edge.locks.interface import LockNews
from edge.permits.options import SpaceConfig
from tocsin.contract.columns import Row
from tocsin.contract.messages import AttendantSigns
from tocsin.grants.lock_log import LockEventKind
from tocsin.permits.context import Conditions, Reading
from tocsin.permits.signs import seen_ns
from tocsin.sdk import Clock, Sample

_FORCED = frozenset({LockEventKind.FORCED, LockEventKind.TAMPER})


class _Value(msgspec.Struct):
    value: float
    unit: str
    good: bool
    mono_ns: int
    late_ns: int  # how old it was when it came


class Watch:
    """The newest values, signs of attendants, and what locks told. `units` gives the canonical units of a device's quantities, `used_s` is `Grace`'s."""

    def __init__(
        self, clock: Clock, units: Callable[[str], Sequence[str]], used_s: float = 0.0
    ) -> None:
        self._clock, self._units = clock, units
        self._values: dict[tuple[str, str], _Value] = {}
        self._signs: dict[str, int] = {}  # permit -> monotonic, seen here
        self._told: dict[str, int] = {}  # the same, seen by the cloud
        self._clouds = (0, 0)  # (its clock, monotonic) of the newest word on signs
        self._tampered: set[str] = set()
        self._cloud_heard_ns = clock.mono_ns()
        self._began_ns = self._cloud_heard_ns - int(used_s * 1e9)
        self.siren_ok: dict[str, bool] = {}  # by space
        self.cloud_ok: Callable[[], bool] = lambda: False

    def stored(self, row: Row) -> None:
        """A judged row."""
        mono_ns = self._clock.mono_ns()
        late_ns = max(0, self._clock.now_ns() - row.time_ns)
        device = row.layout.device
        quality = row.quality or (0,) * len(row.values)
        columns = zip(row.layout.quantities, row.values, self._units(device), quality, strict=True)
        for quantity, value, unit, q in columns:
            if isinstance(value, int | float):
                told = _Value(float(value), unit, q == 0, mono_ns, late_ns)
                self._values[device, quantity] = told

    def sampled(self, sample: Sample) -> None:
        """The device answered: what did not move enough to be stored anew is as young as this."""
        mono_ns = self._clock.mono_ns()
        late_ns = max(0, self._clock.now_ns() - sample.ts_ns)
        for channel, value in zip(sample.spec.channels, sample.values, strict=True):
            known = self._values.get((sample.spec.id, channel.quantity))
            if known is not None and value is not None:
                known.mono_ns, known.late_ns = mono_ns, late_ns

    def sign(self, permit: str) -> None:
        """Its attendant is there."""
        self._signs[permit] = self._clock.mono_ns()

    def sign_age_s(self, permit: str) -> float | None:
        """Seconds since the attendant's last sign, here or at the cloud's pages."""
        at_ns = self._sign_ns(permit)
        return (self._clock.mono_ns() - at_ns) / 1e9 if at_ns else None

    def signs(self, permits: Iterable[str]) -> AttendantSigns:
        """Those seen here, for the cloud."""
        mono_ns, (cloud_ns, heard_ns) = self._clock.mono_ns(), self._clouds
        ages_s = {p: (mono_ns - self._signs[p]) / 1e9 for p in permits if p in self._signs}
        held_s = (mono_ns - heard_ns) / 1e9 if cloud_ns else 0.0
        return AttendantSigns(mono_ns, cloud_ns, held_s, ages_s)

    def cloud_signs(self, told: AttendantSigns, permits: Container[str]) -> None:
        """Those that the cloud saw."""
        mono_ns = self._clock.mono_ns()
        self._clouds = (told.at_ns, mono_ns)
        for permit, at_ns in seen_ns(told, self._began_ns, mono_ns).items():
            if permit in permits:
                self._told[permit] = max(at_ns, self._told.get(permit, 0))

    def forget(self, permit: str) -> None:
        """It is not watched any more."""
        self._signs.pop(permit, None)
        self._told.pop(permit, None)

    def _sign_ns(self, permit: str) -> int:
        return max(self._signs.get(permit, 0), self._told.get(permit, 0))

    def lock_told(self, news: LockNews) -> None:
        """Tampering lasts until the lock says that it has ended."""
        if news.state.tamper or news.kind == LockEventKind.FORCED:
            self._tampered.add(news.lock)
        elif news.state.tamper is False and news.state.door_open is False:
            self._tampered.discard(news.lock)

    @property
    def up_s(self) -> float:
        """Seconds since it began to watch, in this run or in earlier ones that were cut short."""
        return (self._clock.mono_ns() - self._began_ns) / 1e9

    def conditions(
        self,
        permit: str,
        space: SpaceConfig,
        now_ns: int,
        *,
        since_ns: int,
        watches_attendant: bool,
    ) -> Conditions:
        """Everything about one space, as of `now_ns`. A sign of the attendant is wanted from `since_ns` on, when the permit came to its state.

        Without a page, and with a cloud that tells of no signs, silence counts from when the cloud was heard last.
        """
        mono_ns = self._clock.mono_ns()
        fan_device, _, fan_quantity = (space.ventilation or "").partition("/")
        fan = self._values.get((fan_device, fan_quantity))
        cloud_ok = self.cloud_ok()
        if cloud_ok:
            self._cloud_heard_ns = mono_ns
        sees = watches_attendant or self._clouds[0]
        heard_ns = max(self._sign_ns(permit), self._began_ns if sees else self._cloud_heard_ns)
        attendant = max(now_ns - (mono_ns - heard_ns), min(since_ns, now_ns))
        return Conditions(
            readings=tuple(
                Reading(
                    device,
                    quantity,
                    v.value,
                    v.unit,
                    now_ns - (mono_ns - v.mono_ns) - v.late_ns,
                    v.good,
                )
                for (device, quantity), v in self._values.items()
                if device in space.gas
            ),
            ventilating=bool(fan.value) if fan and fan.good else None,
            ventilating_ns=now_ns - (mono_ns - fan.mono_ns) - fan.late_ns if fan else 0,
            attendant_ns=attendant,
            tampered=tuple(lock for lock in space.locks if lock in self._tampered),
            siren_ok=self.siren_ok.get(space.id),
            cloud_ok=cloud_ok,
        )
