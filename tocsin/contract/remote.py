"""Configurations sent to gateways: commands on `down/config`, signed like every other.

`config.apply` has the arguments `version` (from 1, higher than any the gateway has taken) and `toml` (the whole
gateway.toml); `config.withdraw` has `version` alone and puts the gateway's own file in force again.
"""

from __future__ import annotations

APPLY, WITHDRAW = "config.apply", "config.withdraw"
KINDS = (APPLY, WITHDRAW)
MAX_TOML_BYTES = 192 << 10
MAX_COMMAND_BYTES = (
    512 << 10
)  # JSON escapes quotes and line ends, and what is not ASCII stays UTF-8
