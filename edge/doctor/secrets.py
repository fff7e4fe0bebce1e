"""Files that hold secrets, and who may read them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edge.doctor.findings import Finding, ok, warn
from tocsin.config import TlsOptions

_REFERENCE = re.compile(r"\$\{file:([^}]+)\}")
_INLINE = re.compile(
    r"""^\s*[\w.]*(password|secret|token|key|auth_code)\s*=\s*["'](?!\$\{)[^"']""", re.MULTILINE
)


def look(config: Path, tls: TlsOptions | None) -> Iterator[Finding]:
    """The configuration if a secret stands in it, what it refers to, and the private key."""
    text = config.read_text("utf-8", "replace")
    files = [config.parent / Path(m).expanduser() for m in _REFERENCE.findall(text)]
    if _INLINE.search(text):
        files.insert(0, config)
    if tls is not None and tls.key is not None:
        files.append(tls.key)
    told = False
    for file in dict.fromkeys(files):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # a missing file is a mistake of the configuration, and told there
        if mode & 0o077:
            told = True
            yield warn(
                "secrets",
                f"{file} holds a secret and others may read it (mode {mode:o})",
                f"chmod 600 {file}",
            )
    if files and not told:
        yield ok("secrets", f"{len(files)} files with secrets are readable by their owner only")
