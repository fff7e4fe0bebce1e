"""`[[drivers]]` of type `opcua`."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from tocsin.config import ConfigPath, Mistake, MistakesError, Secret, Section
from tocsin.contract.catalogue import TypeCode
from tocsin.sdk import DriverConfig, Endpoint


class OpcUaNode(Section):
    """One variable of the server."""

    node: str = Field(
        pattern=r"^(?:ns=\d+;|nsu=[^;]+;)?[isgb]=.+$",
        description="Node id: `ns=2;s=Press.Pressure`, or `nsu=URI;s=...`, which survives another order of namespaces.",
    )
    quantity: str = Field(description="Name in the catalogue, or a name of your own.")
    unit: str = Field(default="1", description="UCUM unit of the number after scale and offset.")
    scale: float = Field(default=1.0, description="value = number * scale + offset.")
    offset: float = Field(default=0.0, description="value = number * scale + offset.")
    type: TypeCode | None = Field(
        default=None,
        description="f number, i whole number, b yes or no, s text; default the catalogue's, else f.",
    )


class OpcUaDevice(Section):
    """Variables that belong to one device."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the device.")
    measurement: str = Field(description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Model, shown in the device list.")
    period_s: float = Field(
        default=1.0,
        gt=0,
        le=86_400,
        description="Time between two reads; subscribed: between two messages of the server.",
    )
    nodes: tuple[OpcUaNode, ...] = Field(
        min_length=1, max_length=1000, description="The variables."
    )


class OpcUaSecurity(Section):
    """A signed or encrypted channel, Basic256Sha256."""

    mode: Literal["sign", "sign-encrypt"] = Field(
        default="sign-encrypt", description="Sign messages only, or encrypt them too."
    )
    certificate: ConfigPath = Field(
        description="Our certificate, PEM or DER; its URI is that of `application_uri`."
    )
    private_key: ConfigPath = Field(description="Its key, PEM or DER.")
    server_certificate: ConfigPath = Field(
        description="The server's certificate: no other is talked to."
    )
    application_uri: str = Field(
        default="urn:tocsin:gateway", description="The URI in our certificate."
    )


class OpcUaConfig(DriverConfig):
    """One OPC UA server, and the devices behind it."""

    type: Literal["opcua"] = Field(description="Driver: `opcua`.")
    url: str = Field(
        pattern=r"^opc\.tcp://[^\s/]+(?:/\S*)?$", description="`opc.tcp://host:4840/path`."
    )
    mode: Literal["subscribe", "poll"] = Field(
        default="subscribe",
        description="subscribe: the server tells what changed; poll: everything is read each period.",
    )
    security: OpcUaSecurity | None = Field(
        default=None, description="A secured channel; without it nothing is signed or encrypted."
    )
    username: str | None = Field(default=None, description="Account; without it anonymous.")
    password: Secret | None = Field(default=None, description="Its password.")
    timeout_s: float = Field(
        default=4.0, gt=0, le=60, description="How long the server may take to answer."
    )
    refresh_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Subscribed: read everything so often, changed or not; 0 never.",
    )
    max_past_s: float = Field(
        default=86_400.0, ge=0, description="How old a source time may be and still be believed."
    )
    devices: tuple[OpcUaDevice, ...] = Field(min_length=1, description="The devices.")

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        found: list[Mistake] = []
        seen: set[str] = set()
        for i, device in enumerate(self.devices):
            if device.id in seen:
                found.append(Mistake(("devices", i, "id"), "another device has this name"))
            seen.add(device.id)
            names = [node.quantity for node in device.nodes]
            for n, name in enumerate(names):
                if name in names[:n]:
                    found.append(Mistake(("devices", i, "nodes", n, "quantity"), "stands twice"))
        if (self.username is None) != (self.password is None):
            found.append(Mistake(("username",), "`username` and `password` go together"))
        if found:
            raise MistakesError(found)
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The server's port; 4840 where the URL names none (Part 6, 7.2)."""
        place = self.url.removeprefix("opc.tcp://").partition("/")[0]
        port = "" if re.search(r":\d+$", place) else ":4840"
        return (Endpoint("connect", place + port),)
