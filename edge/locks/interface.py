"""What the gateway's other rooms ask of its locks. Locks are named by their device id in gateway.toml.

Every command is journalled before it is sent and its result is an event (`command.accepted`, `command.result`), whoever
asked for it; nothing here raises for a lock that does not do what it is told: the `Result` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from edge.orders.results import Result
from tocsin.grants.claims import Claims

UNLOCK_WITHIN_S = 30.0  # as long as a lock's nonce is good


class Challenge(msgspec.Struct, frozen=True):
    """One lock waits for one proof: the holder signs `holder_message(PROOF_UNLOCK, nonce, lock_id, cti)`.

    Good for 30 s and one attempt; the lock drops the connection after 15 s in which nothing is sent.
    """

    lock: str
    lock_id: bytes  # 8 bytes
    nonce: bytes  # 16 bytes, the lock's own
    until_ns: int  # gateway's wall clock


class HolderProof(msgspec.Struct, frozen=True):
    """A holder's Ed25519 public key (32 bytes) and signature (64 bytes) over one challenge."""

    public: bytes
    signature: bytes


class TimeKey(msgspec.Struct, frozen=True):
    """K_time: this gateway may tell one lock the time between two Unix times, a day apart at most. Never shows itself."""

    key: bytes
    from_s: int
    until_s: int

    def __repr__(self) -> str:
        return f"TimeKey(***, {self.from_s}, {self.until_s})"

    __str__ = __repr__


class HeldGrant(msgspec.Struct, frozen=True):
    """A grant as the cloud gave it to this gateway. `capability` is K_grant, for a lock without signatures (profile A)."""

    raw: bytes  # COSE_Sign1
    capability: bytes | None = None

    def __repr__(self) -> str:
        return f"HeldGrant({len(self.raw)} bytes, capability={'***' if self.capability else None})"

    __str__ = __repr__


class Headcount(msgspec.Struct, frozen=True):
    """Who says that so many people are inside, and when it was counted (wall clock). None: nobody knows."""

    inside: int | None
    by: str
    counted_ns: int


class LockState(msgspec.Struct, frozen=True):
    """What is known of one lock. None where it never told; `heard_ns` says how old it is (wall clock).

    `in_doubt` names the command whose answer never came: the bolt may be in either place until the lock is read again.
    """

    lock: str
    available: bool
    heard_ns: int | None = None  # last advertisement or answer
    read_ns: int | None = None  # last time it was asked
    bolt_out: bool | None = None  # locked
    door_open: bool | None = None
    tamper: bool | None = None
    battery_percent: int | None = None
    time_quality: int | None = None  # 0 unknown, 1 under 60 s wrong, 2 under 10 s
    log_seq: int | None = None  # newest event of its log
    synced_seq: int | None = None  # newest event this gateway has journalled
    in_doubt: str = ""


class LockNews(msgspec.Struct, frozen=True):
    """Something changed at a lock: its state, an event of its own log (`kind` is a LockEventKind), or a fault of the log."""

    lock: str
    state: LockState
    kind: int | None = None
    cti: bytes = b""
    text: str = ""


class Locks(Protocol):
    """All locks of this gateway."""

    def names(self) -> tuple[str, ...]:
        """Device ids of the configured locks."""
        ...

    def state(self, lock: str) -> LockState:
        """What is known now; asks nobody. Raises UsageError: no such lock."""
        ...

    async def challenge(self, lock: str, *, actor: str) -> Challenge:
        """Connect, check that it is the lock it says it is, and have its nonce; the connection stays open for `unlock`.

        Raises:
            UsageError: no such lock.
            DriverError: it is not in range, does not answer, or is another lock.
            GrantRefusedError: it is locked out against guessing.
        """
        ...

    async def unlock(
        self, challenge: Challenge, grant: HeldGrant, proof: HolderProof, *, actor: str
    ) -> Result:
        """Open under a grant that is live, for this lock and this holder; checked here first, then by the lock.

        `reason` of a refusal is a LockRefusal. The outcome `unknown` means that the bolt may be in either place.
        """
        ...

    async def rescue(
        self,
        challenge: Challenge,
        grants: tuple[HeldGrant, HeldGrant],
        proofs: tuple[HolderProof, HolderProof],
        *,
        actor: str,
    ) -> Result:
        """Open under two rescue grants of two people, both having signed this challenge (PROOF_RESCUE)."""
        ...

    async def relock(
        self, lock: str, grant: HeldGrant | None, headcount: Headcount, *, actor: str
    ) -> Result:
        """Lock again under the grant that opened it; None: the inside handle or a key did. Refused (`occupied`) while anyone is inside or nobody knows, before anything is sent."""
        ...

    async def order(
        self,
        lock: str,
        order: bytes,
        kind: bytes,
        *,
        actor: str,
        form: str = "signed",
        challenge: Challenge | None = None,
    ) -> Result:
        """Hand an order of the cloud to the lock: TIME, REVOKE or ROTATE of tocsin.grants.lock_orders.

        `form` is "signed" or, for a lock without signatures, "maced". A TIME is bound to the nonce of a `challenge`.
        """
        ...

    async def sync_log(self, lock: str, *, actor: str) -> Result:
        """Pull what is new in its log, verify the chain, journal it, then let the lock forget it."""
        ...

    def lend_time(self, lock: str, key: TimeKey) -> None:
        """The cloud lends this gateway K_time of a lock: without it a lock that lost power learns no time and opens nothing.

        Told at the next contact, where the gateway's clock is disciplined (or `clock_error_s` is configured).
        """
        ...

    def refuse_when(self, rule: Callable[[str, Claims], str]) -> None:
        """`rule(lock, claims)` is asked before every unlock: why not (one sentence), or "" to let it pass."""
        ...

    def keep_open_when(self, rule: Callable[[str], str]) -> None:
        """`rule(lock)` is asked before every relock, whoever asks and whatever they counted: why not, or "" to let it pass."""
        ...

    def open_with(self, find: Callable[[Claims], bytes | None]) -> None:
        """`find(claims)` is asked for the capability of a grant that came without it: through the cloud only its COSE copy comes."""
        ...

    def listen(self, hear: Callable[[LockNews], None]) -> None:
        """`hear` is called with all news, in order; it must not block."""
        ...
