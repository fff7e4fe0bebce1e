"""Grants voided and issuer keys replaced from a terminal: what happens, what is asked first, and what stays written down."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from cloud.permits.granting import grants_of
from cloud.permits.issued import Issued
from cloud.permits.tables import grants
from tests.cloud.permits.crew import LOCK, Crew
from tocsin.errors import LockKeyError, LockKeyReason

if TYPE_CHECKING:
    from tests.cloud.conftest import RunningCloud


def tocsin(cloud: RunningCloud, *words: str) -> subprocess.CompletedProcess[str]:
    """`tocsin permit ...` as somebody types it into a script: no terminal to be asked at."""
    argv = [sys.executable, "-m", "tocsin.cli", "permit", *words, "--data", str(cloud.directory)]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


def told(cloud: RunningCloud, *words: str) -> Any:
    done = tocsin(cloud, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_lock_is_revoked_from_the_terminal_and_who_and_why_stays(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    for words, said in (
        (("revoke", "--reason", "x", "--yes"), "which locks"),
        (("revoke", "--all", "--yes"), "a reason is missing"),
        (("revoke", "--all", "--reason", "x"), "--yes"),
        (("revoke", "north/lock-9", "--reason", "x", "--yes"), "no lock north/lock-9"),
    ):
        refused = tocsin(cloud, *words)
        assert (refused.returncode != 0, said in refused.stderr) == (True, True), refused.stderr
    assert told(cloud, "changes") == []
    reason = ("--reason", "a phone is lost", "--actor", "tech-1")
    (lock,) = told(cloud, "revoke", "--all", "--gateways-too", "--yes", *reason)
    assert (lock["lock"], lock["min_ctr"], lock["epoch"]) == (LOCK.hex(), lock["next_ctr"], 2)
    with cloud.engine.connect() as c:
        voided = c.execute(select(grants.c.void_ns).where(grants.c.permit == permit)).scalars()
        assert all(voided.all())
    (change,) = crew.must("bureau", "GET", "/key-changes")
    assert {k: change[k] for k in ("by", "what", "about", "site", "reason")} == {
        "by": "tech-1", "what": "grants-and-gateways-revoked", "about": "north/lock-7",
        "site": "north", "reason": "a phone is lost",
    }  # fmt: skip
    assert "a phone is lost" in tocsin(cloud, "changes").stdout


def test_the_issuer_key_is_replaced_from_the_terminal_and_no_lock_is_left_behind_unasked(
    cloud: RunningCloud, crew: Crew
) -> None:
    why = ("--reason", "once a year", "--yes")
    assert told(cloud, "rotate", *why) == {"kid": "0002"}
    early = tocsin(cloud, "rotate", "--switch", *why)
    assert early.returncode != 0
    assert "not taken yet by north/lock-7" in early.stderr
    assert told(cloud, "rotate", "--switch", "--force", *why) == {"kid": "0002"}
    assert [k["what"] for k in told(cloud, "changes")] == [
        "issuer-switched-by-force", "issuer-prepared",
    ]  # fmt: skip
    assert "--force goes with --switch" in tocsin(cloud, "rotate", "--force", *why).stderr


def test_what_was_done_over_http_says_who_and_why_too(crew: Crew) -> None:
    body = {"code": crew.code("tech"), "reason": "stolen gateway"}
    crew.must("tech", "POST", f"/locks/{LOCK.hex()}/revoke", body)
    crew.must("root", "POST", "/issuer-keys", {"code": crew.code("root")})
    done = [(k["by"], k["what"], k["reason"]) for k in crew.must("li", "GET", "/key-changes")]
    assert done == [("root", "issuer-prepared", ""), ("tech", "grants-revoked", "stolen gateway")]


def _kids(cloud: RunningCloud, permit: str, now_ns: int) -> list[tuple[bool, int]]:
    with cloud.engine.connect() as c:
        return sorted((g.rescue, g.kid) for g in grants_of(c, permit) if g.is_live(now_ns))


def test_a_new_issuer_key_signs_what_is_live_anew_before_locks_may_forget_the_old_one(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    changes = cloud.permits.keys
    changes.prepare("root", "yearly")
    changes.switch("root", "yearly", force=True)
    for _ in range(2):
        with pytest.raises(LockKeyError, match=f"issuer key 0001 .*{permit}") as caught:
            changes.prepare("root", "at once")
    assert caught.value.reason is LockKeyReason.GRANTS_LIVE
    cloud.book.look()
    assert _kids(cloud, permit, crew.now_ns) == [(False, 1), (False, 2), (True, 1), (True, 2)]
    noted = crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"]
    cloud.book.look()
    assert crew.must("li", "GET", f"/permits/{permit}")["permit"]["grants"] == noted
    (holder,) = {g["holder"] for g in noted if not g.get("rescue")}
    issued = Issued(cloud.engine, cloud.permits.locks)
    shown = issued.live(permit, "north", "lock-7", "li", holder, crew.now_ns)
    assert shown is not None
    assert shown.kid == 2
    assert changes.prepare("root", "once it is safe").kid == b"\x00\x03"


def test_a_suspended_permits_rescue_grants_hold_their_key_until_they_are_replaced_or_revoked(
    cloud: RunningCloud, crew: Crew
) -> None:
    permit = crew.active()
    changes = cloud.permits.keys
    changes.prepare("root", "yearly")
    crew.must("li", "POST", f"/permits/{permit}/suspend", {"reason": "rain"})
    changes.switch("root", "yearly", force=True)
    cloud.book.look()
    with pytest.raises(LockKeyError, match=permit):
        changes.prepare("root", "yearly")
    crew.must("li", "POST", f"/permits/{permit}/emergency", {"reason": "he fell"})
    cloud.book.look()
    assert (True, 2) in _kids(cloud, permit, crew.now_ns)
    assert changes.prepare("root", "yearly").kid == b"\x00\x03"
