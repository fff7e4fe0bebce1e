"""`[[drivers]]` of type `mqtt_in`."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from edge.drivers.mqtt_in.topics import TopicFilter
from firmware_bridges.lorawan.models import PayloadFile, SensorModel, model_of, payload_file
from tocsin.config import Mistake, MistakesError, Secret, Section, TlsOptions
from tocsin.contract.catalogue import TypeCode, find, is_identifier
from tocsin.contract.units import all_units, known
from tocsin.errors import ConfigError
from tocsin.sdk import Channel, DriverConfig
from tocsin.sdk.driver import Endpoint

Format = Literal["json", "senml", "thingsboard", "chirpstack", "ttn", "sparkplug"]
_NAME_ITSELF = ("senml", "thingsboard", "chirpstack", "ttn", "sparkplug")


def _filter(text: str) -> str:
    TopicFilter(text)
    return text


def _load(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    try:
        return payload_file(value, Path((info.context or {}).get("dir", Path())))
    except ConfigError as exc:
        raise MistakesError([Mistake((), p.allowed) for p in exc.problems]) from exc


PayloadRef = Annotated[
    PayloadFile,
    BeforeValidator(_load),
    WithJsonSchema({"type": "string", "description": "Name of a shipped file, or a path."}),
]


class Subscription(Section):
    """One topic filter and the form of what comes there."""

    topic: Annotated[str, AfterValidator(_filter)] = Field(
        description="MQTT topic filter; {device} keeps the device's name, e.g. sensor/{device}/data."
    )
    format: Format = Field(description="Form of the messages.")
    qos: Literal[0, 1] = Field(
        default=1, description="1: not acknowledged before it is durable; 0: may be lost."
    )
    retained: Literal["ignore", "take"] = Field(
        default="ignore", description="What the broker kept from before: it may be any age."
    )
    device_path: str = Field(
        default="", description="json: path of the device's name in the message."
    )
    time_path: str = Field(default="", description="json: path of the time in the message.")
    time_unit: Literal["s", "ms", "us", "ns"] = Field(
        default="ms", description="json: unit of a time that is a number; a text is RFC 3339."
    )

    @model_validator(mode="after")
    def _names_a_device(self) -> Self:
        if self.format != "json" and (self.device_path or self.time_path):
            raise ValueError("device_path and time_path belong to format json")
        named = "device" in TopicFilter(self.topic).names
        if not named and not self.device_path and self.format not in _NAME_ITSELF:
            raise ValueError("nothing names the device: put {device} in topic, or give device_path")
        return self


class ValueMap(Section):
    """One value of a device's messages and the quantity that it is."""

    source: str = Field(
        alias="from", min_length=1, description="Its name or path in the message, like data.h2s."
    )
    quantity: str = Field(description="Name in the catalogue, or a name of your own.")
    unit: str = Field(default="1", description="UCUM unit of the number in the message.")
    type: TypeCode | None = Field(
        default=None, description="f, i, b or s; default the catalogue's, else f."
    )
    scale: float = Field(default=1.0, description="y = x * scale + offset.")
    offset: float = Field(default=0.0, description="y = x * scale + offset.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not is_identifier(self.quantity):
            raise ValueError("quantity is lower-case letters, digits and _, and none of ours")
        if not known(self.unit):
            raise ValueError(f"unknown unit; one of: {', '.join(all_units())}")
        return self


class MqttDevice(Section):
    """One device whose messages come."""

    id: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$", description="Id of the device."
    )
    source: str = Field(
        default="",
        max_length=256,
        description="Its name as the topic or message has it (LoRaWAN: the device EUI); default the id.",
    )
    measurement: str = Field(description="Kind of device in the catalogue.")
    model: str = Field(
        default="", description="Model; with `payload` its name in that file, like DL-TBRG."
    )
    payload: PayloadRef | None = Field(
        default=None, description="Payload file that reads its bytes (LoRaWAN), like decentlab."
    )
    parameters: dict[str, float] = Field(
        default_factory=dict, description="Its own numbers in place of the model's, for `payload`."
    )
    values: tuple[ValueMap, ...] = Field(
        min_length=1, max_length=256, description="Which values to keep, and as what."
    )
    period_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Expected time between messages, seconds."
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        quantities = [v.quantity for v in self.values]
        if len(set(quantities)) != len(quantities):
            raise ValueError("one quantity stands twice")
        model = self.sensor_model()
        if self.payload is not None and model is None:
            names = list(self.payload.models)
            allowed = f"a model of the payload file {self.payload.payload.name}"
            raise MistakesError([Mistake(("model",), allowed, names)])
        if extra := set(self.parameters) - set(model.parameters if model else ()):
            raise ValueError(f"the model has no parameter {', '.join(sorted(extra))}")
        if model is not None:
            self._known_values(model)
        return self

    def _known_values(self, model: SensorModel) -> None:
        for value in self.values:
            if value.source not in model.value_names and not value.source.startswith("lorawan."):
                near = get_close_matches(value.source, model.value_names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{model.name} sends no {value.source!r}{hint}")

    def sensor_model(self) -> SensorModel | None:
        """The model that reads its payloads."""
        return None if self.payload is None else model_of(self.payload, self.model)

    def channels(self) -> tuple[Channel, ...]:
        """Its quantities in the order of `values`."""
        return tuple(
            Channel(v.quantity, v.unit, v.type or _type(self.measurement, v), v.scale, v.offset)
            for v in self.values
        )


def _type(measurement: str, value: ValueMap) -> TypeCode:
    entry = find(measurement, value.quantity)
    return entry.type if entry else "f"


class MqttInConfig(DriverConfig):
    """A broker that devices, gateways and network servers publish to."""

    host: str = Field(min_length=1, description="Broker host name or address.")
    port: int = Field(default=1883, ge=1, le=65535, description="Broker port; 8883 for TLS.")
    client_id: str = Field(
        min_length=1,
        max_length=128,
        description="Name of our session at the broker; no other client may have it.",
    )
    username: str | None = Field(default=None, description="Broker account.")
    password: Secret | None = Field(
        default=None, description='Broker password; "${env:NAME}" or "${file:PATH}" keep it out.'
    )
    tls: TlsOptions | None = Field(default=None, description="Present: speak TLS.")
    version: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="MQTT version; auto: 5, and 3.1.1 where the broker has no 5."
    )
    keepalive_s: int = Field(default=30, ge=5, le=1200, description="MQTT keep-alive, seconds.")
    connect_timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="Longest wait for a connection, seconds."
    )
    session_expiry_s: int = Field(
        default=604_800, ge=0, description="How long the broker keeps messages while we are gone."
    )
    in_flight: int = Field(
        default=1000, ge=1, le=65_535, description="Most messages in hand, not yet durable."
    )
    max_message_bytes: int = Field(
        default=262_144, ge=256, le=16_777_216, description="A longer message is refused."
    )
    subscriptions: tuple[Subscription, ...] = Field(min_length=1, description="What to listen to.")
    devices: tuple[MqttDevice, ...] = Field(
        min_length=1, description="The devices whose values are kept; others are counted."
    )
    max_past_s: float = Field(
        default=604_800.0,
        ge=0,
        description="How old a message's own time may be and still be believed, seconds.",
    )
    max_future_s: float = Field(
        default=300.0, ge=0, le=300, description="How far ahead it may be, seconds."
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The broker."""
        return (Endpoint("connect", f"{self.host}:{self.port}"),)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name, values in (
            ("topic", [TopicFilter(s.topic).mqtt for s in self.subscriptions]),
            ("id", [d.id for d in self.devices]),
            ("source", [d.source or d.id for d in self.devices]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two entries have the same {name}")
        return self
