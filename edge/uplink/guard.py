"""Which commands are carried out: signed with our key, addressed to us, in time, and each only once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.contract.messages import VERSION, Command
from tocsin.contract.signing import is_signed
from tocsin.errors import CommandRefusal, CommandRefusedError

MAX_COMMAND_BYTES = 16 << 10
MAX_REMEMBERED = 10_000
MAX_AHEAD_NS = 300 * 1_000_000_000
_decoder = msgspec.json.Decoder(Command)


class CommandGuard:
    """Checks commands; remembers the ids of those it let pass until they expire (the caller, beyond a restart). An empty key refuses all."""

    def __init__(self, site: str, gateway: str, key: bytes) -> None:
        self._site, self._gateway, self._key = site, gateway, key
        self._seen: dict[str, int] = {}
        self._since_ns = 0

    def set_key(self, key: bytes) -> None:
        """Believe this key from now on."""
        self._key = key

    def restore(self, seen: Mapping[str, int], since_ns: int) -> None:
        """Take up ids, with their expiry, of an earlier run; what was carried out before `since_ns` may be missing."""
        self._seen.update(seen)
        self._since_ns = since_ns

    def check(self, payload: bytes, now_ns: int, *, max_bytes: int = MAX_COMMAND_BYTES) -> Command:
        """The command, if it may be carried out now.

        Raises:
            CommandRefusedError: with the reason, and the command as `command` if it could be read.
        """
        if len(payload) > max_bytes:
            raise refusal(CommandRefusal.REFUSED, f"a command of {len(payload)} bytes")
        try:
            command = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise refusal(CommandRefusal.REFUSED, f"not a command: {exc}") from exc
        if command.v != VERSION:
            raise refusal(CommandRefusal.REFUSED, f"version {command.v}", command)
        if not is_signed(command, self._key):
            hint = "" if self._key else "set commands.key in gateway.toml"
            raise refusal(CommandRefusal.BAD_SIGNATURE, "the signature does not fit", command, hint)
        if (command.site, command.gateway) != (self._site, self._gateway):
            raise refusal(
                CommandRefusal.NOT_FOR_US, f"for {command.gateway} at {command.site}", command
            )
        if command.expires_ns <= now_ns:
            late_s = (now_ns - command.expires_ns) / 1e9
            raise refusal(CommandRefusal.EXPIRED, f"expired {late_s:.0f} s ago", command)
        if command.issued_ns > now_ns + MAX_AHEAD_NS:
            raise refusal(CommandRefusal.EXPIRED, "issued in the future: a clock is wrong", command)
        if self._since_ns > now_ns + MAX_AHEAD_NS:  # noted while the clock was ahead
            self._since_ns = now_ns
        if command.issued_ns <= self._since_ns:
            raise refusal(
                CommandRefusal.DUPLICATE,
                "it may have been carried out before the outbox was salvaged",
                command,
            )
        self._forget(now_ns)
        if command.id in self._seen:
            raise refusal(CommandRefusal.DUPLICATE, "already carried out", command)
        if len(self._seen) >= MAX_REMEMBERED:
            raise refusal(CommandRefusal.REFUSED, "too many commands at once", command)
        self._seen[command.id] = command.expires_ns
        return command

    def _forget(self, now_ns: int) -> None:
        """Expired ones go when they become many: not at once, the clock may be years ahead and come back."""
        if len(self._seen) < MAX_REMEMBERED:
            return
        for name in [name for name, expires in self._seen.items() if expires <= now_ns]:
            del self._seen[name]


class RefusedCommandError(CommandRefusedError):
    """A refusal that knows which command it was."""

    command: Command | None = None


def refusal(
    reason: CommandRefusal, message: str, command: Command | None = None, hint: str = ""
) -> RefusedCommandError:
    """The error for one refused command."""
    error = RefusedCommandError(reason, message, hint=hint)
    error.command = command
    return error
