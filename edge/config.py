"""`gateway.toml`: every setting of a gateway. The page docs/reference/gateway-config.md is its manual."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from edge.options import EvidenceOptions, MetricsOptions, Name, OutboxOptions, UplinkOptions
from edge.outlets.options import OutletConfig
from edge.permits.options import PermitOptions, SpaceConfig
from tocsin.config import (
    ConfigPath,
    Document,
    Loaded,
    Mistake,
    MistakesError,
    Resolver,
    Secret,
    Section,
    load,
    load_right_parts,
)
from tocsin.config.load import read
from tocsin.errors import ConfigError
from tocsin.sdk import DriverConfig
from tocsin.sdk.driver import driver_names, load_driver
from tocsin.sdk.plugins import PluginError

ESSENTIAL = ("schema", "gateway", "outbox", "control")  # nothing works without these


class GatewaySection(Section):
    """Who this gateway is."""

    id: Name = Field(description="Name of this gateway, unique in the cloud; its broker account.")
    site: Name = Field(description="Site it belongs to, as in the cloud's registry.")
    data_dir: ConfigPath = Field(
        description="Folder for the outbox, alarm states and control socket."
    )


class ControlOptions(Section):
    """The local control socket."""

    socket: ConfigPath | None = Field(
        default=None, description="Path of the Unix socket; default data_dir/control.sock."
    )


class CommandOptions(Section):
    """Commands from the cloud."""

    key: Secret | None = Field(
        default=None,
        description="Key that signs them (HMAC-SHA-256). Without it every command is refused.",
    )
    remote_config: bool = Field(
        default=False, description="Let the cloud send configurations, signed with the same key."
    )
    remote_models: bool = Field(
        default=False,
        description="Let the cloud send models for cameras, signed with the same key.",
    )
    confirm_s: float = Field(
        default=120.0,
        ge=1,
        le=3600,
        description="A configuration from the cloud is rolled back unless the cloud still hears the gateway so many seconds after it.",
    )


class PipelineOptions(Section):
    """Between drivers and outbox."""

    queue_samples: int = Field(
        default=1000, ge=1, le=1_000_000, description="Samples waiting; when full, drivers wait."
    )
    max_vehicle_speed_m_s: float = Field(
        default=70.0, gt=0, description="Faster between two fixes: the position is flagged, m/s."
    )


class CheckConfig(Section):
    """Quality rules and dead-band of one quantity, in its canonical unit."""

    device: str = Field(description="Device id, or a pattern such as `gas-*`.")
    quantity: str = Field(description="Quantity, as in the catalogue or the driver's channel.")
    range: tuple[float, float] | None = Field(
        default=None, description="[lowest, highest] the instrument can measure; beyond is bad."
    )
    rate_per_s: float | None = Field(
        default=None, gt=0, description="Fastest believable change per second; faster is uncertain."
    )
    flatline_s: float | None = Field(
        default=None, gt=0, description="Unmoved for longer, in seconds, is uncertain."
    )
    stale_s: float | None = Field(
        default=None,
        gt=0,
        description="The device's own time stands still for longer, in seconds: uncertain.",
    )
    deadband: float | None = Field(
        default=None, ge=0, description="A row is left out while no quantity moved more than this."
    )
    deadband_max_s: float = Field(
        default=60.0, gt=0, description="Store a row at least so often, seconds."
    )

    @model_validator(mode="after")
    def _sane(self) -> CheckConfig:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("range is [lowest, highest]")
        rules = (self.range, self.rate_per_s, self.flatline_s, self.stale_s, self.deadband)
        if all(rule is None for rule in rules):
            raise ValueError("one of range, rate_per_s, flatline_s, stale_s, deadband")
        return self


class AlarmConfig(Section):
    """A two-level limit of one quantity (compare GB/T 50493: level 1 high, level 2 high-high)."""

    device: str = Field(description="Device id, or a pattern such as `gas-*`.")
    quantity: str = Field(description="Quantity, in its canonical unit.")
    name: str = Field(
        default="", max_length=40, description="Rule name; default `quantity-direction`."
    )
    direction: Literal["high", "low"] = Field(
        default="high", description="high: at or above the limit; low: at or below (oxygen)."
    )
    level1: float = Field(description="First limit, canonical unit.")
    level2: float | None = Field(default=None, description="Second, more serious limit.")
    hysteresis: float = Field(
        default=0.0, ge=0, description="How far back inside before the alarm counts as returned."
    )
    on_delay_s: float = Field(
        default=0.0, ge=0, le=3600, description="Beyond the limit for so long before it counts."
    )
    latch: bool = Field(
        default=True, description="Stay until someone resets it; false: end when the value returns."
    )

    @model_validator(mode="after")
    def _levels_in_order(self) -> AlarmConfig:
        if self.level2 is not None and (
            self.level2 <= self.level1 if self.direction == "high" else self.level2 >= self.level1
        ):
            beyond = "above" if self.direction == "high" else "below"
            raise ValueError(f"level2 lies {beyond} level1")
        return self

    @property
    def rule(self) -> str:
        """The name it goes by."""
        return self.name or f"{self.quantity}-{self.direction}"


class OutputConfig(Section):
    """A local siren or relay that follows the alarms, with the cloud gone too."""

    kind: Literal["file"] = Field(
        default="file", description="file: `on`/`off` are written to a file."
    )
    name: Name = Field(description="Unique name of this output.")
    path: ConfigPath = Field(
        description="File that takes the state; a relay's `value` file works with on = 1, off = 0."
    )
    on: str = Field(default="on\n", description="What is written while the output is on.")
    off: str = Field(default="off\n", description="What is written while it is off.")
    min_level: Literal[1, 2] = Field(default=1, description="Follow alarms from this level on.")
    until: Literal["acknowledged", "ended"] = Field(
        default="acknowledged",
        description="Off when every alarm is acknowledged (siren), or when every alarm ended (fan).",
    )


class GuardConfig(Section):
    """Commands that must be confirmed by a second one before they are carried out."""

    device: str = Field(description="Device id, or a pattern such as `valve-*`.")
    command: str = Field(default="*", description="Name of the command, or a pattern.")
    confirm_within_s: float = Field(
        default=60.0, gt=0, le=3600, description="The second command must come within, seconds."
    )
    confirm_by: Literal["anyone", "another"] = Field(
        default="anyone", description="another: not by the one who gave the first command."
    )


class InputConfig(Section):
    """A local acknowledge button."""

    kind: Literal["file"] = Field(
        default="file", description="file: each change of its content counts as one press."
    )
    name: Name = Field(description="Name of this input, recorded as the one who acknowledged.")
    path: ConfigPath = Field(description="File to watch.")
    poll_ms: int = Field(default=100, ge=10, le=5000, description="How often it is looked at.")


class InputsSection(Section):
    """Local inputs."""

    acknowledge: tuple[InputConfig, ...] = Field(
        default=(), description="Each press acknowledges every active alarm."
    )


class GatewayConfig(Section):
    """The whole file. Its first key is `schema = 1`, which `tocsin.config` reads."""

    gateway: GatewaySection = Field(description="Who this gateway is.")
    uplink: UplinkOptions | None = Field(
        default=None, description="The broker; without it readings stay in the outbox."
    )
    outbox: OutboxOptions = Field(default=OutboxOptions(), description="The durable store.")
    control: ControlOptions = Field(default=ControlOptions(), description="The control socket.")
    commands: CommandOptions = Field(
        default=CommandOptions(), description="Commands from the cloud."
    )
    pipeline: PipelineOptions = Field(default=PipelineOptions(), description="The pipeline.")
    metrics: MetricsOptions | None = Field(
        default=None, description="The gateway about itself; without it only health messages."
    )
    drivers: tuple[DriverConfig, ...] = Field(
        default=(), description="Connections to devices; keys depend on `type`."
    )
    checks: tuple[CheckConfig, ...] = Field(default=(), description="Quality rules, dead-bands.")
    alarms: tuple[AlarmConfig, ...] = Field(default=(), description="Local alarm limits.")
    outputs: tuple[OutputConfig, ...] = Field(default=(), description="Sirens and relays.")
    outlets: tuple[OutletConfig, ...] = Field(
        default=(), description="Copies of readings to other systems, beside the way to the cloud."
    )
    guards: tuple[GuardConfig, ...] = Field(
        default=(), description="Commands to devices that need a confirmation; the first that fits."
    )
    inputs: InputsSection = Field(default=InputsSection(), description="Local inputs.")
    evidence: EvidenceOptions = Field(
        default=EvidenceOptions(), description="Pictures and clips of cameras."
    )
    permits: PermitOptions | None = Field(
        default=None, description="Permits for confined spaces; without it none is taken."
    )
    spaces: tuple[SpaceConfig, ...] = Field(
        default=(), description="Confined spaces, and the devices that are there."
    )

    @property
    def socket(self) -> Path:
        """Where the control socket lies."""
        return self.control.socket or self.gateway.data_dir / "control.sock"


def driver_model(table: dict[str, object]) -> type[BaseModel]:
    """The configuration model of one `[[drivers]]` table, by its `type`.

    Raises:
        MistakesError: no such driver, or it cannot be loaded.
    """
    name, known = table.get("type"), sorted(driver_names())
    if name not in known:
        allowed = f"an installed driver: {', '.join(known)}"
        raise MistakesError([Mistake(("type",), allowed, known)])
    try:
        return load_driver(str(name)).Config
    except PluginError as exc:
        raise MistakesError([Mistake(("type",), f"{exc.message}; {exc.hint}")]) from exc


def load_gateway(
    path: Path, *, folder: Path | None = None, files: bool = True
) -> Loaded[GatewayConfig]:
    """Read and validate `path`, each section and then the rules between them. Relative paths start at `folder`.

    Without `files` the models of cameras are not looked at.

    Raises:
        ConfigError: with every mistake in it.
    """
    return _validated(path, read(path), folder, files=files)


def load_right_sections(path: Path) -> Loaded[GatewayConfig]:
    """As `load_gateway` without `files`, but going without the devices, drivers, rules and sections that are wrong.

    Raises:
        ConfigError: with every mistake, if one is in a section that there is no going without.
    """
    return load_right_parts(path, partial(_validated, path), ESSENTIAL)


def _validated(
    path: Path, document: Document, folder: Path | None = None, *, files: bool = False
) -> Loaded[GatewayConfig]:
    from edge.references import references
    from edge.survey import survey

    models: dict[str, Resolver] = {
        "drivers": driver_model,
        "checks": lambda _: CheckConfig,
        "alarms": lambda _: AlarmConfig,
        "outputs": lambda _: OutputConfig,
        "outlets": lambda _: OutletConfig,
        "guards": lambda _: GuardConfig,
        "spaces": lambda _: SpaceConfig,
    }
    try:
        loaded = load(
            path, GatewayConfig, resolve=models, document=document, folder=folder, files=files
        )
    except ConfigError:  # the mistakes between the sections are told too
        load(
            path,
            GatewayConfig,
            resolve=models,
            cross=references,
            document=document,
            folder=folder,
            files=files,
        )
        raise
    return replace(loaded, warnings=survey(loaded).warnings)
