"""Generated samples as a load of the gateway itself, and the count that every one of them was stored as it was made."""

from __future__ import annotations

from tocsin.lab.children import LabError
from tocsin.lab.measured import Count, MeasuredCloud

CHANNELS, DEVICES = 10, 16


def driver_table(per_s: float) -> str:
    """The driver table of `gateway.toml` for so many readings a second."""
    return (
        f'[[drivers]]\ntype = "generate"\nname = "load"\ndevices = {DEVICES}\nchannels = {CHANNELS}\n'
        f"samples_per_s = {per_s / CHANNELS:g}\n"
    )


def generated_count(cloud: MeasuredCloud, restarts: int = 0) -> Count:
    """Sample n of a device holds n, n + 1, ...: every value is checked, and that no number of a run is missing.

    After a restart the numbers begin anew; then rows are told apart by their sequence numbers, which run on from 0.
    """
    fits = " AND ".join(f"v{i:02d} = (v00 + {i}) % 65536" for i in range(1, CHANNELS))
    by = "gateway" if restarts else "device"
    number = "seq" if restarts else "v00"
    try:
        found = cloud.client.query(
            f"SELECT {by}, count(*) AS n, count(DISTINCT {number}) AS d, max({number}) AS hi, min({number}) AS lo, "
            f"sum(CASE WHEN {fits} THEN 0 ELSE 1 END) AS bad FROM bench GROUP BY {by}"
        )
    except LabError:
        return Count(0, 0, 0, 0)  # nothing was generated
    return Count(
        readings_read_back=sum(int(f["n"]) for f in found) * CHANNELS,
        wrong=sum(int(f["bad"]) for f in found) * CHANNELS,
        missing=sum(
            int(f["hi"]) - (0 if restarts else int(f["lo"])) + 1 - int(f["d"]) for f in found
        )
        * CHANNELS,
        duplicates=sum(int(f["n"]) - int(f["d"]) for f in found) * CHANNELS,
    )
