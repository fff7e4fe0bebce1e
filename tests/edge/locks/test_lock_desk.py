"""The gateway's other rooms and its locks: a whole agent, its desk, its journal; unmodified bleak below."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.app import Agent
from edge.config import load_gateway
from edge.locks.interface import Headcount, LockNews, Locks, TimeKey
from tests.edge.locks.conftest import GATEWAY, ISSUERS, Site
from tocsin.contract.orders import Outcome
from tocsin.errors import LinkError, UsageError
from tocsin.grants.claims import Op
from tocsin.grants.grant import verify
from tocsin.grants.lock_keys import time_key
from tocsin.grants.lock_log import LockEventKind
from tocsin.testing import wait_until


@asynccontextmanager
async def agent_of(site: Site, more: str = "") -> AsyncIterator[Agent]:
    """A gateway whose only driver has the site's locks."""
    config = site.config()
    devices = ",\n".join(
        f'{{ id = "{one.id}", lock_id = "{one.lock_id}", key = "{one.key.reveal()}", '
        f'advert_key = "{one.advert_key.reveal() if one.advert_key else ""}" }}'
        for one in config.devices
    )
    issuer = config.issuers[0]
    path = site.folder / "gateway.toml"
    path.write_text(
        f"""schema = 1

[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"

[[drivers]]
type = "lock"
name = "hatches"
gateway_id = "{GATEWAY.hex()}"
issuers = [{{ kid = "{issuer.kid}", public = "{issuer.public}" }}]
clock_error_s = 1
find_s = 1
connect_s = 0.5
devices = [{devices}]
{more}""",
        "utf-8",
    )
    agent = await Agent.open(load_gateway(path))
    for name in agent.locks.names():
        since = int(time.time()) - 60
        key = time_key(site.keys[name], GATEWAY, since, since + 3600)
        agent.locks.lend_time(name, TimeKey(key, since, since + 3600))
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.stop()
        await asyncio.wait_for(running, 20)


async def test_another_room_opens_locks_again_and_hears_of_it(site: Site) -> None:
    lock, other = site.add(), site.add("hatch-2")
    async with agent_of(site) as agent:
        locks: Locks = agent.locks
        news: list[LockNews] = []
        locks.listen(news.append)
        assert locks.names() == ("hatch-1", "hatch-2")
        await wait_until(lambda: all(locks.state(name).available for name in locks.names()))
        grant = site.grant()
        challenge = await locks.challenge("hatch-1", actor="zhang")
        proof = site.proof(challenge.nonce, grant)
        opened = await locks.unlock(challenge, grant, proof, actor="zhang")
        assert opened.outcome is Outcome.DONE, opened
        assert (lock.lock.state.is_unlocked, other.lock.state.is_unlocked) == (True, False)
        assert locks.state("hatch-1").bolt_out is False
        assert LockEventKind.UNLOCK in [one.kind for one in news if one.lock == "hatch-1"]

        now_ns = time.time_ns()
        inside = await locks.relock("hatch-1", grant, Headcount(3, "li", now_ns), actor="li")
        assert (inside.outcome, inside.reason) == (Outcome.REFUSED, "occupied")
        assert "3 inside" in inside.text
        empty = await locks.relock("hatch-1", grant, Headcount(0, "li", now_ns), actor="li")
        assert empty.outcome is Outcome.DONE
        assert (await locks.sync_log("hatch-1", actor="li")).outcome is Outcome.DONE

        locks.refuse_when(lambda lock, claims: "the permit is suspended")
        again = await locks.challenge("hatch-1", actor="zhang")
        fresh = site.grant()
        refused = await locks.unlock(again, fresh, site.proof(again.nonce, fresh), actor="zhang")
        assert (refused.outcome, refused.reason) == (Outcome.REFUSED, "not-allowed")
        assert "suspended" in refused.text


async def test_a_lock_that_vanishes_is_told_as_unknown_and_an_absent_one_is_no_crash(
    site: Site,
) -> None:
    site.add()
    async with agent_of(site) as agent:
        locks: Locks = agent.locks
        await wait_until(lambda: locks.state("hatch-1").available)
        grant = site.grant()
        challenge = await locks.challenge("hatch-1", actor="zhang")
        faults = site.faults["hatch-1"]
        faults.drop_after_write, faults.out_of_range = site.moving_write, True
        proof = site.proof(challenge.nonce, grant)
        result = await locks.unlock(challenge, grant, proof, actor="zhang")
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "no-answer")
        assert "look at it" in result.text
        assert locks.state("hatch-1").in_doubt == "unlock"
        with pytest.raises(LinkError):
            await locks.challenge("hatch-1", actor="zhang")
        with pytest.raises(UsageError, match="hatch-9"):
            await locks.challenge("hatch-9", actor="zhang")


async def test_where_no_permit_can_be_kept_locks_open_for_a_rescue_only_and_lock_nobody_in(
    site: Site,
) -> None:
    lock = site.add()
    (site.folder / "data").mkdir()
    (site.folder / "data" / "permits").write_text("a file where the folder should be", "utf-8")
    async with agent_of(site, "[permits]\n") as agent:
        assert agent.permits is None
        locks: Locks = agent.locks
        await wait_until(lambda: locks.state("hatch-1").available)
        grant, count = site.grant(), Headcount(0, "li", time.time_ns())
        challenge = await locks.challenge("hatch-1", actor="zhang")
        proof = site.proof(challenge.nonce, grant)
        opened = await locks.unlock(challenge, grant, proof, actor="zhang")
        locked = await locks.relock("hatch-1", None, count, actor="li")
        assert (opened.reason, locked.reason) == ("not-allowed", "occupied")
        assert "no permit is watched" in opened.text
        assert not lock.lock.state.is_unlocked
        raw, rescue = (site.grant(ops=op) for op in (Op.UNLOCK, Op.RESCUE))
        claims = [verify(one.raw, ISSUERS).claims for one in (raw, rescue)]
        assert [bool(agent.locks.why_not("hatch-1", one)) for one in claims] == [True, False]
