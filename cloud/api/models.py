"""Bodies of the HTTP API. Times are Unix nanoseconds UTC."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from cloud.api.overview import DeviceView
from cloud.identity.rules import Role, Scope
from cloud.registry import Device

Scalar = float | int | bool | str | None
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Body(BaseModel):
    """What a caller sends: unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """What the cloud answers; fields may be added in later versions."""

    model_config = ConfigDict(extra="allow", frozen=True)


class LastValue(Told):
    """The last value of one quantity of one device. Without one (`value` null), `known_ns` is when there was one last; 0: not known."""

    site: str
    device: str
    gateway: str = ""
    measurement: str = ""
    quantity: str
    unit: str = ""
    value: Scalar = None
    q: int = 0
    time_ns: int
    received_ns: int = 0
    known_ns: int = 0


class LastColumns(Told):
    """Last values, a list for each field (or each that was asked for), all of one length."""

    site: list[str] = []
    device: list[str] = []
    gateway: list[str] = []
    measurement: list[str] = []
    quantity: list[str] = []
    unit: list[str] = []
    value: list[Scalar] = []
    q: list[int] = []
    time_ns: list[int] = []
    received_ns: list[int] = []
    known_ns: list[int] = []


class ValueBody(Told):
    """A last value inside its device. `time_ns` is that of its row; `known_ns`: when there was a value last, null: not known."""

    quantity: str
    unit: str
    value: Scalar
    q: int
    quality: Literal["good", "uncertain", "bad"]
    time_ns: int
    received_ns: int
    alarm_level: int = 0
    known_ns: int | None = None


class DeviceBody(Told):
    """One device as it is now. `state`: ok, stale, unavailable, never, retired. `answered_ns` (when it gave a value last), `last_error` and `last_reason` (a stable word for it; empty from older gateways) are those of an unavailable one."""

    site: str
    device: str
    name: str
    kind: str
    place: str
    lat: float | None
    lon: float | None
    gateway: str
    period_s: float | None
    stale_after_s: float
    state: str
    last_ns: int | None
    heard_ns: int
    alarm_level: int
    unacknowledged: bool
    values: list[ValueBody]
    calibration_due: date | None = None
    calibration: Literal["", "soon", "overdue"] = ""
    answered_ns: int | None = None
    last_error: str = ""
    last_reason: str = ""


def device_body(view: DeviceView) -> DeviceBody:
    """The body of a view."""
    return DeviceBody.model_validate(asdict(view))


class Gateway(Told):
    """One gateway: `online` and its last health message."""

    site: str
    gateway: str
    online: bool = False


class HourBody(Told):
    """One hour from `from_ns`: rows stored, rows that will come, rows missing by reason."""

    from_ns: int
    rows: int
    waiting: int
    lost: dict[str, int]


class SpanBody(Told):
    """A time in Unix ns; null: not known."""

    from_ns: int | None
    to_ns: int | None


class DeletedBody(Told):
    """Rows that were stored and that the policy deleted later; days are UTC, the last went at `at_ns`."""

    measurement: str
    rows: int
    first_day: str
    last_day: str
    at_ns: int


class Completeness(Told):
    """Whether everything of a gateway is stored, as of `told_ns`, when it last told of its streams.

    Rows: stored, on their way (of the last seconds), in the log between broker and ingesters, waiting at the gateway, missing (`reasons` says why), and given up
    before they had a number. `ended`: when outboxes ended without a last word: what was taken then is in no count.
    `hours`: the last 24. `deleted`: what of the stored the policy deleted since.
    """

    site: str
    gateway: str
    verdict: Literal["complete", "waiting", "incomplete", "stale", "unsure", "unheard"]
    told_ns: int | None
    from_ns: int | None
    to_ns: int | None
    rows: int
    in_flight: int
    logged: int = 0
    waiting: int
    missing: int
    unnumbered: int
    reasons: dict[str, int]
    volatile: bool
    ended: list[SpanBody] = []
    hours: list[HourBody]
    deleted: list[DeletedBody] = []


