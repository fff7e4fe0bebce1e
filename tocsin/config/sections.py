"""Sections that configurations of several rooms have in common."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.config.types import ConfigPath


class Section(BaseModel):
    """A table of the file: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsOptions(Section):
    """TLS towards the broker. The certificate is always verified."""

    ca: ConfigPath | None = Field(
        default=None, description="PEM file of the authority; without it the system's authorities."
    )
    cert: ConfigPath | None = Field(default=None, description="PEM client certificate.")
    key: ConfigPath | None = Field(default=None, description="PEM key of the client certificate.")

    @model_validator(mode="after")
    def _cert_and_key(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        return self
