"""`[[drivers]]` of type `onvif`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tocsin.config import Mistake, MistakesError, Secret, Section
from tocsin.sdk import DriverConfig, Endpoint


class OnvifAxis(Section):
    """How an axis is told: cameras give -1 to 1 for pan and tilt, 0 to 1 for zoom."""

    unit: str = Field(default="1", description="UCUM unit of the number after scale and offset.")
    scale: float = Field(default=1.0, description="value = number * scale + offset.")
    offset: float = Field(default=0.0, description="value = number * scale + offset.")


class OnvifConfig(DriverConfig):
    """One camera that can be turned."""

    type: Literal["onvif"] = Field(description="Driver: `onvif`.")
    host: str = Field(
        pattern=r"^[^\s/:]+$", min_length=1, description="Name or address of the camera."
    )
    port: int = Field(default=80, ge=1, le=65535, description="Port of its ONVIF service.")
    tls: bool = Field(default=False, description="Speak HTTPS; its certificate is not checked.")
    username: str | None = Field(default=None, description="Account of the camera.")
    password: Secret | None = Field(default=None, description="Its password.")
    device: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the device."
    )
    measurement: str = Field(default="camera", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Model, shown in the device list.")
    profile: str | None = Field(
        default=None,
        description="Token of the media profile; default the first that can be turned.",
    )
    period_s: float = Field(default=1.0, gt=0, le=86_400, description="Time between two questions.")
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="How long the camera may take to answer."
    )
    max_past_s: float = Field(
        default=300.0, ge=0, description="How far the camera's clock may lag and still be believed."
    )
    pan: OnvifAxis = Field(default=OnvifAxis(), description="Pan.")
    tilt: OnvifAxis = Field(default=OnvifAxis(), description="Tilt.")
    zoom: OnvifAxis = Field(default=OnvifAxis(), description="Zoom.")

    @model_validator(mode="after")
    def _account_is_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise MistakesError([Mistake(("username",), "`username` and `password` go together")])
        return self

    @property
    def address(self) -> str:
        """The camera, for messages."""
        return f"{self.host}:{self.port}"

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The camera's port."""
        return (Endpoint("connect", self.address),)
