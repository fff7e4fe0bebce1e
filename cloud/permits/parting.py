"""Whether a gateway's journal of a permit and the cloud's are one, and what is written when they part or join. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloud.permits.journals import Taken, is_mended_later
from cloud.permits.loaded import Loaded
from tocsin.permits.facts import Noted
from tocsin.permits.journal import CLOUD, Entry, entry_hash, gateway_source
from tocsin.permits.messages import PermitUp
from tocsin.permits.names import ENDED
from tocsin.permits.permit import GATEWAY_JOINED, GATEWAY_PARTED, HAS_SIREN, NO_SIREN, Permit


@dataclass(frozen=True, slots=True)
class Heard:
    """`told`: our newest entry that it keeps for sure; `whole`: nothing is missing on either side; `noted`: what has to be written."""

    told: int
    whole: bool
    noted: Noted | None


def heard(found: Loaded, up: PermitUp, taken: Taken, after: Permit) -> Heard:
    """What a message tells; `after` is the permit with what was taken of it.

    A fork, a broken link, a lost journal and entries of ours that are not ours (this database is older than what it once told)
    mend only with a journal given back, so that what happened meanwhile is unknown for good. A gap may still be on its way.
    """
    source, kept = gateway_source(found.kept.gateway), found.kept
    newest = max((e.seq for e in [*found.entries, *taken.news] if e.source == source), default=0)
    for_good = any(not is_mended_later(f) for f in taken.faults)
    new_disk = up.lost or up.have == 0 < kept.told
    parted = new_disk or for_good or not _is_ours(found.entries, found.own, up)
    whole = not (parted or taken.faults or up.own > newest)
    told = min(up.have, found.own)
    if not whole:
        told = max(min(told, found.own - 1, told if up.lost else kept.told), 0)
    noted = None
    if after.activated_ns is not None and after.state not in ENDED:
        if parted and not after.parted:
            noted = Noted(GATEWAY_PARTED, _why(up, taken))
        elif after.parted and whole and told == found.own:
            noted = Noted(GATEWAY_JOINED)
    return Heard(told, whole, noted)


def siren_noted(up: PermitUp, permit: Permit) -> Noted | None:
    """What has to be written of the siren of the space, where that is news."""
    if up.siren is None or permit.state in ENDED or permit.silent is not up.siren:
        return None
    return Noted(HAS_SIREN if up.siren else NO_SIREN)


def _is_ours(entries: Sequence[Entry], own: int, up: PermitUp) -> bool:
    """Whether the newest entry of ours that it keeps is one of ours."""
    if not up.head or not up.have:
        return up.have <= own
    named = next((e for e in entries if e.source == CLOUD and e.seq == up.have), None)
    return named is not None and entry_hash(named) == up.head


def _why(up: PermitUp, taken: Taken) -> str:
    """For who reads the journal: what is wrong, and where."""
    if taken.faults:
        return f"{taken.faults[0].kind.value} {taken.faults[0].seq}"
    return f"cloud {up.have}" if up.have and not up.lost else f"lost {max(up.own, 0) + 1}"
