"""What a search of a Modbus line found, as a block for gateway.toml. Pure."""

from __future__ import annotations

import re

from edge.field.discover.modbus_scan import Found, Unit

_MANY = 4


def to_toml(found: Found, *, rtu_over_tcp: bool) -> str:
    """A driver table for each setting at which units answer; units no profile fits are comments."""
    lines = [f"# {text}: is the baud rate or parity another?" for text in found.noise]
    settings = list(dict.fromkeys((u.baudrate, u.parity) for u in found.units))
    for setting in settings:
        lines += _table(
            found, [u for u in found.units if (u.baudrate, u.parity) == setting], rtu_over_tcp
        )
    return "\n".join(lines)


def _table(found: Found, units: list[Unit], rtu_over_tcp: bool) -> list[str]:
    first = units[0]
    known = [u for u in units if u.fits]
    comment = "" if known else "# "
    if first.baudrate:
        where = f'rtu = {{ port = "{found.target}", baudrate = {first.baudrate}, parity = "{first.parity}" }}'
    else:
        host, _, port = found.target.rpartition(":")
        framing = ', framing = "rtu"' if rtu_over_tcp else ""
        where = f'tcp = {{ host = "{host}", port = {port}{framing} }}'
    name = re.sub(r"[^a-z0-9]+", "-", found.target.lower().rpartition("/")[2])[-40:].strip("-")
    head = ["[[drivers]]", 'type = "modbus"', f'name = "{name}"', where]
    lines = [f"# {len(units)} of the units asked answer", *(comment + text for text in head)]
    hollow = [unit for unit in units if _is_hollow(unit)]
    if len(hollow) >= _MANY:
        numbers = ", ".join(str(unit.unit) for unit in hollow)
        lines += [
            "",
            f"# units {numbers} refuse every read, as some servers do for units that are not there",
        ]
        units = [unit for unit in units if unit not in hollow]
    for unit in units:
        lines += ["", *_device(unit)]
    return lines


def _is_hollow(unit: Unit) -> bool:
    """Whether it says nothing but no."""
    refused = all(text.startswith("exception") for text in unit.functions.values())
    return refused and not unit.fits and not unit.identity


def _device(unit: Unit) -> list[str]:
    who = " ".join(unit.identity.values())
    said = ", ".join(f"function {f}: {text}" for f, text in unit.functions.items())
    lines = [f"# unit {unit.unit}{f' is {who}' if who else ''} ({said})"]
    if not unit.fits:
        return [
            *lines,
            "# no shipped profile fits; its manual's register table makes one: docs/reference/drivers/modbus.md",
        ]
    best, *others = unit.fits
    lines.append(f"# reads {best.told}: compare with what the device shows")
    if others:
        lines.append("# fits too: " + ", ".join(other.profile for other in others))
    return [
        *lines,
        "[[drivers.devices]]",
        f'id = "{best.kind}-{unit.unit:02}"',
        f"unit_id = {unit.unit}",
        f'profile = "{best.profile}"',
        "period_s = 1.0",
    ]
