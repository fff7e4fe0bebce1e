"""The `tocsin` command. Rooms add sub-commands through the entry-point group `tocsin.commands`; none is imported here."""

from tocsin.cli.root import main

__all__ = ["main"]
