"""One sample in; rows and alarm transitions out. No I/O and no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from edge.pipeline.alarms import NewId, Site
from edge.pipeline.board import AlarmBoard
from edge.pipeline.convert import Converter, all_finite
from edge.pipeline.deadband import Deadband
from edge.pipeline.quality import Checker
from edge.pipeline.rules import AlarmRule, CheckRule, VehicleRule
from edge.pipeline.stamps import ClockStep, Epochs, Stamps
from edge.pipeline.vehicle import VehicleJudge
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.ids import ulid
from tocsin.contract.quality import Quality, worst
from tocsin.sdk.samples import DeviceSpec, Sample

_R = TypeVar("_R", CheckRule, AlarmRule)


class Output(msgspec.Struct, frozen=True, gc=False):
    """What one sample became. `suppressed` counts readings (values that are there) left out by the dead-band.

    Unless `stamped`, the rows' times are monotonic: the clock was not set; `Pipeline.stamp` places them later.
    """

    rows: list[Row]
    alarms: list[AlarmDraft]
    suppressed: int = 0
    stamped: bool = True


class Pipeline:
    """The devices of one gateway. A sample before `earliest_ns` was taken before the clock was set.

    `epoch` and `last_wall_ns` say where an earlier run saw the clock last.

    Raises:
        ValueError: two devices of one name, a rule for something that is not there, or a unit that does not convert.
    """

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        checks: Sequence[CheckRule] = (),
        alarms: Sequence[AlarmRule] = (),
        *,
        vehicle: VehicleRule | None = None,
        new_id: NewId = ulid,
        earliest_ns: int = 0,
        epoch: int = 0,
        last_wall_ns: int = 0,
    ) -> None:
        self.board = AlarmBoard((), new_id)
        self.epochs = Epochs(epoch, last_wall_ns)
        self._earliest_ns, self._last_wall_ns = earliest_ns, last_wall_ns
        self._devices: dict[str, DeviceJudge] = {}
        self.replace(specs, checks, alarms, vehicle=vehicle)

    def replace(
        self,
        specs: Sequence[DeviceSpec],
        checks: Sequence[CheckRule] = (),
        alarms: Sequence[AlarmRule] = (),
        *,
        vehicle: VehicleRule | None = None,
    ) -> None:
        """Judge by these from now on. A device whose rules stay keeps its judge; alarms keep their states.

        Raises:
            ValueError: as the constructor; nothing has changed then.
        """
        known_as = {name: judge.rules.spec for name, judge in self._devices.items()}
        converters = {
            spec.id: self._devices[spec.id].converter
            if known_as.get(spec.id) == spec
            else Converter(spec)
            for spec in specs
        }
        if len(converters) != len(specs):
            raise ValueError("two devices have the same id")
        wanted = [(r.device, r.quantity) for r in checks] + [(r.device, r.quantity) for r in alarms]
        for device, quantity in wanted:
            known = converters.get(device)
            if known is None or quantity not in known.layout.quantities:
                raise ValueError(f"no device gives {device} {quantity}")
        self.board.replace(
            [(rule, _site(converters[rule.device], rule.quantity)) for rule in alarms]
        )
        checks_of, alarms_of = _by_device(checks), _by_device(alarms)
        found: dict[str, DeviceJudge] = {}
        for spec in specs:
            rules = Rules(
                spec,
                tuple(checks_of.get(spec.id, ())),
                tuple(alarms_of.get(spec.id, ())),
                vehicle or VehicleRule(),
            )
            before = self._devices.get(spec.id)
            if before is None or before.rules != rules:
                judge = DeviceJudge(
                    rules, converters[spec.id], self.board, self._earliest_ns, self._last_wall_ns
                )
                if before is not None:
                    judge.follow(before)
                before = judge
            found[spec.id] = before
        self._devices = found

    def judge(self, device: str) -> DeviceJudge:
        """Who judges the samples of a device now.

        Raises:
            KeyError: no device of this id was announced.
        """
        return self._devices[device]

    def process(self, sample: Sample, mono_ns: int) -> Output:
        """Convert and judge one sample; `mono_ns` is when it arrived.

        Raises:
            KeyError: no device of this id was announced.
        """
        return self._devices[sample.spec.id].process(sample, mono_ns)

    def stamp(self, row: Row, at_ns: int) -> Row:
        """A row that waited for the time, which was `at_ns` when it was taken."""
        device = self._devices.get(row.layout.device)  # None: it left the configuration meanwhile
        return device.stamp(row, at_ns) if device else msgspec.structs.replace(row, time_ns=at_ns)

    def observe_clock(self, wall_ns: int, mono_ns: int) -> ClockStep | None:
        """Call it regularly with both clocks read together; says when the wall clock went back."""
        return self.epochs.observe(wall_ns, mono_ns)


def _by_device(rules: Iterable[_R]) -> dict[str, list[_R]]:
    found: dict[str, list[_R]] = {}
    for rule in rules:
        found.setdefault(rule.device, []).append(rule)
    return found


def _site(converter: Converter, quantity: str) -> Site:
    layout = converter.layout
    return Site(layout.measurement, converter.units[layout.quantities.index(quantity)])


class Rules(msgspec.Struct, frozen=True):
    """A device and all it is judged by."""

    spec: DeviceSpec
    checks: tuple[CheckRule, ...]
    alarms: tuple[AlarmRule, ...]
    vehicle: VehicleRule


class DeviceJudge:
    """Judges the samples of one device, in their order."""

    __slots__ = (
        "_alarms",
        "_board",
        "_checkers",
        "_deadband",
        "_earliest_ns",
        "_plain",
        "_stamps",
        "_vehicle",
        "converter",
        "layout",
        "rules",
        "units",
    )

    def __init__(
        self,
        rules: Rules,
        converter: Converter,
        board: AlarmBoard,
        earliest_ns: int,
        last_wall_ns: int,
    ) -> None:
        self.rules = rules
        spec, checks, alarms = rules.spec, rules.checks, rules.alarms
        layout = converter.layout
        index = layout.quantities.index
        self.layout, self.units = layout, converter.units
        self.converter, self._board = converter, board
        self._stamps = Stamps(spec.window, last_wall_ns or None)
        self._earliest_ns = earliest_ns
        self._checkers = [Checker(index(rule.quantity), rule) for rule in checks]
        self._alarms = [(rule.key, index(rule.quantity)) for rule in alarms]
        banded = any(rule.deadband is not None for rule in checks)
        self._deadband = Deadband(layout, checks) if banded else None
        positions = spec.measurement == "vehicle" and {"lat", "lon"} <= set(layout.quantities)
        self._vehicle = VehicleJudge(layout, rules.vehicle) if positions else None
        self._plain = converter.is_identity and not (checks or alarms or positions)

    def follow(self, before: DeviceJudge) -> None:
        """Go on where the device's former judge ends: its stamps, and what rules that stay know of earlier values."""
        self._stamps.follow(before._stamps)
        if self.layout != before.layout:
            return
        known = {checker.rule: checker for checker in before._checkers}
        self._checkers = [known.get(checker.rule, checker) for checker in self._checkers]
        if self.rules.checks == before.rules.checks:
            self._deadband = before._deadband
        if self.rules.vehicle == before.rules.vehicle:
            self._vehicle = before._vehicle

    def stamp(self, row: Row, at_ns: int) -> Row:
        """Place a row whose time was not known."""
        time_ns, _ = self._stamps.place(at_ns, row.source_ns)
        return msgspec.structs.replace(row, time_ns=time_ns)

    def process(self, sample: Sample, mono_ns: int) -> Output:
        if sample.ts_ns < self._earliest_ns:
            return self._judge(sample, mono_ns, mono_ns, believed=False, stamped=False)
        source_ns = sample.source_ns
        time_ns, believed = self._stamps.place(sample.ts_ns, source_ns)
        timed = believed or source_ns is None
        if self._plain and timed and sample.quality is None and all_finite(sample.values):
            return Output([Row(self.layout, time_ns, sample.values, None, source_ns)], [])
        return self._judge(sample, time_ns, mono_ns, believed=believed)

    def _judge(
        self, sample: Sample, time_ns: int, mono_ns: int, *, believed: bool, stamped: bool = True
    ) -> Output:
        source_ns = sample.source_ns
        axis_ns = source_ns if believed and source_ns is not None else mono_ns
        quality = [0] * len(sample.values) if sample.quality is None else list(sample.quality)
        values, raw = self.converter.apply(sample.values, quality)
        for checker in self._checkers:
            i = checker.index
            quality[i] = checker.judge(
                values[i],
                quality[i],
                axis_ns=axis_ns,
                source_ns=source_ns,
                mono_ns=mono_ns,
                from_source=believed,
            )
        if self._vehicle is not None:
            self._vehicle.judge(values, quality, axis_ns, from_source=believed)
        if not stamped or (source_ns is not None and not believed):
            doubt = Quality.SOURCE_TIME if stamped else Quality.CLOCK_UNSET
            for i, value in enumerate(values):
                if value is not None:
                    quality[i] = worst(quality[i], doubt)
        marked = any(quality)
        if not marked and all(value is None for value in values):
            return Output([], [])
        row = Row(
            self.layout,
            time_ns,
            tuple(values),
            tuple(quality) if marked else None,
            source_ns,
            raw,
        )
        said_ns = time_ns if stamped else sample.ts_ns
        drafts, near = self._alarm(values, quality, said_ns, mono_ns)
        if self._deadband is not None:
            if near:
                self._deadband.stored(row, axis_ns)
            elif self._deadband.suppresses(row, axis_ns):
                return Output([], drafts, sum(value is not None for value in values))
        return Output([row], drafts, stamped=stamped)

    def _alarm(
        self, values: list[Value], quality: list[int], time_ns: int, mono_ns: int
    ) -> tuple[list[AlarmDraft], bool]:
        drafts: list[AlarmDraft] = []
        near = False
        board = self._board
        for key, i in self._alarms:
            value = values[i]
            number = float(value) if isinstance(value, int | float) else None
            draft = board.observe(key, number, quality[i], t_ns=time_ns, mono_ns=mono_ns)
            if draft is not None:
                drafts.append(draft)
                near = True
            near = near or board.near(key, number)
        return drafts, near
