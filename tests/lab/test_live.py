"""The demo's live picture in a terminal."""

from __future__ import annotations

import time

from rich.console import Console

from tocsin.lab.live import picture


def drawn(*, devices: int = 1) -> list[str]:
    last = [
        {
            "device": f"gas-{n:02d}",
            "quantity": "h2s",
            "value": 12.345678901,
            "unit": "[ppm]",
            "time_ns": time.time_ns(),
        }
        for n in range(devices)
    ]
    alarm = {"level": 1, "device": "gas-00", "quantity": "h2s", "value": 12.345678901, "limit": 10}
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(picture("http://127.0.0.1:8080", last, [alarm]))
    return captured.get().splitlines()


def test_a_unit_in_brackets_is_printed_and_not_taken_for_markup() -> None:
    assert any("gas-00" in line and "12.3457" in line and "[ppm]" in line for line in drawn()[1:])


def test_an_alarm_stands_above_the_table_where_a_small_terminal_shows_it() -> None:
    assert drawn(devices=60)[0].startswith("ALARM level 1: gas-00 h2s 12.3457 (limit 10)")
