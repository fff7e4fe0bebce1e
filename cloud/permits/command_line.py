"""`tocsin permit`: see permits, take a bundle away, and check a bundle with nothing else at hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note
from tocsin.errors import BadRequestError, FolderError, UsageError

if TYPE_CHECKING:
    from cloud.remote import Place

app = new_app("Permits for confined spaces: list, show, locks, export, verify.")
CHECK_FAILED = 9

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of a running cloud; default the last one started."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of a cloud elsewhere.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="TOCSIN_TOKEN", help="API token for --url.")
]


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


def _place(data: Path | None, url: str | None, token: str | None) -> Place:
    from cloud.remote import place_of

    return place_of(data, url, token)
