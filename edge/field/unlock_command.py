"""`tocsin unlock LOCK`: open a lock through the running gateway, as the holder of a live grant."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.control.client import ask
from edge.control.place import Config, devices, socket_of
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.pairs import exit_code
from tocsin.contract.orders import Outcome, pack
from tocsin.errors import UsageError

app = new_app("Open a smart lock through the running gateway, as the holder of a live grant.")
_ANSWER_S = 120.0


@app.command()
def unlock(
    lock: Annotated[str, typer.Argument(help="Device id of the lock.", autocompletion=devices)],
    grant: Annotated[
        str, typer.Option("--grant", help="The grant, base64url, or a file that holds it.")
    ],
    key: Annotated[
        Path, typer.Option("--key", help="File with the holder's private key, 64 hex digits.")
    ],
    actor: Annotated[str, typer.Option("--actor", help="Who does it: the name in the journal.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have the lock's challenge, sign it with the holder's key and open. The key never leaves this process.

    Exit code 8: refused here or by the lock; 5: not reached, failed or unknown.
    """
    from tocsin.grants.grant import PROOF_UNLOCK, prove
    from tocsin.grants.primitives import public_key

    seed, raw = _key(key), _grant(grant)
    socket = socket_of(config)
    challenge = _ask(socket, lock, "challenge", {}, actor)
    if Outcome(challenge["outcome"]) is not Outcome.DONE:
        _end(challenge, as_json=as_json)
        return
    told = challenge["answer"]
    nonce, lock_id = bytes.fromhex(told["nonce"]), bytes.fromhex(told["lock_id"])
    signature = prove(seed, PROOF_UNLOCK, nonce, lock_id, _cti(raw))
    proof = {
        "nonce": nonce.hex(),
        "grant": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "holder": public_key(seed).hex(),
        "signature": signature.hex(),
    }
    _end(_ask(socket, lock, "unlock", proof, actor), as_json=as_json)


def _ask(socket: Path, lock: str, name: str, args: dict[str, str], actor: str) -> Any:
    packed = {k: str(v) for k, v in pack(lock, name, args).items()}
    limits = {"actor": actor, "within_s": "30"}
    return ask(socket, "command", packed | limits, timeout_s=_ANSWER_S)


def _end(result: Any, *, as_json: bool) -> None:
    outcome = Outcome(result["outcome"])
    output.emit(result, as_json=as_json, human=f"{outcome.value}: {result['text']}")
    if code := exit_code(outcome):
        raise typer.Exit(code)


def _key(path: Path) -> bytes:
    try:
        seed = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: no key: {exc}", hint="a file with 64 hex digits") from exc
    if len(seed) != 32:
        raise UsageError(f"{path}: a key of {len(seed)} bytes, 32 are one")
    return seed


def _grant(text: str) -> bytes:
    path = Path(text)
    try:
        told = path.read_bytes() if len(text) < 200 and path.is_file() else text.encode()
        if told[:1] == b"\xd2":  # CBOR tag 18: the grant itself
            return told
        told = told.strip()
        return base64.urlsafe_b64decode(told + b"=" * (-len(told) % 4))
    except (OSError, ValueError) as exc:
        raise UsageError(f"no grant: {exc}", hint="base64url, or a file that holds it") from exc


def _cti(raw: bytes) -> bytes:
    """The grant's id; whether the grant is any good is the gateway's to say."""
    from tocsin.grants.claims import decode_claims
    from tocsin.grants.sign1 import parse_sign1

    return decode_claims(parse_sign1(raw).payload).cti
