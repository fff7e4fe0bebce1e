"""This gateway's own X25519 key: the cloud seals secrets of grants to it. Made once; its public half lies beside it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from edge.durable import write_durably
from tocsin.grants.primitives import KEY_BYTES, exchange_public

FILE = "seal.key"


def seal_key(folder: Path) -> bytes:
    """The private key, 32 bytes.

    Raises:
        OSError: it cannot be read or made.
    """
    path = folder / FILE
    if not path.exists():
        before = os.umask(0o177)
        try:
            write_durably(path, secrets.token_bytes(KEY_BYTES).hex().encode())
        finally:
            os.umask(before)
    try:
        private = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as exc:
        raise OSError(f"{path} holds no key") from exc
    public = folder / "seal.pub"
    if not public.exists():
        write_durably(public, exchange_public(private).hex().encode() + b"\n")
    return private
