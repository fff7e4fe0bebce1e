"""`tocsin backup` and `tocsin restore`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, note, table
from tocsin.errors import UsageError

if TYPE_CHECKING:
    from cloud.backup.manifest import Manifest
    from cloud.backup.source import Source

Data = Annotated[
    Path | None, typer.Option("--data", help="The cloud's data_dir; default the last one started.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="cloud.toml, when store or state lie elsewhere."),
]


class _MakeUnlessNamed(TyperGroup):
    """`tocsin backup DIR` is `tocsin backup make DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            raise UsageError(
                "back up to where?",
                hint="`tocsin backup DIR` backs up into a folder; `tocsin backup verify DIR` checks one; see --help",
            )
        if args[0] not in (*self.commands, "--help"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


backup_app = new_app("Back a cloud up while it runs: `tocsin backup DIR`; check a backup.")
backup_app.info.cls = _MakeUnlessNamed
restore_app = new_app("Restore a backup into an empty folder.")


@backup_app.command("make")
def make(
    target: Annotated[Path, typer.Argument(help="Folder that holds the backups.")],
    data: Data = None,
    config: Config = None,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Afterwards remove all but the newest so many in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the embedded store and the state database; the word `make` may be left out. The cloud may run on."""
    from cloud.backup.make import make_backup

    begun = time.monotonic()
    made = make_backup(_source(data, config), target, note, keep=keep)
    seconds = round(time.monotonic() - begun, 1)
    told = {
        "backup": made.backup,
        "seconds": seconds,
        "new_bytes": made.new_bytes,
        "removed": made.removed,
    }
    if not as_json:
        _explain(made.manifest)
    emit(
        {**told, "bytes": made.manifest.bytes, "manifest": made.manifest},
        as_json=as_json,
        human=f"{_rows(made.manifest)}\n{made.backup}: {_mb(made.manifest.bytes)}, {_mb(made.new_bytes)} of it new, {seconds} s",
    )


@backup_app.command("verify")
def verify_backup(
    backup: Annotated[Path, typer.Argument(help="A backup, or a folder of them: the newest.")],
    as_json: Json = False,
) -> None:
    """Read every file of a backup and compare it with its digest. Exit code 9 when one is missing or changed."""
    from cloud.backup.manifest import find_backup, read_manifest
    from cloud.backup.verify import verify

    found = find_backup(backup)
    manifest = read_manifest(found)
    verify(found, manifest, note)
    told = {"backup": found, "ok": True, "files": len(manifest.files), "bytes": manifest.bytes}
    whole = f"{found} is whole: {len(manifest.files)} files, {_mb(manifest.bytes)}"
    emit({**told, "manifest": manifest}, as_json=as_json, human=f"{_rows(manifest)}\n{whole}")


@restore_app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A backup, or a folder of them: the newest.")],
    data: Annotated[Path, typer.Option("--data", help="An empty folder, the new data_dir.")],
    as_json: Json = False,
) -> None:
    """Check a backup and put it in place; the rows of every table, as told and as found."""
    from cloud.backup.manifest import find_backup, read_manifest
    from cloud.backup.restore import restore as run

    found = find_backup(backup)
    manifest = read_manifest(found)
    compared = run(found, manifest, data, note)
    if not as_json and manifest.state is None:
        note("the state was in PostgreSQL: restore it with pg_restore, from a dump that is newer")
    shown = [[c.part, c.name, str(c.backup), str(c.restored)] for c in compared]
    emit(
        {"backup": found, "data": data, "taken_ns": manifest.taken_ns, "compared": compared},
        as_json=as_json,
        human=table(["part", "table", "in the backup", "restored"], shown),
    )


def _source(data: Path | None, config: Path | None) -> Source:
    from cloud.backup.source import source_of
    from tocsin.cli.paths import last_cloud_dir

    if config is not None:
        from cloud.config import load_cloud

        if data is not None:
            raise UsageError("--data and --config exclude each other", hint="give one of them")
        return source_of(None, load_cloud(config).value)
    if data is None:
        data = last_cloud_dir()
        if data is None:
            raise UsageError("which cloud?", hint="--data DIR, or -c cloud.toml")
        note(f"cloud in {data}")
    return source_of(data, None)


def _explain(manifest: Manifest) -> None:
    if manifest.state is None:
        note("the state is in PostgreSQL and not in this backup: run pg_dump now, after it")
    if manifest.store is None:
        note("the readings are in InfluxDB and not in this backup: back InfluxDB up now, after it")
    note("not in it: cloud.toml, and the keys and certificates that it names")


def _rows(manifest: Manifest) -> str:
    rows: list[list[str]] = []
    if manifest.store is not None:
        rows += [[name, str(n.hot), str(n.cold)] for name, n in manifest.store.rows.items()]
    return table(["table", "hot rows", "cold rows"], rows) if rows else ""


def _mb(n: int) -> str:
    return f"{n / 1e6:.1f} MB"
