"""The root command: lists every installed sub-command without importing one, and loads the one that is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tocsin
from tocsin.cli import stdout

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# One line per shipped command, so that help needs no import. Second field: the extra that holds what it needs.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("Run a whole site with virtual devices on this machine", "all"),
    "init": ("Write a first gateway.toml and its systemd unit", "edge"),
    "edge": ("Run and operate a gateway: run, status, probe, alarms", "edge"),
    "cloud": ("Run and operate the cloud side: run, status", "cloud"),
    "query": ("Ask the time-series store one SELECT", "cloud"),
    "alarms": ("List, acknowledge and reset alarms", "cloud"),
    "commands": ("Tell devices something and see what came of it", "cloud"),
    "gateways": ("Send gateways their configuration and see what became of it", "cloud"),
    "audit": ("Whether everything a gateway took is stored; what is missing, and why", "cloud"),
    "token": ("Create, list and revoke API tokens", "cloud"),
    "deadletters": ("Look at messages that could not be stored", "cloud"),
    "backup": ("Back the cloud up while it runs, and check a backup", "cloud"),
    "restore": ("Put a backup of the cloud into an empty folder", "cloud"),
    "doctor": ("Look at ports, clock, disk, broker and certificates; say what mends them", "edge"),
    "provision": ("Make keys and certificates: mutual TLS for gateways, broker and cloud", "cloud"),
    "check": ("Check configuration files; every mistake with file, line and key", "all"),
    "discover": ("Find serial ports, Modbus units, Bluetooth devices and cameras", "edge"),
    "test": ("Try a device: decoded samples beside the frames they came in", "edge"),
    "trace": ("Show the frames of a device as they are on the wire", "edge"),
    "watch": ("The values of a running gateway on a full screen, the worst first", "edge"),
    "unlock": ("Open a smart lock through the running gateway, under a live grant", "edge"),
    "lock-sim": ("Virtual smart locks: on a Bluetooth dongle, or without any radio", "edge"),
    "vision": ("Measure a model on labelled pictures; find things in pictures and video", "vision"),
    "decode": ("Read frames of a field protocol and print what they say", "edge"),
    "schema": ("Print the JSON Schema of a message or a configuration file", "all"),
    "plugins": ("List installed drivers, codecs and commands, and whether they load", "all"),
    "sample": ("Print a driver's sample configuration, ready to paste", "edge"),
    "new": ("Write the beginning of a driver of your own", "edge"),
    "bundle": ("Make an archive that installs a gateway without internet", "all"),
    "completion": ("Print the completion script of bash, zsh or fish", "all"),
    "conformance": ("Run the rules of the driver contract against a driver", "edge"),
    "simulate": ("A virtual site read by a real gateway, with faults to order", "all"),
    "permit": ("Permits for confined spaces: list, show, export and verify", "all"),
    "chaos": ("Break a whole site at random and count that nothing was lost", "all"),
    "bench": ("Measure this machine", "all"),
}

ROOT_OPTIONS = {
    "--version": "print the version",
    "--debug": "print the traceback of a failure (also TOCSIN_DEBUG=1)",
    "--help": "print this",
}

USAGE = "usage: tocsin [--debug] COMMAND [ARGS]..."


def command_points() -> dict[str, EntryPoint]:
    """Installed commands by name, shipped ones first, in the order of help."""
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group="tocsin.commands")}
    order = {name: i for i, name in enumerate(COMMANDS)}
    return dict(sorted(found.items(), key=lambda kv: (order.get(kv[0], len(order)), kv[0])))


def help_text() -> str:
    """What `tocsin --help` prints."""
    points = command_points()
    width = max((len(name) for name in points), default=0) + 2
    lines = [
        USAGE,
        "",
        "From field sensors to queries and alarms. `tocsin COMMAND --help` tells more.",
        "",
        "commands:",
    ]
    for name, point in points.items():
        text = COMMANDS[name][0] if name in COMMANDS else f"from {point.value.split(':')[0]}"
        lines.append(f"  {name:<{width}}{text}")
    lines += [
        "",
        "options:",
        *(f"  {name:<12}{text}" for name, text in ROOT_OPTIONS.items()),
        "",
        "Every command takes --json. Exit codes: 0 ok, 1 bug, 2 usage, 3 configuration, 4 missing extra, 5 device,",
        "6 broker or uplink, 7 store, 8 not permitted, 9 check ran and failed, 10 alarm active, 130 interrupted.",
    ]
    return "\n".join(lines)


def dispatch(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name); the exit code."""
    args = list(argv)
    if args[:1] == ["--complete"]:
        from tocsin.cli.complete import complete

        sys.stdout.writelines(f"{line}\n" for line in complete(args[1:]))
        return 0
    while args and args[0].startswith("-"):
        option = args.pop(0)
        if option in ("--help", "-h"):
            sys.stdout.write(help_text() + "\n")
            return 0
        if option == "--version":
            sys.stdout.write(f"tocsin {tocsin.__version__}\n")
            return 0
        if option == "--debug":
            import os

            os.environ["TOCSIN_DEBUG"] = "1"  # children report alike
        elif option != "--json":  # `tocsin --json query ...` is what a script may well write
            from difflib import get_close_matches

            from tocsin.cli.run import usage_error

            near = get_close_matches(option, ROOT_OPTIONS, n=1)
            hint = f"did you mean `tocsin {near[0]}`?" if near else "tocsin --help"
            return usage_error(f"no such option: {option}", hint, argv)
        else:
            args.append(option)
            if all(a.startswith("-") for a in args):
                break
    if not args or args[0].startswith("-"):
        sys.stderr.write(help_text() + "\n")
        return 2
    from tocsin.cli.run import run_command

    return run_command(args[0], args[1:], command_points())


def main() -> None:
    """Entry point of the `tocsin` script."""
    if (
        sys.stdout is None
    ):  # closed by the caller: the next file that is opened would take its place
        from tocsin.cli.run import closed_output

        sys.exit(closed_output())
    stdout.watch()
    try:
        status = dispatch(sys.argv[1:])
        sys.stdout.flush()
    except (OSError, ExceptionGroup):
        failure = stdout.failure()
        if failure is None:
            raise
        from tocsin.cli.run import lost_output

        status = lost_output(failure)
    sys.exit(status)
