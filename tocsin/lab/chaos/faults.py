"""Which fault strikes whom, when and for how long: a pure function of the seed, the length and what may be broken."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

import msgspec

QUIET_S = 4.0  # between a fault's end and the next one of the same target: what was broken must be seen working
FIRST_S = 2.0
PAUSE_S = (2.0, 7.0)  # from one fault's beginning to the next one's
NEEDED_PER_S = 20 / 600  # faults that must land with work in flight


class Kind(msgspec.Struct, frozen=True):
    """One way to break one part; `shortest_s` to `longest_s` it stays broken."""

    name: str
    target: str
    shortest_s: float
    longest_s: float
    text: str
    needs: str = ""  # "disk": a small file system of our own under the data; "root"


KINDS = (
    Kind("kill", "gateway", 0.2, 3.0, "kill -9, started again afterwards"),
    Kind("kill", "spine", 0.2, 0.2, "kill -9; the cloud's supervisor starts it again"),
    Kind("kill", "web", 0.2, 0.2, "kill -9; the cloud's supervisor starts it again"),
    Kind("kill", "broker", 0.2, 3.0, "kill -9, started again afterwards"),
    Kind("forget", "broker", 0.2, 2.0, "kill -9 and everything it kept deleted"),
    Kind("stall", "gateway", 1.0, 5.0, "SIGSTOP, then SIGCONT"),
    Kind("stall", "spine", 1.0, 5.0, "SIGSTOP, then SIGCONT"),
    Kind("stall", "web", 1.0, 5.0, "SIGSTOP, then SIGCONT"),
    Kind("stall", "broker", 1.0, 5.0, "SIGSTOP, then SIGCONT"),
    Kind("cut", "uplink", 1.0, 6.0, "connections between gateway and broker reset, new ones refused"),
    Kind("half-open", "uplink", 2.0, 6.0, "connections between gateway and broker swallow everything"),
    Kind("slow", "uplink", 2.0, 6.0, "1,000 bytes per second between gateway and broker"),
    Kind("cut", "ingest", 1.0, 6.0, "connections between broker and cloud reset, new ones refused"),
    Kind("half-open", "ingest", 2.0, 6.0, "connections between broker and cloud swallow everything"),
    Kind("slow", "ingest", 2.0, 6.0, "1,000 bytes per second between broker and cloud"),
    Kind("disk-quota", "gateway", 1.0, 5.0, "no byte may be written any more (RLIMIT_FSIZE)"),
    Kind("disk-quota", "spine", 1.0, 5.0, "no byte may be written any more (RLIMIT_FSIZE)"),
    Kind("disk-full", "gateway", 1.0, 5.0, "its file system is filled to the last byte", "disk"),
    Kind("disk-full", "spine", 1.0, 5.0, "its file system is filled to the last byte", "disk"),
    Kind("read-only", "gateway", 1.0, 4.0, "killed, started on a read-only disk that then can be written", "disk"),
    Kind("jump", "clock", 2.0, 8.0, "the gateway's clock jumps by seconds to years, and back"),
)  # fmt: skip
JUMPS_S = (2.5, 3_600.0, 86_400.0, 3 * 365 * 86_400.0)


class Fault(msgspec.Struct, frozen=True):
    """One planned fault. `amount`: seconds of a clock's jump, else 0."""

    at_s: float
    kind: str
    target: str
    for_s: float
    amount: float = 0.0

    @property
    def name(self) -> str:
        """What it is called in `--only` and in the report."""
        return f"{self.kind}:{self.target}"


def name_of(kind: Kind) -> str:
    """`kill:gateway` and the like."""
    return f"{kind.name}:{kind.target}"


def available(*, disks: bool) -> list[str]:
    """Names of the faults that can be played; `disks`: the data lies on small file systems of our own."""
    return [name_of(k) for k in KINDS if disks or k.needs != "disk"]


def schedule(seed: int, seconds: float, names: Collection[str]) -> list[Fault]:
    """Faults by time. They overlap, but never two of one target; all are over at `seconds`.

    Kinds come in shuffled rounds, so that each has its turn before one comes again.
    """
    rng = Random(seed)
    kinds = [kind for kind in KINDS if name_of(kind) in names]
    free_at: dict[str, float] = {}
    out: list[Fault] = []
    round_: list[Kind] = []
    at_s = FIRST_S
    while kinds:
        if not round_:
            round_ = rng.sample(kinds, len(kinds))
        kind = next((k for k in round_ if free_at.get(k.target, 0.0) <= at_s), None)
        if kind is None:
            if min(free_at[k.target] for k in round_) >= seconds:
                break
            at_s = min(free_at[k.target] for k in round_)
            continue
        for_s = round(rng.uniform(kind.shortest_s, kind.longest_s), 2)
        if at_s + for_s > seconds:
            break
        round_.remove(kind)
        amount = rng.choice(JUMPS_S) * rng.choice((-1, 1)) if kind.name == "jump" else 0.0
        out.append(Fault(round(at_s, 2), kind.name, kind.target, for_s, amount))
        free_at[kind.target] = out[-1].at_s + for_s + QUIET_S
        at_s += rng.uniform(*PAUSE_S)
    return out


def needed(seconds: float) -> int:
    """How many faults must land with work in flight in a run of this length, at least one."""
    return max(1, round(seconds * NEEDED_PER_S))
