"""A gateway with permits, through a real broker, a real gas head and a siren's real coil: it stops work alone and loses nothing."""

from __future__ import annotations

import time

import msgspec

from tests.edge.permits.conftest import Plant
from tests.edge.permits.day import SOURCE, CloudSide
from tocsin.permits.facts import Moved
from tocsin.permits.intervals import NS
from tocsin.permits.names import Action, Cause


def test_gas_with_the_cloud_cut_stops_work_sounds_the_siren_survives_a_kill_and_merges(
    plant: Plant,
) -> None:
    plant.start()
    cloud = CloudSide().to_active("zhou", "wu")
    plant.tell(cloud.down())
    plant.until(lambda: plant.state() == "active", "the permit")
    plant.until(lambda: cloud.state(plant.cloud) and cloud.ups, "word that it is kept")
    assert cloud.ups[-1].have == max(e.seq for e in cloud.entries)
    plant.until(lambda: not plant.permits()[0]["breaches"], "readings of the space")
    plant.proxy.cut()
    plant.release()
    plant.until(lambda: plant.state() == "suspended", "the suspension")
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    (shown,) = plant.permits()
    assert (shown["inside"], shown["cause"]) == (["wu", "zhou"], "gas")
    assert shown["breaches"][0]["citation"], "the rule that is broken is named"

    plant.agent.kill9()
    plant.start(connected=False)
    assert plant.state() == "suspended"
    assert plant.permits()[0]["inside"] == ["wu", "zhou"]
    plant.until(lambda: plant.coil().count("1") >= 2, "the siren after the restart")
    assert plant.permits()[0]["unmerged"] > 0

    plant.proxy.resume()
    plant.until(lambda: cloud.state(plant.cloud) == "suspended", "the merge")
    mine = [e for e in cloud.entries if e.source == SOURCE]
    assert [e.action for e in mine] == [Action.SUSPEND]
    assert isinstance(mine[0].fact, Moved)
    assert mine[0].fact.cause is Cause.GAS
    plant.tell(cloud.down(after=10**6))
    plant.until(lambda: plant.permits()[0]["unmerged"] == 0, "the cloud's word that it keeps them")
    assert plant.agent.terminate() == 0


def test_what_is_not_the_clouds_is_refused_and_harms_nothing(plant: Plant) -> None:
    plant.start()
    cloud = CloudSide().to_active("zhou")
    plant.tell(cloud.down(key=b"another key"))
    plant.tell(b"{")
    plant.tell(cloud.down(gateway="gw-2"))
    plant.tell(b"x" * (600 << 10))
    plant.tell(cloud.down())
    plant.until(lambda: plant.state() == "active", "the right one")
    forged = next(e for e in cloud.entries if e.seq == 3)
    plant.tell(cloud.down(entries=(msgspec.structs.replace(forged, reason="changed"),)))
    plant.tell(cloud.down(denied=("00" * 8,)))
    assert plant.state() == "active"
    assert len(plant.permits()) == 1
    assert plant.agent.terminate() == 0
    assert any("signature does not fit" in line for line in plant.agent.stderr)
    assert any("fork" in line for line in plant.agent.stderr)


def test_a_permit_ends_at_its_time_without_the_cloud(plant: Plant) -> None:
    plant.start()
    cloud = CloudSide(until_ns=time.time_ns() + 6 * NS).to_active("zhou")
    plant.tell(cloud.down())
    plant.until(lambda: plant.state() == "active", "the permit")
    plant.proxy.cut()
    plant.until(lambda: plant.state() == "expired", "its end")
    plant.until(lambda: plant.coil()[-1:] == ["1"], "the siren")
    assert plant.agent.terminate() == 0
