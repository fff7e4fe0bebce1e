"""The `camera` driver: pictures in, models run here, confirmed detections with their evidence out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from edge.drivers.camera.config import HEAT, CameraConfig, CameraDevice
from edge.drivers.camera.faults import Faults
from edge.drivers.camera.learned import Learned, LearnedFiles, places
from edge.drivers.camera.models import Models
from edge.drivers.camera.scene import Scene
from edge.drivers.camera.turning import Heads, head_of, mount_of
from edge.drivers.camera.values import spec_of, values_of
from edge.vision.judge.settings import Mask
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    DriverError,
    DriverReason,
    LinkError,
    TocsinError,
    UsageError,
)
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

if TYPE_CHECKING:
    from edge.drivers.camera.reporting import Reporter
    from edge.vision.eyes import Eyes
    from edge.vision.packed_heat import PackedHeat
    from edge.vision.pipeline.camera import Camera, Change
    from edge.vision.pipeline.pipeline import Pipeline
    from edge.vision.pipeline.worker import Result
    from edge.vision.sources.source import Source, Wait

PROBE_S = 15.0
LEARNED_EVERY_S = 10.0
_MOST_MASKS = 32


class CameraDriver:
    """Several cameras, one pipeline. What was confirmed is told as an event `vision.detection` and raises `confirmed`."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = CameraConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, CameraConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._by_id = {d.id: d for d in config.devices}
        self._specs = {d.id: spec_of(d, config.period_s) for d in config.devices}
        where = places(config.state_dir, context.folder)
        self._files = LearnedFiles(where, context.log, context.count)
        self._scene = Scene(self._by_id, dict.fromkeys(self._by_id, Learned()))
        self._seen: dict[str, dict[str, float]] = {name: {} for name in self._by_id}
        # as told so far: a row in between must not raise the alarm before its picture is drawn
        self._confirmed = dict.fromkeys(self._by_id, 0)
        self._faults = Faults(context)
        self._reporter: Reporter | None = None
        self._seeing: Eyes | None = None
        self._models = Models(context)
        # of the model of each camera that has one by now
        self._classes: dict[str, tuple[str, ...]] = {
            d.id: HEAT for d in config.devices if d.radiometric
        }

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """The cameras."""
        return tuple(self._specs.values())

    async def run(self) -> None:
        """Until cancelled, or until the last file has been seen to its end.

        Raises:
            MissingExtraError: the extra `vision` is not installed.
            LinkError: none of the models can be used. Where some can, the other cameras alone wait for theirs.
        """
        from edge.drivers.camera.reporting import Reporter
        from edge.vision.pipeline.pipeline import Pipeline

        read = {name: await asyncio.to_thread(self._files.read, name) for name in self._by_id}
        learned = {name: kept for name, (kept, _) in read.items()}
        thermal = [name for name, device in self._by_id.items() if device.radiometric]
        warm = {n: await asyncio.to_thread(self._files.read_warmth, n) for n in thermal}
        heads = Heads(self._by_id, self._context)
        self._scene = Scene(self._by_id, learned, heads.pose)
        self._confirmed = {name: self._scene.confirmed(name) for name in self._by_id}
        warmth = {name: kept for name, (kept, _) in warm.items() if kept is not None}
        eyes = await asyncio.to_thread(self._eyes, learned, warmth)
        self._seeing = eyes
        self._reporter = Reporter(self._context, self._by_id, self._scene)
        config, clock = self._config, self._context.clock
        cameras = [self._camera(d) for d in config.devices]
        pipeline = Pipeline(
            cameras, eyes, clock, workers=config.workers, share_of_core=config.share_of_core
        )
        try:
            for name, (_, lost) in [*read.items(), *warm.items()]:
                if lost:
                    await self._reporter.began_anew(name)
                for told in self._scene.close(name, clock.now_ns()):
                    await self._reporter.told(name, told)
            async with heads, pipeline, asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._follow(pipeline), name="camera-changes"),
                    tasks.create_task(self._tell_health(pipeline), name="camera-health"),
                    tasks.create_task(heads.tell(), name="camera-heads"),
                    tasks.create_task(self._keep_learned(), name="camera-learned"),
                    tasks.create_task(self._reporter.run(), name="camera-evidence"),
                ]
                while (result := await pipeline.result()) is not None:
                    await self._take(result, pipeline)
                await self._reporter.settled()
                for task in beside:
                    task.cancel()
            await self._health_rows(pipeline)
        finally:
            self._reporter = None
            await asyncio.to_thread(self._keep_all)

    async def probe(self) -> list[ProbeLine]:
        """Load each model, open each camera, wait for a picture; ask who turns where it looks."""
        from edge.vision.pipeline.pipeline import Pipeline
        from edge.vision.pipeline.worker import Looked

        wrong = await asyncio.to_thread(self._wrong_models)
        lines = {n: ProbeLine(n, False, _with_hint(exc)) for n, exc in wrong.items()}
        cameras = [self._camera(d) for d in self._config.devices if d.id not in lines]
        pipeline = Pipeline(cameras, lambda _f: Looked(), self._context.clock)
        async with pipeline:
            try:
                async with asyncio.timeout(PROBE_S):
                    while len(lines) < len(self._by_id):
                        result = await pipeline.result()
                        if result is None:
                            break
                        frame = result.frame
                        width, height = frame.size
                        text = f"{width} x {height}, {frame.spectrum}, {frame.quality.value}"
                        lines[frame.camera] = ProbeLine(frame.camera, True, text)
            except TimeoutError:
                pass
            why = {h.camera: h.error or h.state.value for h in pipeline.health()}
        found = [
            lines.get(name) or ProbeLine(name, False, f"no picture: {why[name]}")
            for name in self._by_id
        ]
        return await asyncio.gather(*(asyncio.to_thread(self._with_direction, f) for f in found))

    def _with_direction(self, line: ProbeLine) -> ProbeLine:
        device = self._by_id[line.device]
        if device.ptz is None:
            return line
        head = head_of(device)
        try:
            pose = mount_of(device).pose(head.ask().turned)
        except TocsinError as exc:
            return ProbeLine(line.device, False, f"{line.text}; no bearing: {_with_hint(exc)}")
        finally:
            head.close()
        text = f"looks to {pose.azimuth_deg:.1f} deg, {pose.elevation_deg:+.1f} deg up, {pose.hfov_deg:.1f} deg wide"
        return ProbeLine(line.device, line.ok, f"{line.text}; {text}")

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """`verdict`, `masks`, `view`.

        Raises:
            UsageError: no such command, or wrong arguments.
            CommandRefusedError: the cameras are not running.
        """
        if device not in self._by_id:
            raise UsageError(f"no camera {device!r}")
        reporter = self._reporter
        if reporter is None:
            text = f"the cameras of {self._config.name} are not running"
            raise CommandRefusedError(CommandRefusal.REFUSED, text)
        match name:
            case "verdict":
                verdict = str(args.get("verdict"))
                if verdict not in ("confirmed", "rejected"):
                    raise UsageError(f"verdict {verdict!r}: confirmed or rejected")
                told = self._scene.judged(device, str(args.get("detection")), verdict)
                if self._seeing is not None:
                    self._seeing.answered(device, told)
                answer: dict[str, Any] = {"verdict": verdict}
            case "masks":
                if device not in self._classes:
                    text = f"the model of {device} cannot be used, so its classes are not known"
                    raise CommandRefusedError(CommandRefusal.REFUSED, text)
                masks = _masks(str(args.get("masks", "")), self._classes[device])
                self._scene.draw(device, masks)
                answer = {"masks": len(masks)}
            case "view":
                reporter.want_view(device)
                return {"view": "with the next frame"}
            case _:
                raise UsageError(f"a camera knows no command {name!r}")
        now_ns = self._context.clock.mono_ns()
        await asyncio.to_thread(self._files.write, device, self._learned(device), now_ns)
        return answer

    def _camera(self, device: CameraDevice) -> Camera:
        from edge.vision.pipeline.camera import Camera
        from edge.vision.pipeline.develop import Radiometry
        from edge.vision.pipeline.pace import Rates

        rates = Rates(
            idle_fps=device.idle_fps,
            gated_fps=max(device.idle_fps, min(1.0, device.open_fps)),
            open_fps=max(device.open_fps, device.idle_fps),
        )
        kelvin = device.kelvin_per_count
        radiometry = None if kelvin is None else Radiometry(kelvin)
        return Camera(device.id, self._opener(device), rates, radiometry)

    def _opener(self, device: CameraDevice) -> Callable[[Wait], Source]:
        """Makes the source anew each time, once there is something to look at its pictures with."""
        from edge.vision.sources.options import opener

        made = opener(device, self._context.clock)

        def source(wait: Wait) -> Source:
            if self._seeing is not None:
                self._equip(device, self._seeing)
            return made(wait)

        return source

    def _learned(self, camera: str) -> Learned:
        eyes: Eyes | None = self._seeing
        kept = self._scene.learned(camera)
        if eyes is None:
            return kept
        answers = eyes.unlearned(camera)  # before the heat, which may have taken them since
        return msgspec.structs.replace(kept, heat=eyes.usual(camera), answers=answers)

    def _wrong_models(self) -> dict[str, LinkError]:
        """By camera: why it has no model."""
        wrong: dict[str, LinkError] = {}
        for device in self._config.devices:
            try:
                if not device.radiometric:
                    self._models.slot(device)
            except LinkError as exc:
                wrong[device.id] = exc
        return wrong

    def _equip(self, device: CameraDevice, eyes: Eyes) -> None:
        """Give a camera its model, if it has none yet. From any thread.

        Raises:
            LinkError: it cannot be used.
        """
        if not device.radiometric and not eyes.looks_at(device.id):
            slot = self._models.slot(device)
            self._classes[device.id] = slot.current.classes
            eyes.equip(device.id, slot)

    def _eyes(self, learned: Mapping[str, Learned], warmth: Mapping[str, PackedHeat]) -> Eyes:
        """Loads each model once; a camera whose model cannot be used gets it later.

        Raises:
            LinkError: that is so of all cameras.
        """
        from edge.vision.eyes import Eyes
        from edge.vision.thermal import HeatLimits

        heat = {
            d.id: HeatLimits(d.heat.high_c, d.heat.low_c, d.heat.contrast_k)
            for d in self._config.devices
            if d.radiometric
        }
        wrong = self._wrong_models()
        if len(wrong) == len(self._by_id):
            raise next(iter(wrong.values()))
        apart_s = {d.id: 1 / d.idle_fps for d in self._config.devices}
        usual = {name: kept.heat for name, kept in learned.items()}
        eyes = Eyes(
            heat, apart_s, self._limit, lambda camera: self._scene.is_open(camera), usual,
            lambda camera: self._scene.masks(camera), warmth,
        )  # fmt: skip
        for name, kept in learned.items():
            for answer in kept.answers:
                eyes.answered(name, answer)
        for device in self._config.devices:
            if device.id not in wrong:
                self._equip(device, eyes)
        return eyes

    def _limit(self, camera: str, label: str, spectrum: str) -> float:
        return self._scene.limit(camera, label, spectrum, self._context.clock.now_ns())

    async def _take(self, result: Result, pipeline: Pipeline) -> None:
        reporter = self._reporter
        assert reporter is not None  # noqa: S101 - it lives as long as the pipeline
        frame, observations = result.frame, result.looked.observations
        camera = frame.camera
        was = self._confirmed[camera]
        changes = [c for seen in observations for c in self._scene.see(seen)]
        seen = self._seen[camera]
        for o in observations:
            named = {"hot-spot": "hot_spot"}
            seen |= {named.get(label, label): round(s, 4) for label, s in o.scores.items()}
            if "max_c" in o.cues:
                seen["temperature"] = round(o.cues["max_c"], 2)
        evidence = await reporter.take(frame, observations, changes)
        self._confirmed[camera] = self._scene.confirmed(camera)
        if self._confirmed[camera] != was:
            await self._row(pipeline, camera, evidence)

    async def _follow(self, pipeline: Pipeline) -> None:
        while (change := await pipeline.change()) is not None:
            self._changed(change)

    def _changed(self, change: Change) -> None:
        if change.error is None:
            self._context.available(change.camera)
        elif isinstance(change.error, DriverError):
            self._context.unavailable(change.camera, change.error)
        else:
            text = change.error.message
            self._context.unavailable(
                change.camera, LinkError(DriverReason.REFUSED, text, hint=change.error.hint)
            )

    async def _tell_health(self, pipeline: Pipeline) -> None:
        while True:
            await self._context.clock.sleep(self._config.period_s)
            await self._health_rows(pipeline)

    async def _health_rows(self, pipeline: Pipeline) -> None:
        for name in self._by_id:
            await self._row(pipeline, name, "")

    async def _row(self, pipeline: Pipeline, camera: str, evidence: str) -> None:
        health = next(h for h in pipeline.health() if h.camera == camera)
        spec = self._specs[camera]
        eyes = self._seeing
        looking = None if eyes is None else eyes.looking(camera)
        confirmed, seen = self._confirmed[camera], self._seen[camera]
        values, codes = values_of(spec, health, confirmed, seen, looking)
        now_ns = self._context.clock.now_ns()
        await self._faults.tell(health)
        await self._context.emit(Sample(spec, now_ns, values, quality=codes, evidence=evidence))

    async def _keep_learned(self) -> None:
        while True:
            await self._context.clock.sleep(LEARNED_EVERY_S)
            for name in self._by_id:
                learned, now_ns = self._learned(name), self._context.clock.mono_ns()
                if self._files.due(name, learned, now_ns):
                    await asyncio.to_thread(self._files.write, name, learned, now_ns)
                eyes = self._seeing
                if eyes is None or not self._by_id[name].radiometric:
                    continue
                if self._files.warmth_due(name, eyes.knows_warmth(name), now_ns):
                    await asyncio.to_thread(self._keep_warmth, eyes, name, now_ns)

    def _keep_warmth(self, eyes: Eyes, camera: str, now_ns: int) -> None:
        self._files.write_warmth(camera, eyes.warmth(camera), now_ns)

    def _keep_all(self) -> None:
        now_ns = self._context.clock.mono_ns()
        for name, device in self._by_id.items():
            self._files.write(name, self._learned(name), now_ns)
            if device.radiometric and self._seeing is not None:
                self._keep_warmth(self._seeing, name, now_ns)


def _masks(text: str, classes: Collection[str]) -> tuple[Mask, ...]:
    try:
        masks = msgspec.json.decode(text, type=tuple[Mask, ...])
    except msgspec.MsgspecError as exc:
        raise UsageError(f"no masks: {exc}") from exc
    corners = [p for m in masks for p in m.points]
    if len(masks) > _MOST_MASKS or any(len(m.points) < 3 for m in masks):
        raise UsageError(f"at most {_MOST_MASKS} masks, each of three corners or more")
    if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in corners):
        raise UsageError("corners are shares of width and height, from 0 to 1")
    unknown = sorted({label for m in masks for label in m.labels} - set(classes))
    if unknown:
        text = f"no class {', '.join(unknown)} at this camera"
        raise UsageError(text, hint=f"its classes: {', '.join(classes)}")
    return masks


def _with_hint(exc: TocsinError) -> str:
    return f"{exc.message} ({exc.hint})" if exc.hint else exc.message
