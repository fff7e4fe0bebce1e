"""`[[outlets]]`: where copies of readings go, and in which form."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from edge.options import Name
from tocsin.config import ConfigPath, Secret, Section, TlsOptions

Form = Literal["line", "thingsboard", "sparkplug", "senml-json", "senml-cbor"]
GATEWAY_TELEMETRY = "v1/gateway/telemetry"


class OutletMqtt(Section):
    """A broker that copies are published to."""

    host: str = Field(min_length=1, description="Broker host name or address.")
    port: int = Field(default=1883, ge=1, le=65535, description="Broker port; 8883 for TLS.")
    client_id: str = Field(
        min_length=1,
        max_length=128,
        description="Name of the session; no other client may have it.",
    )
    username: str | None = Field(
        default=None, description="Broker account; for ThingsBoard the gateway's access token."
    )
    password: Secret | None = Field(
        default=None, description='Broker password; "${env:NAME}" or "${file:PATH}" keep it out.'
    )
    tls: TlsOptions | None = Field(default=None, description="Present: speak TLS.")
    topic: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^+#\n]*$",
        description="Topic; {site} and {gateway} are filled in. Sparkplug and ThingsBoard have their own.",
    )


class OutletHttp(Section):
    """An address that takes line protocol by POST (InfluxDB, VictoriaMetrics, Telegraf)."""

    url: str = Field(
        pattern=r"^https?://[^\s]+$",
        description="Address with its query, like https://host:8086/api/v2/write?org=o&bucket=b.",
    )
    token: Secret | None = Field(default=None, description="Sent as `Authorization: Token ...`.")
    ca: ConfigPath | None = Field(
        default=None, description="PEM file of the authority; without it the system's authorities."
    )


class OutletConfig(Section):
    """One other system that gets a copy of what is measured."""

    name: Name = Field(description="Unique name of this outlet.")
    form: Form = Field(description="Form of the copies.")
    devices: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Ids or patterns of the devices it is for."
    )
    mqtt: OutletMqtt | None = Field(default=None, description="The broker; or else `http`.")
    http: OutletHttp | None = Field(default=None, description="The address, for form `line`.")
    queue_rows: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Rows waiting; when full the oldest go."
    )
    batch_rows: int = Field(default=200, ge=1, le=5000, description="Most rows in one message.")
    timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="Longest wait for the other side, seconds."
    )
    group: str = Field(
        default="",
        pattern=r"^[^/+#]*$",
        description="sparkplug: group id; default the gateway's site. The node id is the gateway's.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.mqtt is None) == (self.http is None):
            raise ValueError("give exactly one of mqtt, http")
        if self.http is not None and self.form != "line":
            raise ValueError("http takes form line; the others go by mqtt")
        own = self.form in ("thingsboard", "sparkplug")
        if self.mqtt is not None and not own and not self.mqtt.topic:
            raise ValueError("mqtt.topic says where to publish")
        if self.mqtt is not None and self.form == "sparkplug" and self.mqtt.topic:
            raise ValueError("Sparkplug's topics follow from group, gateway and device")
        if self.group and self.form != "sparkplug":
            raise ValueError("group belongs to form sparkplug")
        return self
