"""Errors across the socket: the reader of an answer raises the class that the spine raised."""

from __future__ import annotations

from collections.abc import Callable

from cloud.rpc.frames import Fault
from tocsin.errors import (
    AlarmRefusal,
    AlarmRefusedError,
    BadRequestError,
    CommandRefusal,
    CommandRefusedError,
    IdentityError,
    IdentityReason,
    NotFoundError,
    QueryError,
    QueryReason,
    SpineError,
    SpineReason,
    StoreError,
    StoreRejectedError,
    StoreUnavailableError,
    TocsinError,
)


def to_fault(error: TocsinError) -> Fault:
    """What travels of an error."""
    reason = getattr(error, "reason", "")
    return Fault(error.code, error.message, error.hint, str(reason))


def _query(fault: Fault) -> TocsinError:
    reason = QueryReason(fault.reason)
    return QueryError(reason, fault.message.removeprefix(f"{reason}: "), hint=fault.hint)


_CLASSES: dict[str, Callable[[Fault], TocsinError]] = {
    QueryError.code: _query,
    AlarmRefusedError.code: lambda f: AlarmRefusedError(
        AlarmRefusal(f.reason), f.message, hint=f.hint
    ),
    CommandRefusedError.code: lambda f: CommandRefusedError(
        CommandRefusal(f.reason), f.message, hint=f.hint
    ),
    IdentityError.code: lambda f: IdentityError(IdentityReason(f.reason), f.message, hint=f.hint),
    StoreUnavailableError.code: lambda f: StoreUnavailableError(f.message, hint=f.hint),
    StoreError.code: lambda f: StoreError(f.message, hint=f.hint),
    StoreRejectedError.code: lambda f: StoreRejectedError(f.message, hint=f.hint),
    BadRequestError.code: lambda f: BadRequestError(f.message, hint=f.hint),
    NotFoundError.code: lambda f: NotFoundError(f.message, hint=f.hint),
    SpineError.code: lambda f: SpineError(SpineReason(f.reason), f.message, hint=f.hint),
}


def from_fault(fault: Fault) -> TocsinError:
    """The error to raise on the client's side."""
    make = _CLASSES.get(fault.code)
    if make is not None:
        try:
            return make(fault)
        except ValueError:  # a reason this side does not know
            pass
    return SpineError(SpineReason.FAILED, fault.message, hint=fault.hint)
