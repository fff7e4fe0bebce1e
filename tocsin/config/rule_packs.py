"""Rule packs and hazard templates: TOML files into the Structs that the rules of permits work with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.config.load import Loaded, load
from tocsin.config.mistakes import Mistake, MistakesError
from tocsin.contract.units import all_units, known
from tocsin.permits.concentration import MOLAR_MASS
from tocsin.permits.rule_rows import RuleRow, Rules, Topic
from tocsin.permits.space import Isolation, Template

Text = Annotated[str, Field(min_length=1, max_length=500)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
_MEASURED = {Topic.GAS, Topic.ALARM}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowLine(_Model):
    """One row of a pack."""

    id: Id = Field(description="Name of the row; refusals quote it.")
    topic: Topic = Field(description="What the row is about.")
    citation: Text = Field(description="Where it is written: text, edition, clause, and as whom.")
    text_zh: Text = Field(description="The rule in one sentence, Chinese.")
    text_en: Text = Field(description="The rule in one sentence, English.")
    verified: bool = Field(
        default=False, description="Checked against the full text of what is cited."
    )
    quantity: str = Field(default="", description="Gas, as the catalogue names it.")
    low: float | None = Field(default=None, description="Smallest allowed value.")
    high: float | None = Field(default=None, description="Largest allowed value.")
    exclusive: bool = Field(
        default=False, description="The limits themselves are not allowed either."
    )
    unit: str = Field(default="", description="UCUM unit of the limits.")
    interval_s: float | None = Field(
        default=None, gt=0, description="Interval, age or validity in seconds."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> RowLine:
        mistakes = list(self._mistakes())
        if mistakes:
            raise MistakesError(mistakes)
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        measured = self.topic in _MEASURED
        if measured and not self.quantity:
            yield Mistake(("quantity",), "the gas that this row limits", sorted(MOLAR_MASS))
        if measured and self.low is None and self.high is None:
            yield Mistake(("high",), "a limit: low, high or both")
        if measured and not known(self.unit):
            yield Mistake(("unit",), "a UCUM unit this project knows", all_units())
        if self.low is not None and self.high is not None and self.low > self.high:
            yield Mistake(("low",), f"not above high ({self.high:g})")
        if self.topic is Topic.INTERVAL and self.interval_s is None:
            yield Mistake(("interval_s",), "seconds; a row on an interval needs them")


class PackHead(_Model):
    """Name and reference temperature."""

    name: Id = Field(description="Name of the pack, as a space's ledger entry names it.")
    title_zh: Text = Field(description="For people, Chinese.")
    title_en: Text = Field(description="For people, English.")
    reference_c: float = Field(
        ge=-50, le=60, description="Temperature at which this pack's mg/m3 are meant, Celsius."
    )


class PackFile(_Model):
    """A rule pack."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this file's form.")
    pack: PackHead
    rows: tuple[RowLine, ...] = Field(min_length=1, description="The rules.")

    @model_validator(mode="after")
    def _ids_are_unique(self) -> PackFile:
        seen: set[str] = set()
        for i, row in enumerate(self.rows):
            if row.id in seen:
                raise MistakesError([Mistake(("rows", i, "id"), "a name no row before it has")])
            seen.add(row.id)
        return self


class IsolationLine(_Model):
    """One thing to shut off."""

    id: Id = Field(description="Name of the isolation within its template.")
    text_zh: Text = Field(description="What is shut off and how, Chinese.")
    text_en: Text = Field(description="What is shut off and how, English.")
    photo: bool = Field(default=True, description="Its signature needs a picture.")


class HazardsHead(_Model):
    """Hazards of a kind of space."""

    id: Id = Field(description="Name of the template.")
    text_zh: Text = Field(description="For people, Chinese.")
    text_en: Text = Field(description="For people, English.")
    gases: tuple[str, ...] = Field(min_length=1, description="Gases a test has, in their order.")
    depths: tuple[Literal["top", "middle", "bottom"], ...] = Field(
        min_length=1, description="Depths at which each gas is tested."
    )
    two_instruments: bool = Field(default=False, description="Two instruments must agree.")
    agree_within: float = Field(
        default=0.1, gt=0, le=1, description="How far two may differ, as a part of the larger."
    )
    four_eyes: bool = Field(default=False, description="Two approvers must approve.")
    ventilate_min_s: float = Field(
        default=1800.0, ge=0, description="Shortest ventilation before a test, seconds."
    )
    conflicts: tuple[str, ...] = Field(
        default=(), description="Activities that must not go on in spaces nearby."
    )
    checklist: tuple[str, ...] = Field(default=(), description="What an applicant ticks.")
    equipment: tuple[str, ...] = Field(default=(), description="What must be there.")


class HazardsFile(_Model):
    """A hazard template."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this file's form.")
    hazards: HazardsHead
    isolations: tuple[IsolationLine, ...] = Field(default=(), description="The isolation list.")


def load_pack_file(path: Path) -> Loaded[PackFile]:
    """A rule pack for `tocsin check`.

    Raises:
        ConfigError: with every mistake in it.
    """
    return load(path, PackFile)


def load_hazards_file(path: Path) -> Loaded[HazardsFile]:
    """A hazard template for `tocsin check`.

    Raises:
        ConfigError: with every mistake in it.
    """
    return load(path, HazardsFile)


def load_rules(path: Path) -> Rules:
    """The rules of a pack.

    Raises:
        ConfigError: with every mistake in it.
    """
    file = load(path, PackFile).value
    rows = tuple(RuleRow(**row.model_dump()) for row in file.rows)
    return Rules(file.pack.name, version_of(file.pack, rows), file.pack.reference_c, rows)


def load_template(path: Path) -> Template:
    """A hazard template.

    Raises:
        ConfigError: with every mistake in it.
    """
    file = load(path, HazardsFile).value
    isolations = tuple(Isolation(**line.model_dump()) for line in file.isolations)
    return Template(isolations=isolations, **file.hazards.model_dump())


def version_of(head: PackHead, rows: tuple[RuleRow, ...]) -> str:
    """SHA-256 of name, reference temperature and rows, hex: two files that say the same have the same version."""
    told = (head.name, head.reference_c, sorted(rows, key=lambda row: row.id))
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()
