"""`tocsin permit`: see permits, take a bundle away, and check a bundle with nothing else at hand."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note
from tocsin.errors import BadRequestError, FolderError, UsageError

if TYPE_CHECKING:
    from cloud.remote import Place

app = new_app(
    "Permits for confined spaces: list, show, locks, revoke, rotate, changes, export, verify."
)
CHECK_FAILED = 9

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of a running cloud; default the last one started."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of a cloud elsewhere.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="TOCSIN_TOKEN", help="API token for --url.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays beside who did it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who; default the user of this shell.")]


@app.command("list")
def list_permits(
    live: Annotated[bool, typer.Option("--live", help="Only those a gateway watches.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Permits: with people inside first, then newest first."""
    from cloud.permits.show import permit_table

    rows = _place(data, url, token).permits(live, limit)
    emit(rows, as_json=as_json, human=permit_table(rows))


@app.command("show")
def show(
    permit: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """One permit and everything that happened to it."""
    from cloud.permits.show import permit_page

    place = _place(data, url, token)
    row, journal = place.permit(permit), place.permit_journal(permit)
    emit({"permit": row, "journal": journal}, as_json=as_json, human=permit_page(row, journal))


@app.command("export")
def export(
    permit: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; default permit-ID.tar here.")
    ] = None,
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Write the signed bundle of a permit: journal, tests, gas series, grants, lock log, pictures."""
    from cloud.permits.bundle_check import check_bundle

    bundle = _place(data, url, token).permit_export(permit)
    path = output or Path(f"permit-{permit}.tar")
    try:
        path.write_bytes(bundle)
    except OSError as exc:
        raise FolderError(f"{path} cannot be written: {exc.strerror}") from exc
    key = check_bundle(bundle).key
    told = {"file": str(path), "bytes": len(bundle), "key": key}
    emit(told, as_json=as_json, human=f"{path}: {len(bundle)} bytes, signed with key {key}")
    if not as_json:
        note(f"tocsin permit verify {path} --key {key}")


@app.command("locks")
def locks(
    data: Data = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Which locks have taken what is revoked, the issuer's key and the time, and which have not."""
    from cloud.permits.show import lock_pages

    report = _place(data, url, token).lock_orders()
    emit(report, as_json=as_json, human=lock_pages(report, time.time_ns()))


@app.command("verify")
def verify(
    bundle: Annotated[Path, typer.Argument(help="The file.")],
    key: Annotated[
        str, typer.Option("--key", help="The cloud's bundle key in hex, as you know it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check every byte, hash, chain and signature of a bundle, offline. Exit code 9: something does not hold."""
    import msgspec

    from cloud.permits.bundle_check import MAX_BUNDLE_BYTES, check_bundle

    try:
        if bundle.stat().st_size > MAX_BUNDLE_BYTES:
            raise BadRequestError(f"{bundle} is larger than {MAX_BUNDLE_BYTES} bytes")
        report = check_bundle(bundle.read_bytes(), key)
    except OSError as exc:
        raise UsageError(f"{bundle} cannot be read: {exc.strerror}") from exc
    lines = [f"{p.where}: {p.what}" for p in report.problems]
    told = ", ".join(f"{n} {what}" for what, n in report.counts.items())
    about = f"permit {report.permit}" if report.permit else str(bundle)
    outcome = "everything holds" if report.whole else "NOT WHOLE"
    verdict = f"{about}: {outcome} ({told or 'no permit can be read'})"
    human = "\n".join([verdict, *lines, *([f"signed with key {report.key}"] if report.key else [])])
    emit(msgspec.to_builtins(report) | {"whole": report.whole}, as_json=as_json, human=human)
    if not as_json and report.key and not key:
        note(
            "whether that key is the cloud's only you can know: ask for it by another way, then --key"
        )
    if not report.whole:
        raise typer.Exit(CHECK_FAILED)


@app.command("revoke")
def revoke(
    locks: Annotated[
        list[str] | None, typer.Argument(help="Locks by site/device or id, as `locks` shows them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lock.")] = False,
    gateways_too: Annotated[
        bool, typer.Option("--gateways-too", help="The gateways' keys of these locks as well.")
    ] = False,
    reason: Reason = "",
    yes: Yes = False,
    actor: Actor = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Void every grant issued so far for these locks. Permits in force get new ones; entries say who and why."""
    if locks and every:
        raise UsageError("--all means every lock", hint="leave out --all, or the names")
    if not locks and not every:
        raise UsageError("which locks?", hint="name them, or say --all")
    path = _socket(data)
    named = locks or [f"{row['site']}/{row['device']}" for row in _rows(path, "lock_orders")]
    if not named:
        raise UsageError("no lock is commissioned")
    what = "grants and gateway keys" if gateways_too else "grants"
    _sure(f"void all {what} of {', '.join(named)}", reason, yes=yes, as_json=as_json)
    told = _ask(path, "locks_revoke", actor, reason, locks=named, gateways_too=gateways_too)
    human = [f"{k['site']}/{k['device']}: grants below {k['min_ctr']} are void" for k in told]
    emit(told, as_json=as_json, human="\n".join(human))
    if not as_json:
        note("which locks have taken it: tocsin permit locks")


@app.command("rotate")
def rotate(
    switch: Annotated[
        bool, typer.Option("--switch", help="Sign with the key that was made before.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where locks have not taken it: they open no more.")
    ] = False,
    reason: Reason = "",
    yes: Yes = False,
    actor: Actor = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the next key that signs grants; once every lock has it, sign with it by --switch."""
    if force and not switch:
        raise UsageError("--force goes with --switch")
    path = _socket(data)
    what = "sign grants with the newest key" if switch else "make the next issuer key"
    _sure(what + (", leaving locks behind" if force else ""), reason, yes=yes, as_json=as_json)
    if switch:
        told = _ask(path, "issuer_switch", actor, reason, force=force)
        human = f"grants are signed with key {told['kid']}"
    else:
        told = _ask(path, "issuer_prepare", actor, reason)
        human = f"issuer key {told['kid']} waits for the locks"
    emit(told, as_json=as_json, human=human)
    if not as_json and not switch:
        note("once `tocsin permit locks` shows that all have it: tocsin permit rotate --switch")


@app.command("changes")
def changes(data: Data = None, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Who voided grants and replaced issuer keys, when and why; newest first."""
    from cloud.permits.show import change_table

    rows = _place(data, url, token).key_changes()
    emit(rows, as_json=as_json, human=change_table(rows))


def _socket(data: Path | None) -> Path:
    """These need a person: over HTTP one who logged in, here whoever may use the socket."""
    from cloud.remote import socket_of

    return socket_of(data, "--data DIR of a running one; elsewhere log in to its console: Locks")


def _sure(what: str, reason: str, *, yes: bool, as_json: bool) -> None:
    if not reason.strip():
        raise UsageError("a reason is missing", hint="--reason TEXT stays in the list of changes")
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError(f"{what}: there is no way back", hint="say --yes")
    typer.confirm(f"{what}?", abort=True, err=True)


def _ask(path: Path, op: str, actor: str | None, reason: str, **args: Any) -> Any:
    from cloud.rpc.client import call_once

    who = getpass.getuser() if actor is None else actor
    return call_once(path, op, actor=who, reason=reason.strip(), **args)


def _rows(path: Path, op: str) -> list[dict[str, Any]]:
    from cloud.rpc.client import call_once

    told: Any = call_once(path, op)
    return list(told["locks"])


def _place(data: Path | None, url: str | None, token: str | None) -> Place:
    from cloud.remote import place_of

    return place_of(data, url, token)
