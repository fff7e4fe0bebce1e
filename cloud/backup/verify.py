"""Whether a backup is whole: every file of its manifest there, byte by byte."""

from __future__ import annotations

from pathlib import Path

from cloud.backup.files import hashed
from cloud.backup.manifest import NAME, Manifest
from cloud.backup.source import Progress
from tocsin.errors import BackupError


def verify(backup: Path, manifest: Manifest, progress: Progress) -> None:
    """Read everything.

    Raises:
        BackupError: what is missing, changed or too much, all of it.
    """
    wrong: list[str] = []
    for n, file in enumerate(manifest.files, 1):
        path = backup / file.path
        if n % 100 == 0:
            progress(f"{n} of {len(manifest.files)} files")
        try:
            if path.stat().st_size != file.bytes or hashed(path) != file.sha256:
                wrong.append(f"{file.path} is not as it was")
        except OSError as exc:
            wrong.append(f"{file.path}: {exc.strerror}")
    wrong += foreign(backup, manifest)
    if wrong:
        raise damaged(backup, wrong)


def foreign(backup: Path, manifest: Manifest) -> list[str]:
    """What to say of files that the manifest does not name."""
    told = {file.path for file in manifest.files} | {NAME}
    found = {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
    return [f"{path} does not belong to it" for path in sorted(found - told)]


def damaged(backup: Path, wrong: list[str]) -> BackupError:
    """What to say of a backup in which `wrong` was found."""
    return BackupError(
        f"the backup {backup} is damaged: {'; '.join(wrong[:20])}"
        + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""),
        hint="use another backup",
    )
