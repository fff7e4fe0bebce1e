"""The demo's registry entries are complete, and near the vehicle's way."""

from __future__ import annotations

from datetime import date

from cloud.api.models import EditBody
from firmware_bridges.nmea.route import Loop
from tocsin.lab.places import PLACES, entries
from tocsin.lab.site import Site


def test_every_device_of_the_demo_has_an_entry_the_api_takes() -> None:
    told = entries(Site().devices, date(2026, 3, 1))
    assert told.keys() == {d.id for d in Site().devices}
    for entry in told.values():
        body = EditBody.model_validate(entry)
        assert body.name
        assert body.serial
    assert told["gas-01"]["calibrated_on"] == "2026-01-19"


def test_what_stands_still_stands_within_a_kilometre_of_the_loop() -> None:
    loop = Loop()
    way = [loop.at(float(s)) for s in range(int(loop.length_m / 10))]
    for place in PLACES.values():
        if place.lat is None or place.lon is None:
            continue
        nearest = min(abs(p.lat - place.lat) + abs(p.lon - place.lon) for p in way)
        assert nearest < 0.01
