"""`tocsin unlock LOCK`: open a lock through the running gateway, as the holder of a live grant; two of the rescue team in an emergency."""

from __future__ import annotations

import base64
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.control.client import ask
from edge.control.place import Config, devices, socket_of
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.pairs import exit_code
from tocsin.cli.paths import state_root
from tocsin.contract.orders import Outcome, pack
from tocsin.errors import UsageError

if TYPE_CHECKING:
    from edge.field.holder_key import HolderSeed

app = new_app("Open a smart lock through the running gateway, as the holder of a live grant.")
_ANSWER_S = 120.0


@app.command()
def unlock(
    lock: Annotated[
        str, typer.Argument(help="Device id of the lock.", autocompletion=devices)
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            envvar="TOCSIN_HOLDER_KEY",
            help="File with the holder's private key, 64 hex digits; default holder.key in Tocsin's state folder.",
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option("--with", help="In an emergency: key of the second of the rescue team."),
    ] = None,
    grant: Annotated[
        str,
        typer.Option(
            "--grant",
            help="The grant, base64url, or a file that holds it; default the one that the gateway keeps.",
        ),
    ] = "",
    register: Annotated[
        str,
        typer.Option(
            "--register",
            help="Print what registers the key for this account (POST /api/v1/me/keys), made where there is none; opens nothing.",
        ),
    ] = "",
    actor: Annotated[
        str, typer.Option("--actor", help="Name in the journal; default your login.")
    ] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have the lock's challenge, sign it with the holder's key and open. The key never leaves this process.

    Exit code 8: refused here or by the lock; 5: not reached, failed or unknown.
    """
    from edge.field.holder_key import HolderSeed

    path = key or state_root() / "holder.key"
    if register:
        told = HolderSeed.made(path).registration(register)
        output.emit(told, as_json=as_json, human="\n".join(f"{k}: {v}" for k, v in told.items()))
        return
    if not lock:
        raise UsageError("which lock?", hint="tocsin unlock LOCK")
    holders = [HolderSeed.read(path), *([HolderSeed.read(second)] if second else [])]
    door = _Door(socket_of(config), lock, actor or getpass.getuser())
    door.open(holders, _grant(grant) if grant else b"", as_json=as_json)


class _Door:
    """One lock, asked for by one person."""

    def __init__(self, socket: Path, lock: str, actor: str) -> None:
        self._socket, self._lock, self._actor = socket, lock, actor

    def open(self, holders: list[HolderSeed], given: bytes, *, as_json: bool) -> None:
        """Grants, challenge, proofs; ends with what came of it."""
        from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK

        raws = [given] if given else []
        rescue = False
        for holder in holders[len(raws) :]:
            found: Any = ask(
                self._socket, "grant", {"lock": self._lock, "public": holder.public.hex()}
            )
            if found["reason"]:
                _end(found | {"outcome": Outcome.REFUSED.value}, as_json=as_json)
                return
            raws.append(_unpacked(found["grant"]))
            rescue = bool(found["rescue"])
        if rescue and len(holders) != 2:
            hint = "--with KEY of the second of the rescue team"
            raise UsageError("in an emergency two of the rescue team open together", hint=hint)
        if not rescue and len(holders) == 2:
            raise UsageError("--with is for an emergency", hint="call it at the attendant's page")
        if not as_json:
            output.note(f"asking {self._lock}; a lock that does not answer takes half a minute")
        challenge = self._ask("challenge", {})
        if Outcome(challenge["outcome"]) is not Outcome.DONE:
            _end(challenge, as_json=as_json)
            return
        told, purpose = challenge["answer"], PROOF_RESCUE if rescue else PROOF_UNLOCK
        proof = {"nonce": told["nonce"]}
        for number, (holder, raw) in enumerate(zip(holders, raws, strict=True), 1):
            end = f"_{number}" if rescue else ""
            proof |= {
                f"grant{end}": base64.urlsafe_b64encode(raw).decode().rstrip("="),
                f"holder{end}": holder.public.hex(),
                f"signature{end}": holder.prove(purpose, told, raw).hex(),
            }
        _end(self._ask("rescue" if rescue else "unlock", proof), as_json=as_json)

    def _ask(self, name: str, args: dict[str, str]) -> Any:
        packed = {k: str(v) for k, v in pack(self._lock, name, args).items()}
        limits = {"actor": self._actor, "within_s": "30"}
        return ask(self._socket, "command", packed | limits, timeout_s=_ANSWER_S)


def _end(result: Any, *, as_json: bool) -> None:
    outcome = Outcome(result["outcome"])
    told = result["text"] if outcome is not Outcome.DONE else f"{result['device']} is open"
    output.emit(result, as_json=as_json, human=f"{outcome.value}: {told}")
    if code := exit_code(outcome):
        raise typer.Exit(code)


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _grant(text: str) -> bytes:
    path = Path(text)
    try:
        told = path.read_bytes() if len(text) < 200 and path.is_file() else text.encode()
        if told[:1] == b"\xd2":  # CBOR tag 18: the grant itself
            return told
        return _unpacked(told.strip().decode("ascii"))
    except (OSError, ValueError) as exc:
        raise UsageError(f"no grant: {exc}", hint="base64url, or a file that holds it") from exc
