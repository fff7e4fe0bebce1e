"""Every error Tocsin raises on purpose.

    TocsinError
    ├── ConfigError            one or more mistakes in a configuration file
    ├── UsageError             a wrong command line
    ├── MissingExtraError      an optional part is not installed
    ├── FolderError            a folder that cannot be made or written
    ├── OutputError            standard output takes nothing
    ├── BundleError            an offline archive that cannot be made
    ├── ListenError            the cloud cannot listen on its HTTP port
    ├── WireError              bytes from outside that are not a valid message
    ├── DriverError            a device or its line
    │   ├── LinkError          the port or connection itself
    │   ├── FrameError         bytes that are not a valid frame
    │   └── DeviceFaultError   the device answered: no
    ├── CodecError             bytes of a field protocol that a codec refuses
    ├── EvidenceError          a picture that cannot be kept
    ├── OutboxError            the gateway's durable store
    │   ├── OutboxFullError
    │   ├── OutboxCorruptError
    │   └── OutboxLockedError  another process owns the directory
    ├── UplinkError            the gateway's broker session
    ├── BrokerError            our own child broker
    ├── LogUnavailableError    the log between broker and ingesters
    ├── StoreError             the cloud's time-series store
    │   ├── StoreUnavailableError  retryable
    │   └── StoreRejectedError     will never be accepted
    ├── BackupError            a backup that cannot be made, is not whole, or cannot be restored here
    ├── SpineError             the cloud's own processes do not reach one another
    ├── QueryError             the query door said no
    ├── IdentityError          who are you, and may you
    ├── NotFoundError          no such device, alarm or gateway, or not one the caller may see
    ├── BadRequestError        a request that cannot be understood
    ├── AlarmRefusedError      an operator action the alarm's state forbids
    ├── CommandRefusedError    a command a gateway did not carry out
    ├── PermitRefusedError     something the rules of a permit forbid
    ├── LockKeyError           keys of locks, holders and issuers that are not there or not ready
    ├── GrantRefusedError      a grant, or an order to a lock, that a verifier does not accept
    ├── ProvisionError         keys and certificates that cannot be made or found
    ├── VisionError            what cameras see and models find
    │   ├── ModelError         a model that cannot be loaded or run
    │   ├── PictureError       a picture or video that cannot be looked at
    │   └── DatasetError       a file of labelled pictures that is not as it should be
    └── ControlError           the control socket of a running agent

Each class has a stable `code` (documented in docs/reference/errors.md), says whether trying again can help
(`retryable`) and carries a `hint`: what to do next.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class TocsinError(Exception):
    """Root of the tree. `message` says what failed and where; `hint` says what to do next."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """The body of `{"error": ...}` that `--json` and the HTTP API print."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class ConfigProblem:
    """One mistake: where it is, what was found, what is allowed. `path` is its key in parts, where it has one."""

    __slots__ = ("allowed", "file", "key", "line", "nearest", "path", "value")

    def __init__(
        self,
        *,
        file: str,
        line: int,
        key: str,
        value: str,
        allowed: str,
        nearest: str = "",
        path: tuple[str | int, ...] = (),
    ) -> None:
        self.file, self.line, self.key, self.path = file, line, key, path
        self.value, self.allowed, self.nearest = value, allowed, nearest

    def __str__(self) -> str:
        near = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        shown = f" = {self.value}" if self.value else ""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}{shown}: " if self.key else ""
        return f"{place}: {key}{self.allowed}{near}"

    def as_dict(self) -> dict[str, object]:
        """All fields, for `--json`."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "path"}


class ConfigError(TocsinError):
    """A configuration file holds mistakes; `problems` lists all of them."""

    code = "config.invalid"
    exit_code = 3

    def __init__(self, problems: list[ConfigProblem]) -> None:
        super().__init__(
            "\n".join(str(p) for p in problems),
            hint=f"{len(problems)} mistake(s) to mend; `tocsin check -c FILE` tries again",
        )
        self.problems = problems

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "problems": [p.as_dict() for p in self.problems]}


class UsageError(TocsinError):
    """The command line is wrong: no such command, option or argument."""

    code = "cli.usage"
    exit_code = 2


class MissingExtraError(TocsinError):
    """A part that is installed by an extra was asked for and is not there."""

    code = "install.missing-extra"
    exit_code = 4

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f"this needs the Python package {module!r}, which is not installed",
            hint=f"pip install 'tocsin[{extra}]'",
        )
        self.extra, self.module = extra, module


class FolderError(TocsinError):
    """A folder that is needed cannot be made or written."""

    code = "folder.unusable"
    exit_code = 3


class OutputError(TocsinError):
    """Standard output is closed, or what it leads to is full; told on stderr, with `--json` too."""

    code = "cli.output"
    exit_code = 3


class BundleError(TocsinError):
    """An archive for a gateway without internet cannot be made."""

    code = "bundle.failed"
    exit_code = 9


class ListenError(TocsinError):
    """The cloud cannot listen on its HTTP port; most often another process has it."""

    code = "http.listen"
    retryable = True
    exit_code = 3


class WireReason(StrEnum):
    """Why bytes were refused. Stable; stored with each dead letter."""

    TRUNCATED = "truncated"
    OVERSIZED = "oversized"
    BAD_MAGIC = "bad-magic"
    WRONG_VERSION = "wrong-version"
    BAD_HEADER = "bad-header"
    BAD_CRC = "bad-crc"
    BAD_DEFLATE = "bad-deflate"
    BAD_BODY = "bad-body"
    WRONG_TYPE = "wrong-type"
    BAD_SHAPE = "bad-shape"
    HEADER_MISMATCH = "header-mismatch"
    WRONG_TOPIC = "wrong-topic"
    UNKNOWN_GATEWAY = "unknown-gateway"
    BAD_READING = "bad-reading"
    FUTURE_TIME = "future-time"
    STORE_REJECTED = "store-rejected"
    UNDIGESTIBLE = "undigestible"


class WireError(TocsinError):
    """A message that cannot be decoded; `reason` is stable."""

    code = "wire.undecodable"

    def __init__(self, reason: WireReason, detail: str) -> None:
        super().__init__(
            f"{reason.value}: {detail}", hint="see `tocsin deadletters list` on the cloud"
        )
        self.reason, self.detail = reason, detail


class DriverReason(StrEnum):
    """What went wrong between a gateway and a device. Stable; shown by `tocsin edge status`."""

    NO_PORT = "no-port"
    REFUSED = "refused"
    PERMISSION = "permission"
    NO_ANSWER = "no-answer"
    LATE_ANSWER = "late-answer"
    GARBAGE = "garbage"
    HALF_FRAME = "half-frame"
    EXCEPTION_CODE = "exception-code"
    CLOSED = "closed"
    BAD_FILE = "bad-file"
    NOT_TO_STANDARD = "not-to-standard"


NOT_SENT = frozenset(
    {DriverReason.NO_PORT, DriverReason.REFUSED, DriverReason.PERMISSION, DriverReason.CLOSED}
)  # reasons which say of a command that nothing left the gateway


class DriverError(TocsinError):
    """A device or its line failed; `reason` is stable, `device` is its configured id."""

    code = "driver.failed"
    retryable = True
    exit_code = 5

    def __init__(
        self, reason: DriverReason, message: str, *, device: str = "", hint: str = ""
    ) -> None:
        super().__init__(f"{device}: {message}" if device else message, hint=hint)
        self.reason, self.device = reason, device


class LinkError(DriverError):
    """The port or connection cannot be opened or was lost."""

    code = "driver.link"


class FrameError(DriverError):
    """The line carried bytes that are not a valid frame."""

    code = "driver.frame"


class DeviceFaultError(DriverError):
    """The device answered with an exception; `number` is the protocol's own code, `said` its word for it, where it has one."""

    code = "driver.device-fault"

    def __init__(
        self,
        reason: DriverReason,
        message: str,
        *,
        device: str = "",
        hint: str = "",
        number: int | None = None,
        said: str = "",
    ) -> None:
        super().__init__(reason, message, device=device, hint=hint)
        self.number, self.said = number, said


