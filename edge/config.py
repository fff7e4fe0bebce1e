"""`gateway.toml`: every setting of a gateway. The page docs/reference/gateway-config.md is its manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tocsin.config import ConfigPath, Loaded, Secret, load
from tocsin.contract import topics
from tocsin.contract.codec import Codec
from tocsin.sdk import DriverConfig
from tocsin.sdk.driver import PluginError, driver_names, load_driver


def _name(text: str) -> str:
    if not topics.is_name(text):
        raise ValueError("1-64 of a-z 0-9 . _ -, first and last a letter or digit")
    return text


Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    """A table of the file: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewaySection(Section):
    """Who this gateway is."""

    id: Name = Field(description="Name of this gateway, unique in the cloud; its broker account.")
    site: Name = Field(description="Site it belongs to, as in the cloud's registry.")
    data_dir: ConfigPath = Field(
        description="Folder for the outbox, alarm states and control socket."
    )


class TlsOptions(Section):
    """TLS towards the broker. The certificate is always verified."""

    ca: ConfigPath | None = Field(
        default=None, description="PEM file of the authority; without it the system's authorities."
    )
    cert: ConfigPath | None = Field(default=None, description="PEM client certificate.")
    key: ConfigPath | None = Field(default=None, description="PEM key of the client certificate.")

    @model_validator(mode="after")
    def _cert_and_key(self) -> TlsOptions:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        return self


class UplinkOptions(Section):
    """The session with the broker."""

    host: str = Field(description="Broker host name or address.", min_length=1)
    port: int = Field(default=1883, ge=1, le=65535, description="Broker port; 8883 for TLS.")
    username: str | None = Field(
        default=None, description="Broker account; default the gateway's id."
    )
    password: Secret | None = Field(
        default=None, description='Broker password; "${env:NAME}" or "${file:PATH}" keep it out.'
    )
    tls: TlsOptions | None = Field(default=None, description="Present: speak TLS.")
    keepalive_s: int = Field(default=15, ge=5, le=1200, description="MQTT keep-alive, seconds.")
    connect_timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="Longest wait for a connection, seconds."
    )
    codec: Codec = Field(
        default="jn", description="Telemetry body: j JSON or m msgpack, n plain or d deflate."
    )
    window_bytes: int = Field(
        default=1 << 20,
        ge=1 << 14,
        le=1 << 26,
        description="Most bytes sent and not yet committed by the cloud.",
    )
    resend_after_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="Send again when no commit came for so long, seconds; doubles up to 16 times.",
    )
    backlog_bytes_per_s: int = Field(
        default=1 << 20,
        ge=1 << 10,
        description="Pace of stored readings after an outage, bytes per second.",
    )


class OutboxOptions(Section):
    """The durable store between the pipeline and the uplink."""

    commit_interval_ms: int = Field(
        default=200, ge=1, le=60_000, description="Longest time a reading waits for its commit."
    )
    commit_rows: int = Field(
        default=500, ge=1, le=5000, description="Rows that trigger a commit before that."
    )
    fsync: Literal["none", "batch", "always"] = Field(
        default="batch",
        description="none: a power cut may lose seconds; batch: every few commits; always: each commit.",
    )
    max_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="Largest size on disk; then old telemetry thins."
    )
    keep_committed_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="Bytes kept after the cloud committed them, for a cloud restored from a backup.",
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
    """The whole file."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this file's layout.")
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
    drivers: tuple[DriverConfig, ...] = Field(
        default=(), description="Connections to devices; keys depend on `type`."
    )
    checks: tuple[CheckConfig, ...] = Field(default=(), description="Quality rules, dead-bands.")
    alarms: tuple[AlarmConfig, ...] = Field(default=(), description="Local alarm limits.")
    outputs: tuple[OutputConfig, ...] = Field(default=(), description="Sirens and relays.")
    inputs: InputsSection = Field(default=InputsSection(), description="Local inputs.")

    @property
    def socket(self) -> Path:
        """Where the control socket lies."""
        return self.control.socket or self.gateway.data_dir / "control.sock"


def driver_model(table: dict[str, object]) -> type[BaseModel] | None:
    """The configuration model of one `[[drivers]]` table, by its `type`; None when there is no such driver."""
    name = table.get("type")
    if not isinstance(name, str) or name not in driver_names():
        return None
    try:
        return load_driver(name).Config
    except PluginError:
        return None


def load_gateway(path: Path) -> Loaded[GatewayConfig]:
    """Read and validate `path`.

    Raises:
        ConfigError: with every mistake in it.
    """
    return load(path, GatewayConfig, resolve={"drivers": driver_model})