class GapBody(Told):
    """Numbers `lo` up to, not including, `hi` that are not stored; `reason` is stable. Times are about, null: not known."""

    lo: int
    hi: int
    reason: Literal[
        "dead-lettered",
        "evicted",
        "damaged",
        "in-flight",
        "logged",
        "waiting",
        "power-cut",
        "out-of-reach",
        "volatile",
        "unknown",
    ]
    first_ns: int | None
    last_ns: int | None
    letters: list[int]
    detail: str


class StreamBody(Told):
    """One stream: its class, one past its highest number, rows stored, gaps."""

    stream: str
    cls: str
    end: int
    rows: int
    gaps: list[GapBody]
    ended: SpanBody | None = None


class CompletenessFull(Completeness):
    """With its streams."""

    streams: list[StreamBody]


class Series(Told):
    """Times, values and quality codes of one quantity, in step; `gaps`: from and to of rows its gateway gave up.

    `means_until_ns`: before that the rows were deleted by policy, and the values are means of a minute or an hour; 0: none are.
    """

    unit: str = ""
    t: list[int]
    v: list[Scalar]
    q: list[int]
    gaps: list[tuple[int, int]] = []
    means_until_ns: int = 0


class AlarmBody(Told):
    """One occurrence of an alarm as it stands."""

    alarm: str
    site: str
    device: str = ""
    gateway: str = ""
    quantity: str = ""
    level: int = 0
    acknowledged: bool = False


class JournalEntry(Told):
    """One transition of an alarm."""


Words = Annotated[str, Field(max_length=4096)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class CommandBody(Body):
    """A command to a device."""

    name: str = Field(min_length=1, max_length=64, description="Its name, as the device takes it.")
    args: dict[
        Annotated[str, Field(min_length=1, max_length=64)], bool | Whole | Number | Words
    ] = Field(default={}, max_length=32, description="Its arguments.")
    expires_s: float = Field(
        default=30.0, gt=0, le=3600, description="Sent within so many seconds, or never."
    )


class ConfirmBody(Body):
    """The second step of a command that waits for it."""

    expires_s: float = Field(
        default=30.0, gt=0, le=3600, description="Carried out within so many seconds, or never."
    )


class CommandTold(Told):
    """A command to a device and what is known of it. `state`: sent, accepted, armed, or one of the outcomes.

    `told` is false while only the cloud says so (no word from the gateway).
    """

    id: str
    site: str
    gateway: str
    device: str
    name: str
    args: dict[str, Scalar]
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: Literal["sent", "accepted", "armed", "done", "refused", "expired", "failed", "unknown"]
    open: bool
    told: bool
    text: str
    reason: str = ""
    answer: dict[str, object] | None = None
    duration_s: float | None = None
    code: str = ""
    confirm_until_ns: int | None = None
    confirm_by: str = ""
    confirms: str = ""
    confirmed_by: str = ""


class WithdrawBody(Body):
    """Back to a gateway's own file."""

    expires_s: float = Field(
        default=86_400.0, gt=0, le=604_800, description="Taken within so many seconds, or never."
    )


class ConfigBody(WithdrawBody):
    """A configuration for a gateway."""

    toml: str = Field(min_length=1, max_length=196_608, description="The whole gateway.toml.")
    version: int | None = Field(
        default=None,
        ge=1,
        lt=2**63,
        description="Default one more than the last; higher than any the gateway has taken.",
    )


class ConfigTold(Told):
    """A configuration that was sent to a gateway, and what became of it."""

    id: str
    kind: str
    site: str
    gateway: str
    version: int
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: Literal[
        "sent",
        "applied",
        "confirmed",
        "refused",
        "rolled-back",
        "superseded",
        "withdrawn",
        "replaced",
        "expired",
    ]
    open: bool
    text: str
    reason: str = ""
    problems: list[dict[str, object]] = []


class ConfigFull(ConfigTold):
    """With its text."""

    toml: str


class ModelBody(WithdrawBody):
    """A model for the cameras of a gateway."""

    toml: str = Field(min_length=1, max_length=65_536, description="The whole model.toml.")
    files: dict[str, Base64Bytes] = Field(
        min_length=1,
        max_length=4,
        description="The files that it names, by name; base64, 8 MiB together.",
    )


class ModelFileTold(Told):
    """One file of a model."""

    file: str
    sha256: str
    size: int


class ModelTold(Told):
    """A model that was sent to a gateway, and what became of it."""

    id: str
    site: str
    gateway: str
    name: str
    version: str
    files: list[ModelFileTold]
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: Literal["sent", "applied", "refused", "fell-back", "replaced", "expired"]
    open: bool
    text: str
    reason: str


class Note(Body):
    """What an operator says when acting on an alarm."""

    note: str = Field(default="", max_length=1000, description="Why; kept in the journal.")


class HardwareBody(Told):
    """One instrument that serves or served as a device."""

    serial: str
    installed_ns: int
    removed_ns: int | None
    calibrated_on: date | None
    calibration_due: date | None
    note: str


class RegistryBody(Told):
    """What the registry holds of a device; `hardware` newest first, the one in place has no `removed_ns`."""

    site: str
    device: str
    name: str
    kind: str
    place: str
    lat: float | None
    lon: float | None
    period_s: float | None
    gateway: str
    retired: bool
    hardware: list[HardwareBody]


def registry_body(device: Device) -> RegistryBody:
    """The body of a registry entry."""
    return RegistryBody.model_validate(asdict(device))


class EditBody(Body):
    """Everything a person enters about a device; fields left out are emptied."""

    name: str = Field(min_length=1, max_length=128, description="What people call it.")
    kind: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Measurement, such as gas or water."
    )
    place: str = Field(default="", max_length=256, description="Where it is, in words.")
    lat: float | None = Field(default=None, ge=-90, le=90, description="Degrees, WGS 84.")
    lon: float | None = Field(default=None, ge=-180, le=180, description="Degrees, WGS 84.")
    period_s: float | None = Field(
        default=None, gt=0, le=31_536_000, description="Expected time between readings, seconds."
    )
    retired: bool = Field(default=False, description="Out of service: no silence alarm.")
    serial: str = Field(default="", max_length=128, description="Of the instrument in place.")
    calibrated_on: date | None = Field(default=None, description="Last calibration.")
    calibration_due: date | None = Field(default=None, description="Next calibration.")


