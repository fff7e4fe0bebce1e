"""`tocsin token`, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cloud.db import open_engine
from cloud.identity.rules import Action
from cloud.identity.tokens import Tokens
from tocsin.sdk.clock import SystemClock


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from tocsin.cli import main; main()", "token", *argv]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_a_token_is_created_listed_and_revoked(tmp_path: Path) -> None:
    at = ("--data", str(tmp_path), "--json")
    made = json.loads(_run("create", "ci", "--scope", "query", "--days", "2", *at).stdout)
    engine = open_engine(tmp_path / "state.db")
    tokens = Tokens(engine, SystemClock())
    who = tokens.principal(made["token"])
    assert who is not None
    assert who.actions == frozenset({Action.QUERY})
    listed = json.loads(_run("list", *at).stdout)
    assert [(t["name"], t["state"]) for t in listed] == [("ci", "alive")]
    assert made["token"] not in json.dumps(listed)
    assert _run("revoke", made["id"], *at).returncode == 0
    assert tokens.principal(made["token"]) is None
    assert json.loads(_run("list", *at).stdout)[0]["state"] == "revoked"
    engine.dispose()


def test_mistakes_are_told_with_their_exit_code(tmp_path: Path) -> None:
    at = ("--data", str(tmp_path))
    bad = _run("create", "ci", "--scope", "everything", *at)
    assert bad.returncode == 2
    assert "read, write, query" in bad.stderr
    gone = _run("revoke", "nothing", *at, "--json")
    assert gone.returncode == 8
    assert json.loads(gone.stdout)["error"]["code"] == "identity.refused"
    assert _run("list", "--data", str(tmp_path / "no")).returncode == 2


def test_a_token_has_a_name_that_people_can_read(tmp_path: Path) -> None:
    at = ("--data", str(tmp_path))
    for name in ("", "  ", "x" * 200, "two\nlines"):
        refused = _run("create", name, "--scope", "read", *at)
        assert refused.returncode == 2
        assert "needs a name" in refused.stderr
    _run("create", "ci", "--scope", "read", "--days", "2", *at)
    heading, row = _run("list", *at).stdout.splitlines()
    assert "expires (UTC)" in heading
    assert row.split()[-1] == "-"
    assert ":" in row.split()[-2]
