"""What a terminal can be told, for people and programs that ask."""

from __future__ import annotations

from tocsin.sdk import Argument, CommandSpec

SPECS: tuple[CommandSpec, ...] = (
    CommandSpec(
        "text",
        "Show a text on the terminal's display",
        (
            Argument("text", "text", high=500),
            Argument("flags", "integer", low=0, high=255, required=False),
            Argument("kind", "integer", low=0, high=255, required=False),
        ),
    ),
    CommandSpec("locate", "Tell the position now"),
    CommandSpec(
        "track",
        "Report the position more often for a while",
        (
            Argument("interval_s", "integer", "s", 0, 0xFFFF),
            Argument("valid_s", "integer", "s", 0, 0xFFFFFFFF, required=False),
        ),
    ),
    CommandSpec(
        "report-interval",
        "Set the usual time between positions",
        (Argument("seconds", "integer", "s", 0, 0xFFFFFFFF),),
    ),
    CommandSpec("parameters", "Tell every parameter"),
    CommandSpec("attributes", "Tell what the terminal is"),
)
