"""Secrets at rest: what the state database must keep but never show, sealed with a key that lies beside it and not in it.

AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D); `purpose` is authenticated, so that what was sealed for one row
cannot be opened as another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tocsin.errors import FolderError, StoreError

FILE = "secrets.key"
KEY_BYTES, _NONCE_BYTES = 32, 12


class Sealing:
    """Seals and opens with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, path: Path) -> Sealing:
        """The key in this file (mode 0600), made where there is none. Several processes may ask at once.

        Raises:
            FolderError: it cannot be made or read, or is no key.
        """
        try:
            if not path.exists():
                _make(path)
            key = bytes.fromhex(path.read_text("ascii").strip())
        except (OSError, ValueError) as exc:
            raise FolderError(
                f"the key of sealed secrets in {path} cannot be used: {exc}",
                hint="put the saved copy there; without it second factors and lock keys must be given anew",
            ) from exc
        if len(key) != KEY_BYTES:
            raise FolderError(f"{path} holds {len(key)} bytes", hint="a key has 32, in hex")
        return cls(key)

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Nonce and ciphertext."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed for this purpose.

        Raises:
            StoreError: another key sealed it, or it was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError):
            raise StoreError(
                f"the sealed secret of {purpose} does not open",
                hint=f"{FILE} is not the one it was sealed with: put the saved copy back",
            ) from None

    def derive(self, purpose: str) -> bytes:
        """32 bytes of this key for one purpose: always the same, and nothing of the key itself."""
        return hmac.new(self._key, b"derive " + purpose.encode(), hashlib.sha256).digest()


def _make(path: Path) -> None:
    """Whole or not at all: a second process that comes at the same moment takes the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
