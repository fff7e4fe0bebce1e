"""Configuration of one replayed recording."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tocsin.config import ConfigPath
from tocsin.contract.catalogue import TypeCode, is_identifier
from tocsin.contract.units import all_units, known
from tocsin.sdk import DriverConfig, Endpoint


def _unit(value: str) -> str:
    if not known(value):
        raise ValueError(f"a UCUM unit of ours: {', '.join(all_units())}")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError("an IANA time zone such as Asia/Shanghai, or UTC") from exc
    return value


def _quantity(value: str) -> str:
    if not is_identifier(value):
        raise ValueError("a name of small letters, digits and _")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Table):
    """One column of a CSV file."""

    column: str = Field(description="Its heading.")
    quantity: Annotated[str, AfterValidator(_quantity)] = Field(
        description="The quantity it holds, as the catalogue names it."
    )
    unit: Annotated[str, AfterValidator(_unit)] = Field(description="Unit (UCUM) of its numbers.")
    type: TypeCode = Field(default="f", description="f number, i whole number, b yes/no, s text.")
    scale: float = Field(default=1.0, description="Multiply by this first.")
    offset: float = Field(default=0.0, description="Then add this.")
    missing: tuple[str, ...] = Field(
        default=(), description="Marks of a missing value in this column, beside the file's."
    )
    flag_column: str | None = Field(
        default=None, description="Heading of the column that holds this one's qualifiers."
    )
    flag_missing: tuple[str, ...] = Field(
        default=(), description="Qualifiers that say: there was no reading."
    )
    flag_fault: tuple[str, ...] = Field(
        default=(), description="Qualifiers that say: the instrument was faulty."
    )

    @model_validator(mode="after")
    def _flags_have_a_column(self) -> Self:
        if (self.flag_missing or self.flag_fault) and self.flag_column is None:
            raise ValueError("flag_missing and flag_fault need flag_column")
        return self


class CsvOptions(_Table):
    """How to read a CSV file. An empty cell is always a missing value."""

    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Between cells.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of numbers.")
    encoding: str = Field(default="utf-8-sig", description="Text encoding.")
    time_columns: tuple[str, ...] = Field(
        min_length=1, description="Headings of the time; several are joined by a space."
    )
    time_format: str = Field(
        default="iso",
        min_length=1,
        description="iso, epoch, epoch_ms, epoch_ns, or a strptime pattern such as %m/%d/%Y %H:%M:%S.",
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="Zone of times that do not name one."
    )
    missing: tuple[str, ...] = Field(
        default=(), description='Marks of a missing value anywhere in the file, such as "-200".'
    )
    columns: tuple[Column, ...] = Field(min_length=1, description="The columns to take.")

    @model_validator(mode="after")
    def _each_quantity_once(self) -> Self:
        names = [c.quantity for c in self.columns]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two columns give {', '.join(twice)}")
        if self.delimiter == self.decimal:
            raise ValueError("delimiter and decimal must differ")
        return self


class ReplayConfig(DriverConfig):
    """A recording of one device, played once or for ever."""

    device: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        description="Id of the device that the recording stands for.",
    )
    measurement: str = Field(default="vehicle", description="Kind of device in the catalogue.")
    model: str = Field(default="", description="Model, shown in the device list.")
    file: ConfigPath = Field(description="The recording; relative to this configuration.")
    format: Literal["csv", "gpx", "nmea"] = Field(description="What the file holds.")
    csv: CsvOptions | None = Field(default=None, description="How to read it, for format csv.")
    speed: Annotated[float, Field(gt=0)] | Literal["real", "max"] = Field(
        default="real",
        description="real, a factor (60 = an hour in a minute), or max: as fast as the gateway takes it.",
    )
    max_gap_s: float | None = Field(
        default=None, gt=0, description="Wait no longer than this between two rows, seconds."
    )
    stamp: Literal["source", "now"] = Field(
        default="source", description="Keep the recorded times, or pretend that it happens now."
    )
    loop: bool = Field(default=False, description='Start again at the end; needs stamp = "now".')
    period_s: float | None = Field(
        default=None,
        gt=0,
        description="Expected time between rows, seconds; for rows without a time too.",
    )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The recording."""
        return (Endpoint("file", str(self.file)),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.format == "csv") != (self.csv is not None):
            raise ValueError("format csv and the table csv go together")
        if self.loop and self.stamp == "source":
            raise ValueError('loop needs stamp = "now": one time cannot happen twice')
        if self.format != "csv" and self.measurement != "vehicle":
            raise ValueError("positions are of measurement vehicle")
        return self