class ReplacementBody(Body):
    """The instrument that takes over."""

    serial: str = Field(min_length=1, max_length=128, description="Its serial number.")
    calibrated_on: date | None = Field(default=None, description="Last calibration.")
    calibration_due: date | None = Field(default=None, description="Next calibration.")
    note: str = Field(default="", max_length=1000, description="Why it was replaced.")


class TokenBody(Body):
    """A token to make."""

    name: str = Field(min_length=1, max_length=64, description="What it is for.")
    scopes: list[Scope] = Field(min_length=1, description="What it may do.")
    sites: list[Id] | None = Field(default=None, description="Which sites; null is all of yours.")
    days: float | None = Field(
        default=None, gt=0, le=3650, description="Lifetime in days; null never ends."
    )


class TokenTold(Told):
    """A token without its secret; `token` is there once, in the answer that made it."""

    id: str
    name: str
    scopes: list[Scope]
    sites: list[str] | None
    created_ns: int
    expires_ns: int | None
    used_ns: int | None
    revoked_ns: int | None
    token: str | None = None


class AccountBody(Body):
    """An account to make."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\s/]+$", description="Log-in name.")
    password: str = Field(min_length=1, max_length=256, description="At least 10 characters.")
    role: Role = Field(description="viewer, operator, dispatcher, ops or admin.")
    sites: list[Id] | None = Field(default=None, description="Which sites; null is every site.")


class AccountChange(Body):
    """An account as it shall be."""

    role: Role = Field(description="viewer, operator, dispatcher, ops or admin.")
    sites: list[Id] | None = Field(default=None, description="Which sites; null is every site.")
    disabled: bool = Field(default=False, description="May not log in; its sessions end.")
    password: str | None = Field(default=None, max_length=256, description="A new password.")


class AccountTold(Told):
    """An account without its password."""

    id: int
    name: str
    role: Role
    sites: list[str] | None
    disabled: bool
    created_ns: int


class Me(Told):
    """Who the caller is and what it may do."""

    name: str
    kind: str
    role: Role | None
    sites: list[str] | None
    actions: list[str]
