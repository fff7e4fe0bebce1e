"""Bodies of permits over HTTP. Each becomes a fact of `tocsin.permits.facts`; times are Unix nanoseconds UTC."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cloud.api.models import Body, Id, Told
from cloud.api.persons import Code

Text = Annotated[str, Field(max_length=2000)]
Line = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Names = Annotated[tuple[Name, ...], Field(max_length=100)]
Lines = Annotated[tuple[Line, ...], Field(max_length=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Ns = Annotated[int, Field(ge=0, lt=2**63)]


class FormBody(Body):
    """What an applicant fills in; people are account names."""

    space: Id
    template: Id = Field(description="Hazard template.")
    purpose: Text
    steps: Lines
    work_leader: Name
    attendants: Names
    entrants: Names
    gas_tester: Name
    rescue_plan: Text
    rescue_call: Line = Field(description="How rescue is called.")
    from_ns: Ns
    until_ns: Ns
    contractor: Line = ""
    contractor_licence: Line = ""
    communication: Line = ""
    equipment: Lines = ()
    linked: Lines = Field(default=(), description="Permits of other work here.")
    activities: Lines = Field(default=(), description="For conflicts with work nearby.")
    photos: Annotated[tuple[Sha256, ...], Field(max_length=20)] = ()
    checklist: Lines = Field(default=(), description="Items ticked.")


class DraftBody(Body):
    """An application."""

    site: Id
    form: FormBody


class ReasonBody(Body):
    """Why."""

    reason: Text = ""


class SignedBody(Body):
    """A decision: why, and a code of the second factor."""

    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    code: Code
    place: Line = Field(default="", description="What the QR label at the space says.")


class PlaceBody(ReasonBody):
    """Where."""

    place: Line = Field(default="", description="What the QR label at the space says.")


class RollCallBody(ReasonBody):
    """A roll call."""

    inside: Names


class IsolationBody(ReasonBody):
    """One item of the isolation list."""

    on: bool = Field(default=True, description="false: it is taken away again.")
    photo: Sha256 | Literal[""] = ""


class VentilationBody(ReasonBody):
    """Ventilation begins or stops."""

    on: bool = True


class PointBody(Body):
    """One value, in the unit the instrument shows."""

    depth: Literal["top", "middle", "bottom"]
    quantity: Id
    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: Line
    instrument: Line = Field(default="", description="Needed where two must agree.")


class GasTestBody(ReasonBody):
    """A gas test."""

    instruments: Annotated[list[Id], Field(min_length=1, max_length=4)]
    points: Annotated[list[PointBody], Field(min_length=1, max_length=100)]
    place: Line = Field(default="", description="What the QR label at the space says.")
    temperature_c: Annotated[float, Field(ge=-60, le=80)] | None = None
    pressure_kpa: Annotated[float, Field(ge=50, le=120)] | None = None
    method: Line = ""


class ToolsBody(Body):
    """How many tools."""

    way: Literal["in", "out"]
    count: Annotated[int, Field(ge=0, le=10_000)]


class PersonBody(ReasonBody):
    """Who goes in or comes out."""

    person: Name


class RuleTold(Told):
    """The row of the rule pack that a refusal follows."""

    id: str
    citation: str
    text_zh: str
    text_en: str
    verified: bool


class RefusalTold(Told):
    """Why something is refused: a stable reason, what goes into its sentence, and the rule that says so."""

    reason: str
    text_zh: str
    text_en: str
    args: dict[str, str]
    rule: RuleTold | None


class SignTold(Told):
    """Whether it was the attendant's."""

    counts: bool


class PermitTold(Told):
    """A permit as it stands; `permit` has every field of the journal's fold."""

    id: str
    site: str
    space: str
    gateway: str
    state: str
    occupied: bool
    changed_ns: int
    until_ns: int | None
    outstanding_until_ns: int | None = Field(
        description="Until then a grant that was issued may still open a lock that cannot be told."
    )
    watched: bool = Field(
        default=True,
        description="False: its gateway has no command key here and is never told of it, so nothing watches or sounds at the site.",
    )
    fault: str = Field(default="", description="Why its journal cannot be trusted; empty: it can.")
    permit: dict[str, Any]


class MadeTold(Told):
    """What was done: the permit after it, and the grants' ends it led to."""

    permit: PermitTold


class EntryTold(Told):
    """One entry of the journal with its hash."""

    hash: str
    entry: dict[str, Any]


class WhyTold(Told):
    """For each action: null where the caller may do it now, else why not."""

    actions: dict[str, RefusalTold | None]


class RosterTold(Told):
    """Who is inside, who was, who may."""

    entrants: list[str]
    inside: list[str]
    entered_ever: list[str]
    headcount_known: bool


class PhotoTold(Told):
    """A picture that was kept."""

    sha256: str
    site: str
    type: str
    bytes: int
    taken_by: str
    received_ns: int
