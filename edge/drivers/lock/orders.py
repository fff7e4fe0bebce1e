"""The commands of a lock: their arguments, from code or from a command line, to what is asked of the client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from edge.locks.interface import Headcount, HeldGrant, HolderProof
from edge.locks.lock_client import LockClient
from firmware_bridges.lock import client
from tocsin.errors import UsageError
from tocsin.grants.lock_orders import REVOKE, ROTATE, TIME
from tocsin.sdk import Argument, Clock, CommandSpec

_GRANT = Argument("grant", "text", low=1, high=400)
_NONCE = Argument("nonce", "text", low=32, high=32)
_HOLDER = Argument("holder", "text", low=64, high=64)
_SIGNATURE = Argument("signature", "text", low=128, high=128)
COMMANDS = (
    CommandSpec("read", "Ask for its state and pull its log"),
    CommandSpec("challenge", "Open a session; answers the nonce a holder signs"),
    CommandSpec(
        "unlock", "Open under a grant, proven by its holder", (_NONCE, _GRANT, _HOLDER, _SIGNATURE)
    ),
    CommandSpec(
        "relock",
        "Lock again; refused while anyone is inside",
        (
            Argument("grant", "text", low=1, high=400, required=False),
            Argument("inside", "integer", low=0, high=65_534),
            Argument("by", "text"),
        ),
    ),
    CommandSpec(
        "rescue",
        "Open under the rescue grants of two people",
        (
            _NONCE,
            *(
                Argument(f"{one.name}_{n}", "text", low=one.low, high=one.high)
                for n in (1, 2)
                for one in (_GRANT, _HOLDER, _SIGNATURE)
            ),
        ),
    ),
    CommandSpec(
        "order",
        "Hand over a signed order of the cloud",
        (
            Argument("kind", "text", choices=("time", "revoke", "rotate")),
            Argument("form", "text", choices=("signed", "maced"), required=False),
            Argument("order", "text", low=1, high=700),
            Argument("nonce", "text", low=32, high=32, required=False),
        ),
    ),
)
_FORMS = {"signed": client.SIGNED, "maced": client.MACED}
_KINDS = {"time": TIME, "revoke": REVOKE, "rotate": ROTATE}


async def carry_out(
    lock: LockClient, name: str, args: Mapping[str, Any], clock: Clock
) -> dict[str, Any]:
    """One command. Raises UsageError for arguments that cannot be meant, and what the client raises."""
    known = next((spec for spec in COMMANDS if spec.name == name), None)
    if known is None:
        raise UsageError(f"{lock.name} takes no command {name!r}")
    allowed = {one.name for one in known.arguments}
    if unknown := sorted(set(args) - allowed - {"proof", "headcount", "grants", "proofs"}):
        raise UsageError(f"{name} has no argument {unknown[0]!r}", hint=", ".join(sorted(allowed)))
    match name:
        case "read":
            return await lock.read()
        case "challenge":
            return await lock.challenge()
        case "unlock":
            nonce, grant = octets(args, "nonce", 16), _grant(args, "grant")
            return await lock.unlock(nonce, grant, args.get("proof") or _proof(args, ""))
        case "relock":
            held = _grant(args, "grant") if args.get("grant") is not None else None
            return await lock.relock(held, _headcount(args, clock))
        case "rescue":
            grants = args.get("grants") or (_grant(args, "grant_1"), _grant(args, "grant_2"))
            proofs = args.get("proofs") or (_proof(args, "_1"), _proof(args, "_2"))
            return await lock.rescue(octets(args, "nonce", 16), grants, proofs)
    return await _order(lock, args)


async def _order(lock: LockClient, args: Mapping[str, Any]) -> dict[str, Any]:
    kind = _KINDS.get(str(args.get("kind", "")))
    form = _FORMS.get(str(args.get("form", "signed")))
    if kind is None or form is None:
        raise UsageError("kind is time, revoke or rotate, form is signed or maced")
    order = _packed(args, "order")
    nonce = octets(args, "nonce", 16) if args.get("nonce") else None
    if (kind == TIME) != (nonce is not None):
        raise UsageError("a TIME order, and no other, goes with the nonce of a challenge")
    if kind == TIME:
        return await lock.order(lambda s: client.tell_time(s, form, order), nonce)
    if kind == REVOKE:
        return await lock.order(lambda s: client.revoke(s, form, order), nonce)
    return await lock.order(lambda s: client.rotate(s, order), nonce)


def octets(args: Mapping[str, Any], name: str, size: int) -> bytes:
    """An argument of `size` bytes, as they are or as hex. Raises UsageError."""
    value = args.get(name)
    try:
        found = value if isinstance(value, bytes) else bytes.fromhex(str(value or ""))
    except ValueError:
        found = b""
    if len(found) != size:
        raise UsageError(f"{name} is {2 * size} hex digits")
    return found


def _packed(args: Mapping[str, Any], name: str) -> bytes:
    """An argument of any length, as bytes or base64url."""
    value = args.get(name)
    if isinstance(value, bytes):
        return value
    text = str(value or "")
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise UsageError(f"{name} is base64url")
    return found


def _grant(args: Mapping[str, Any], name: str) -> HeldGrant:
    value = args.get(name)
    return value if isinstance(value, HeldGrant) else HeldGrant(_packed(args, name))


def _proof(args: Mapping[str, Any], suffix: str) -> HolderProof:
    return HolderProof(octets(args, f"holder{suffix}", 32), octets(args, f"signature{suffix}", 64))


def _headcount(args: Mapping[str, Any], clock: Clock) -> Headcount:
    given = args.get("headcount")
    if isinstance(given, Headcount):
        return given
    try:
        inside = int(str(args.get("inside", "")))
    except ValueError:
        raise UsageError("inside is a whole number: how many are in there") from None
    return Headcount(inside, str(args.get("by", "")) or "nobody", clock.now_ns())
