"""Settings that single rooms of the gateway need; `edge.config` puts them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge.listening import address_of
from tocsin.config import (
    Clear,
    Mistake,
    MistakesError,
    Secret,
    Section,
    TlsOptions,
    is_loopback,
)
from tocsin.contract import topics
from tocsin.contract.codec import Codec


def _name(text: str) -> str:
    if not topics.is_name(text):
        raise ValueError("1-64 of a-z 0-9 . _ -, first and last a letter or digit")
    return text


Name = Annotated[str, AfterValidator(_name)]


def _listen(text: str) -> str:
    address_of(text)
    return text


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
    clear: Clear = False
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

    @model_validator(mode="after")
    def _not_in_clear(self) -> UplinkOptions:
        if self.tls is None and not self.clear and not is_loopback(self.host):
            allowed = "is beyond this machine: add a [uplink.tls] table, or say `clear = true`"
            raise MistakesError([Mistake(("host",), allowed)])
        return self


class MetricsOptions(Section):
    """The gateway about itself; present: it does."""

    readings: bool = Field(
        default=True, description="Store them as readings of a device, measurement `gateway`."
    )
    period_s: float = Field(
        default=60.0, ge=1, le=3600, description="Time between two such rows, seconds."
    )
    device: Name | None = Field(
        default=None, description="Id of that device; default the gateway's id."
    )
    listen: Annotated[str, AfterValidator(_listen)] | None = Field(
        default=None,
        description="Address and port where Prometheus finds `/metrics`, like 127.0.0.1:9469; default nowhere.",
    )
    clear: Clear = False

    @model_validator(mode="after")
    def _not_in_clear(self) -> MetricsOptions:
        if self.listen and not self.clear and not is_loopback(address_of(self.listen)[0]):
            allowed = (
                "is beyond this machine, without TLS: listen on 127.0.0.1, or say `clear = true`"
            )
            raise MistakesError([Mistake(("listen",), allowed)])
        return self


class EvidenceOptions(Section):
    """Pictures and clips of cameras: a ring on the disk, from which the cloud gets what it asks for."""

    max_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="Size of the ring; then the oldest go, bytes."
    )
    bytes_per_s: int = Field(
        default=256 << 10,
        ge=1 << 10,
        description="Pace on the uplink, behind readings and alarms, bytes per second.",
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
        default=1 << 30,
        ge=1 << 20,
        description="Largest size of the file; then old telemetry thins. Its log (up to 8 MiB) and the reserve (1 MiB) come on top.",
    )
    keep_committed_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="Bytes kept after the cloud committed them, for a cloud restored from a backup.",
    )
