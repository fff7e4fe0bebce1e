"""What a lock knows: what it was made with, what it keeps through a power cut, and what it forgets. Pure data."""

from __future__ import annotations

from typing import Final

import msgspec

from firmware_bridges.lock.frames import Kind, Partial
from firmware_bridges.lock.gatt import Info, Profile, Shown
from firmware_bridges.lock.session import Keys
from tocsin.grants.claims import Claims
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import first_head

NONCE_S: Final = 30  # how long a nonce lives
IDLE_S: Final = 15  # a link without a word is dropped
BOLT_S: Final = 3  # how long the bolt may take
ADVERT_S: Final = 900  # the advertisement changes at least this often
FAILURES: Final = 5  # wrong signatures or proofs in a row, then lockout
LOCKOUT_S: Final = 60
MAX_LOCKOUT_S: Final = 900
USED_GRANTS: Final = 64  # grants the lock remembers one by one
BATTERY_LOW_PERCENT: Final = 10  # below, it would unlock and could not lock again
LOG_EVENTS: Final = 512
LOG_DENIALS: Final = 384  # events nobody acknowledged, above which denials are only counted
LOG_OPENINGS: Final = 448  # and above which the lock opens no more: what opens is logged
DRIFT_S_PER_S: Final = 10_000  # one second wrong for so many: 100 ppm


class Identity(msgspec.Struct, frozen=True):
    """What a lock was made and commissioned with."""

    lock_id: bytes
    profile: Profile
    k_lock: bytes
    firmware: int = 1
    model: int = 1

    def __repr__(self) -> str:
        return f"Identity(lock_id={self.lock_id!r}, profile={self.profile!r}, k_lock=***)"


class Remembered(msgspec.Struct, frozen=True):
    """A grant the lock must not take again, or not without counting."""

    cti: bytes
    ctr: int
    left: int  # uses
    is_revoked: bool = False


class Opener(msgspec.Struct, frozen=True):
    """What opened the bolt last: who may lock it again. `cti` is zeros for the inside handle or a key."""

    cti: bytes
    may_relock: bool


class Durable(msgspec.Struct, frozen=True):
    """What outlives a power cut; one slot of flash holds all of it."""

    generation: int = 0
    boot_counter: int = 0
    min_ctr: int = 0
    gateway_epoch: int = 1
    time_floor_s: int = 0  # the latest time the cloud itself told: no earlier one is taken
    acked_seq: int = 0
    failures: int = 0
    lockout_s: int = 0  # length of the lockout in force or the last one; 0 after an opening
    is_locked_out: bool = False
    opener: Opener = Opener(bytes(8), True)
    issuers: IssuerKeys | None = None  # profile B
    used: tuple[Remembered, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """One event of the log, as bytes, with the head after it."""

    event: bytes
    head: bytes


class ClockSet(msgspec.Struct, frozen=True):
    """When the lock was told the time, and how well it was known."""

    at_s: int
    unix_s: int
    error_s: int


class LockSession(msgspec.Struct, frozen=True):
    """A session since HELLO. `nonce` is None once it is burnt."""

    gateway_id: bytes
    keys: Keys
    nonce: bytes | None
    nonce_until_s: int
    grant: Claims | None = None  # profile B: verified, its holder's proof to come


class Link(msgspec.Struct, frozen=True):
    """The one connection."""

    number: int
    frame_bytes: int
    heard_s: int
    sent: int = 0  # messages, for their number
    partial: Partial | None = None
    session: LockSession | None = None


class Awaited(msgspec.Struct, frozen=True):
    """The bolt was told to move; who asked is answered when it has, or at `until_s`."""

    kind: Kind
    to_unlocked: bool
    until_s: int
    cti: bytes
    headcount: int = 0
    gateway_id: bytes = bytes(8)


class LockState(msgspec.Struct, frozen=True):
    """Everything. Times are seconds since the lock started, unless called unix."""

    durable: Durable
    head: bytes  # of the log, after event `seq`
    base: bytes  # the head before the first event of `log`
    seq: int = 0
    log: tuple[Record, ...] = ()  # at most 512, the last has `seq`
    is_unlocked: bool = False
    is_open: bool = False
    is_tampered: bool = False
    is_jammed: bool = False
    battery_percent: int = 100
    clock: ClockSet | None = None
    lockout_until_s: int = 0
    unlogged: int = 0  # events that found no room
    link: Link | None = None
    awaited: Awaited | None = None
    advertised: Shown | None = None
    advertised_s: int = 0


def new_lock(identity: Identity, issuers: IssuerKeys | None) -> LockState:
    """A lock as it leaves the factory: locked, empty, without the time."""
    head = first_head(identity.lock_id)
    return LockState(Durable(issuers=issuers), head, head)


def clock_of(state: LockState, now_s: int) -> tuple[int, int]:
    """Unix seconds and the quality of that: 2 under 10 s wrong, 1 under 60 s, 0 unknown (then: seconds since the start)."""
    if state.clock is None:
        return now_s, 0
    since_s = now_s - state.clock.at_s
    error_s = state.clock.error_s + since_s // DRIFT_S_PER_S
    quality = 2 if error_s < 10 else 1 if error_s < 60 else 0
    time_s = min(state.clock.unix_s + since_s, 2**32 - 1)
    return (time_s, quality) if quality else (now_s, 0)


def shown(state: LockState, now_s: int) -> Shown:
    """The state as anyone may see it."""
    flags = {
        Shown.UNLOCKED: state.is_unlocked,
        Shown.DOOR_OPEN: state.is_open,
        Shown.TAMPER: state.is_tampered,
        Shown.EVENTS_PENDING: state.seq > state.durable.acked_seq,
        Shown.JAMMED: state.is_jammed,
        Shown.LOCKED_OUT: state.durable.is_locked_out,
        Shown.BATTERY_LOW: state.battery_percent < BATTERY_LOW_PERCENT,
        Shown.TIME_UNKNOWN: not clock_of(state, now_s)[1],
    }
    return Shown(sum(flag for flag, is_set in flags.items() if is_set))


def info(identity: Identity, state: LockState, now_s: int) -> Info:
    """What INFO reads now."""
    return Info(
        model=identity.model,
        profile=identity.profile,
        lock_id=identity.lock_id,
        firmware=identity.firmware,
        boot_counter=state.durable.boot_counter,
        shown=shown(state, now_s),
        battery_percent=state.battery_percent,
        event_seq=state.seq,
        time_quality=clock_of(state, now_s)[1],
    )