class CodecReason(StrEnum):
    """Why a codec refused bytes. Stable; the `code` of `tocsin decode` and the name of a counter."""

    CHECKSUM = "checksum"
    TRUNCATED = "truncated"
    LENGTH = "length"
    FRAMING = "framing"
    BAD_FIELD = "bad-field"
    UNSUPPORTED = "unsupported"
    OVERSIZED = "oversized"
    BAD_INPUT = "bad-input"


class CodecError(TocsinError):
    """Bytes of a field protocol that a codec refuses; `reason` is stable, `offset` counts bytes from the frame's start."""

    code = "codec.refused"

    def __init__(self, reason: CodecReason, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.offset = reason, offset


class EvidenceError(TocsinError):
    """A picture or clip that cannot be kept: larger than the ring, or the disk refuses."""

    code = "evidence.not-kept"


class OutboxError(TocsinError):
    """The gateway's durable store."""

    code = "outbox.failed"
    exit_code = 7


class OutboxFullError(OutboxError):
    """No room is left, not even in the reserve for alarms."""

    code = "outbox.full"
    retryable = True


class OutboxCorruptError(OutboxError):
    """The outbox file cannot be read."""

    code = "outbox.corrupt"


class OutboxLockedError(OutboxError):
    """Another running agent owns this outbox directory."""

    code = "outbox.locked"


class UplinkError(TocsinError):
    """The session with the broker."""

    code = "uplink.failed"
    retryable = True
    exit_code = 6


class BrokerError(TocsinError):
    """Our own child broker could not be started or died, or a broker lacks what the configuration asks of it."""

    code = "broker.failed"
    exit_code = 6


class LogUnavailableError(TocsinError):
    """The log between broker and ingesters takes or gives nothing now; what it should take stays with the broker."""

    code = "log.unavailable"
    retryable = True
    exit_code = 7


class StoreError(TocsinError):
    """The cloud's time-series store."""

    code = "store.failed"
    exit_code = 7


class StoreUnavailableError(StoreError):
    """The store does not answer now; keep the data and try again. `retry_after_s` if it said when."""

    code = "store.unavailable"
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class StoreRejectedError(StoreError):
    """The store will never accept this; it belongs to the dead letters."""

    code = "store.rejected"


class BackupError(TocsinError):
    """A backup that cannot be made, is not whole, or cannot be restored where it was asked for."""

    code = "backup.refused"
    exit_code = 9


class SpineReason(StrEnum):
    """What went wrong between the cloud's processes."""

    GONE = "gone"
    TIMEOUT = "timeout"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    BAD_FRAME = "bad-frame"
    BAD_ARGS = "bad-args"
    UNKNOWN_OP = "unknown-op"
    FAILED = "failed"


class SpineError(TocsinError):
    """The process that owns the store does not answer, or not as asked; `reason` is stable."""

    code = "spine.failed"
    retryable = True
    exit_code = 7

    def __init__(self, reason: SpineReason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class QueryReason(StrEnum):
    """Why a query was refused or stopped."""

    SYNTAX = "syntax"
    NOT_ONE_SELECT = "not-one-select"
    FORBIDDEN = "forbidden"
    WRONG_LANGUAGE = "wrong-language"
    TIME_LIMIT = "time-limit"
    MEMORY_LIMIT = "memory-limit"
    ROW_LIMIT = "row-limit"
    UNKNOWN_NAME = "unknown-name"
    FAILED = "failed"


class QueryError(TocsinError):
    """The query door refused or stopped a query; `reason` is stable."""

    code = "query.refused"
    exit_code = 7

    def __init__(self, reason: QueryReason, message: str, *, hint: str = "") -> None:
        super().__init__(f"{reason.value}: {message}", hint=hint)
        self.reason = reason


class IdentityReason(StrEnum):
    """Why a request was not let in."""

    NO_CREDENTIALS = "no-credentials"
    BAD_CREDENTIALS = "bad-credentials"
    EXPIRED = "expired"
    NOT_ALLOWED = "not-allowed"
    OUT_OF_SITE = "out-of-site"
    CSRF = "csrf"
    LOCKED_OUT = "locked-out"
    NO_SECOND_FACTOR = "no-second-factor"
    BAD_CODE = "bad-code"


class IdentityError(TocsinError):
    """The caller is unknown, or known and not permitted."""

    code = "identity.refused"
    exit_code = 8

    def __init__(self, reason: IdentityReason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class NotFoundError(TocsinError):
    """There is no such thing, or it lies outside the caller's sites (which of them is not said)."""

    code = "not-found"
    exit_code = 8


class BadRequestError(TocsinError):
    """A request whose body or parameters cannot be understood."""

    code = "request.invalid"
    exit_code = 2


class AlarmRefusal(StrEnum):
    """Why an operator action on an alarm was refused."""

    UNKNOWN_ALARM = "unknown-alarm"
    STILL_BEYOND_LIMIT = "still-beyond-limit"
    VALUE_UNKNOWN = "value-unknown"
    ALREADY_ACKNOWLEDGED = "already-acknowledged"
    NOT_ACTIVE = "not-active"
    NOT_ACKNOWLEDGED = "not-acknowledged"
    NO_NAME = "no-name"
    ON_ITS_WAY = "on-its-way"
    NO_COMMAND_KEY = "no-command-key"


class AlarmRefusedError(TocsinError):
    """The alarm's state forbids the action; `reason` is stable."""

    code = "alarm.refused"
    exit_code = 8

    def __init__(self, reason: AlarmRefusal, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class CommandRefusal(StrEnum):
    """Why a gateway did not carry out a command."""

    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNKNOWN_KIND = "unknown-kind"
    NOT_FOR_US = "not-for-us"
    OLD_VERSION = "old-version"
    REFUSED = "refused"


class CommandRefusedError(TocsinError):
    """A gateway did not carry out a command; `reason` is stable."""

    code = "command.refused"
    exit_code = 8

    def __init__(self, reason: CommandRefusal, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class LockRefusal(StrEnum):
    """Why a lock, or a gateway in its place, refused. Stable; `tocsin.grants.att` has the byte that goes over the air."""

    MALFORMED = "malformed"
    UNSUPPORTED_VERSION = "unsupported-version"
    BUSY = "busy"
    NO_LIVE_NONCE = "no-live-nonce"
    BAD_SIGNATURE = "bad-signature"
    WRONG_LOCK = "wrong-lock"
    OUTSIDE_WINDOW = "outside-window"
    REVOKED = "revoked"
    ALREADY_USED = "already-used"
    BAD_HOLDER_PROOF = "bad-holder-proof"
    TIME_UNKNOWN = "time-unknown"
    NOT_ALLOWED = "not-allowed"
    JAMMED_OR_OPEN = "jammed-or-open"
    BATTERY_LOW = "battery-low"
    LOCKED_OUT = "locked-out"
    OCCUPIED = "occupied"


class PermitRefusedError(TocsinError):
    """The rules of a permit forbid it; `reason` is stable, `told` has its sentences, `args` and the `rule` it follows."""

    code = "permit.refused"
    exit_code = 8

    def __init__(self, told: dict[str, object]) -> None:
        self.reason, self.told = str(told.get("reason", "")), told
        super().__init__(str(told.get("text_en", self.reason)), hint=str(told.get("hint", "")))

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "refusal": self.told}


class LockKeyReason(StrEnum):
    """Why a key of a lock, a person or a gateway cannot be used as asked."""

    UNKNOWN_LOCK = "unknown-lock"
    LOCK_TAKEN = "lock-taken"
    KEY_TAKEN = "key-taken"
    BAD_KEY = "bad-key"
    NO_GATEWAY_KEY = "no-gateway-key"
    KEY_WAITS = "key-waits"
    NO_KEY_WAITS = "no-key-waits"
    GRANTS_LIVE = "grants-live"
    NOT_TAKEN = "not-taken"


class LockKeyError(TocsinError):
    """A key that grants need is not there, not ready or no key; `reason` is stable."""

    code = "lock.key"
    exit_code = 8

    def __init__(self, reason: LockKeyReason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class GrantRefusedError(TocsinError):
    """A grant, or an order to a lock, is not accepted; `reason` is stable."""

    code = "grant.refused"
    exit_code = 8

    def __init__(self, reason: LockRefusal, message: str, *, hint: str = "") -> None:
        super().__init__(f"{reason.value}: {message}", hint=hint)
        self.reason = reason


class ProvisionReason(StrEnum):
    """Why no key or certificate was made."""

    EXISTS = "exists"
    NO_AUTHORITY = "no-authority"
    NAME_TAKEN = "name-taken"
    UNKNOWN_NAME = "unknown-name"
    UNREADABLE = "unreadable"
    UNWRITABLE = "unwritable"


class ProvisionError(TocsinError):
    """Keys and certificates that cannot be made or found; nothing that was there is changed."""

    code = "provision.refused"
    exit_code = 3

    def __init__(self, reason: ProvisionReason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class ControlError(TocsinError):
    """The control socket of a running agent: nobody answers, or it was refused."""

    code = "control.failed"
    exit_code = 6


class VisionError(TocsinError):
    """What cameras see and models find."""

    code = "vision.failed"
    exit_code = 9


class ModelReason(StrEnum):
    """Why a model cannot be used. Stable."""

    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    WRONG_HASH = "wrong-hash"
    WRONG_SHAPE = "wrong-shape"
    UNKNOWN_HEAD = "unknown-head"
    RUN_FAILED = "run-failed"
    WRONG_VALUES = "wrong-values"


class ModelError(VisionError):
    """A model that cannot be loaded or run; `reason` is stable."""

    code = "vision.model"
    exit_code = 3

    def __init__(self, reason: ModelReason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class PictureError(VisionError):
    """A picture or video that cannot be looked at."""

    code = "vision.picture"


class DatasetError(VisionError):
    """A file of labelled pictures (COCO) that is not as it should be; it names the file and the place."""

    code = "vision.dataset"
    exit_code = 3
