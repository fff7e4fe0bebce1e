"""What a grant says: CWT claims (RFC 8392) in their one deterministic form. docs/specs/grant.md, section 2."""

from __future__ import annotations

from enum import IntFlag
from typing import Final, NoReturn

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants import cbor
from tocsin.grants.fields import ID_BYTES, octets, uint
from tocsin.grants.primitives import sha256

LIFETIME_S: Final = 30 * 60  # longest window of a grant
RESCUE_LIFETIME_S: Final = 24 * 3600  # of a rescue grant, which two people must present together
MAX_USES: Final = 255
MAX_CTR: Final = 2**32 - 2  # so that min_ctr can rise above every grant
_SUB, _AUD, _EXP, _NBF, _CTI, _PRIVATE = 2, 3, 4, 5, 7, -70001
_KEYS: Final = frozenset({_SUB, _AUD, _EXP, _NBF, _CTI, _PRIVATE})


class Op(IntFlag):
    """What a grant allows. RESCUE stands alone: what lives for a day opens nothing by itself."""

    UNLOCK = 1
    RELOCK = 2
    RESCUE = 16


_ALL_OPS: Final = int(Op.UNLOCK | Op.RELOCK | Op.RESCUE)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """One grant's claims. Every id has 8 bytes; times are Unix seconds, `nbf` inclusive and `exp` exclusive."""

    cti: bytes  # the grant's own id
    sub: bytes  # holder_id of the person's key
    aud: bytes  # the lock
    nbf: int
    exp: int
    pmt: bytes  # the permit
    ctr: int  # counts the grants issued for this lock; below the lock's min_ctr they are revoked
    ops: Op
    uses: int = 1  # 1-255
    gw: bytes | None = None  # the only gateway that may present it

    @property
    def lifetime_s(self) -> int:
        """Seconds from `nbf` to `exp`."""
        return self.exp - self.nbf


def holder_id(public: bytes) -> bytes:
    """The `sub` of a holder's Ed25519 public key: SHA-256, cut to 8 bytes."""
    return sha256(public)[:ID_BYTES]


def encode_claims(claims: Claims) -> bytes:
    """The claims' bytes, 65-76 of them. Raises GrantRefusedError where they are not ones a lock would read."""
    private: list[cbor.Item] = [claims.pmt, claims.ctr, int(claims.ops), claims.uses]
    if claims.gw is not None:
        private.append(claims.gw)
    _check(claims)
    return cbor.encode(
        {
            _SUB: claims.sub,
            _AUD: claims.aud,
            _EXP: claims.exp,
            _NBF: claims.nbf,
            _CTI: claims.cti,
            _PRIVATE: private,
        }
    )


def decode_claims(data: bytes) -> Claims:
    """The claims `data` says. Raises GrantRefusedError: `malformed`, or `outside-window` where the window is too wide."""
    found = cbor.decode(data)
    if not isinstance(found, dict) or found.keys() != _KEYS:
        _refuse("the claims are not exactly 2, 3, 4, 5, 7 and -70001")
    private = found[_PRIVATE]
    if not isinstance(private, tuple) or len(private) not in (4, 5):
        _refuse("claim -70001 is no array of 4 or 5")
    ops = uint(private[2], "ops")
    if ops & ~_ALL_OPS:
        _refuse(f"ops {ops} has unknown bits")
    claims = Claims(
        sub=octets(found[_SUB], "sub"),
        aud=octets(found[_AUD], "aud"),
        exp=uint(found[_EXP], "exp"),
        nbf=uint(found[_NBF], "nbf"),
        cti=octets(found[_CTI], "cti"),
        pmt=octets(private[0], "pmt"),
        ctr=uint(private[1], "ctr"),
        ops=Op(ops),
        uses=uint(private[3], "uses"),
        gw=octets(private[4], "gw") if len(private) == 5 else None,
    )
    _check(claims)
    return claims


def _check(claims: Claims) -> None:
    for name in ("cti", "sub", "aud", "pmt", "gw"):
        value = getattr(claims, name)
        if value is not None:
            octets(value, name)
    for name in ("nbf", "exp"):
        uint(getattr(claims, name), name)
    uint(claims.ctr, "ctr", 0, MAX_CTR)
    uint(claims.uses, "uses", 1, MAX_USES)
    if not claims.ops:
        _refuse("ops allows nothing")
    if Op.RESCUE in claims.ops and claims.ops != Op.RESCUE:
        _refuse("the rescue bit stands alone")
    if claims.exp <= claims.nbf:
        _refuse("exp is not after nbf")
    longest = RESCUE_LIFETIME_S if claims.ops == Op.RESCUE else LIFETIME_S
    if claims.lifetime_s > longest:
        raise GrantRefusedError(
            LockRefusal.OUTSIDE_WINDOW, f"a window of {claims.lifetime_s} s, at most {longest} s"
        )


def _refuse(detail: str) -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, detail)
