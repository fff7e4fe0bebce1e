"""What a transmitter can be told, for people and programs that ask."""

from __future__ import annotations

from tocsin.sdk import Argument, CommandSpec

WHAT = ("status", "analog", "version", "config", "clock")
SPECS: tuple[CommandSpec, ...] = (
    CommandSpec("sync-clock", "Set its clock to the gateway's"),
    CommandSpec(
        "attendance",
        "Call the guard, who must answer within so many minutes",
        (Argument("minutes", "integer", "min", 1, 255, required=False),),
    ),
    CommandSpec(
        "read",
        "Tell what it knows of itself, a system (1/3) or a component (1/3/393433)",
        (
            Argument("what", "text", choices=WHAT, required=False),
            Argument("part", "text", required=False),
            Argument("component_type", "integer", low=0, high=255, required=False),
        ),
    ),
)
