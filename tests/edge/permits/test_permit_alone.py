"""A gateway with permits, through a real broker, a real gas head and a siren's real coil: it stops work alone and loses nothing."""

from __future__ import annotations

import time

import msgspec

from tests.edge.permits.conftest import Plant
from tests.edge.permits.day import KEY, SOURCE, CloudSide
from tocsin.contract import topics
from tocsin.contract.messages import AttendantSigns, Health
from tocsin.permits.facts import Moved
from tocsin.permits.intervals import NS
from tocsin.permits.messages import SIGNS, SignsDown
from tocsin.permits.names import Action, Cause
from tocsin.permits.signing import sign_down


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


def test_signs_of_the_attendant_cross_a_real_broker_both_ways(plant: Plant) -> None:
    plant.start()
    cloud = CloudSide().to_active("zhou")
    plant.tell(cloud.down())
    plant.until(lambda: plant.state() == "active", "the permit")

    def told() -> AttendantSigns:
        found = [
            msgspec.json.decode(b, type=Health) for t, b in plant.cloud.got if "/up/health" in t
        ]
        return next((h.attendants for h in reversed(found) if h.attendants), AttendantSigns(0))

    def say(key: bytes, echo_ns: int) -> None:
        down = SignsDown(1, "gw-1", AttendantSigns(77, echo_ns, 0.0, {"P1": 3.0, "another": 1.0}))
        payload = msgspec.json.encode(sign_down(down, key))
        plant.cloud.publish(topics.down("plant", "gw-1", SIGNS), payload)

    plant.until(lambda: told().at_ns, "its health")
    say(b"another key", told().at_ns)
    say(KEY, 1)  # answers nothing that this run said
    plant.until(lambda: told().echo_ns == 77, "the echo")
    assert plant.permits()[0]["attendant_age_s"] is None
    say(KEY, told().at_ns)
    plant.until(lambda: plant.permits()[0]["attendant_age_s"], "the sign")
    assert plant.permits()[0]["attendant_age_s"] >= 3.0
    assert told().ages_s == {}, "it tells only what it saw itself"
    assert plant.agent.terminate() == 0
    assert any("signs of attendants: the signature" in line for line in plant.agent.stderr)
