"""A person's own key at a terminal: made once, kept by them alone, signs and never leaves the process."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import UsageError
from tocsin.grants.claims import decode_claims
from tocsin.grants.grant import PROOF_HOLD, prove
from tocsin.grants.primitives import KEY_BYTES, public_key, sign
from tocsin.grants.sign1 import parse_sign1

_HOW = "64 hex digits, made by `tocsin unlock --register ACCOUNT`"


@dataclass(frozen=True)
class HolderSeed:
    """An Ed25519 private key. Never shows itself."""

    seed: bytes

    def __repr__(self) -> str:
        return "HolderSeed(***)"

    @classmethod
    def read(cls, path: Path) -> HolderSeed:
        """From its file. Raises UsageError."""
        try:
            seed = bytes.fromhex(path.read_text("ascii").strip())
        except (OSError, ValueError) as exc:
            raise UsageError(f"{path}: no key: {exc}", hint=_HOW) from exc
        if len(seed) != KEY_BYTES:
            raise UsageError(f"{path}: a key of {len(seed)} bytes, {KEY_BYTES} are one", hint=_HOW)
        return cls(seed)

    @classmethod
    def made(cls, path: Path) -> HolderSeed:
        """The one in the file, made now where there is none; only its owner may read it. Raises UsageError."""
        if path.exists():
            return cls.read(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
        except OSError as exc:
            raise UsageError(
                f"{path} cannot be written: {exc.strerror}", hint="--key FILE"
            ) from exc
        return cls.read(path)

    @property
    def public(self) -> bytes:
        """Its public half."""
        return public_key(self.seed)

    def registration(self, account: str) -> dict[str, str]:
        """The body of `POST /api/v1/me/keys`, and the name of this machine."""
        proof = sign(self.seed, PROOF_HOLD + account.encode())
        name = f"terminal {os.uname().nodename}"[:64]
        return {"public": self.public.hex(), "proof": proof.hex(), "name": name}

    def prove(self, purpose: bytes, challenge: Mapping[str, str], grant: bytes) -> bytes:
        """The signature over a lock's nonce for this grant; whether the grant is any good is the gateway's to say."""
        cti = decode_claims(parse_sign1(grant).payload).cti
        nonce, lock_id = bytes.fromhex(challenge["nonce"]), bytes.fromhex(challenge["lock_id"])
        return prove(self.seed, purpose, nonce, lock_id, cti)
