"""A PostgreSQL server of the machine's own package, in a folder of its own, on a free port of 127.0.0.1, ended at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tocsin.testing import free_port, run_process, wait_until_sync

USER = "tocsin"


def programs() -> Path | None:
    """Where initdb and postgres are: Debian keeps them off the PATH."""
    found = [Path(p).parent for p in [shutil.which("initdb")] if p]
    found += sorted(p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1] if found else None


@contextmanager
def postgresql() -> Iterator[str]:
    """Its URL without a database's name. The server refuses to run as root, so root's belongs to nobody."""
    place = programs()
    if place is None:
        pytest.skip("no PostgreSQL server (apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="no driver (pip install 'psycopg[binary]')")
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="tocsin-pg-") as name:  # short: its socket lies there
        if account is not None:
            os.chown(name, account.pw_uid, account.pw_gid)
        become = [] if account is None else ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]  # fmt: skip
        data, port = f"{name}/data", free_port()
        made = [*become, str(place / "initdb"), "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]  # fmt: skip
        subprocess.run(made, check=True, capture_output=True, cwd=name, timeout=120)
        argv = [*become, str(place / "postgres"), "-D", data, "-p", str(port), "-k", name, "-h", "127.0.0.1"]  # fmt: skip
        with run_process(argv):
            url = f"postgresql+psycopg://{USER}@127.0.0.1:{port}"
            wait_until_sync(lambda: _answers(port), 60.0, "PostgreSQL")
            yield url


def new_database(url: str, name: str) -> str:
    """The URL of a new, empty one."""
    import psycopg

    with psycopg.connect(f"{_plain(url)}/postgres", autocommit=True) as c:
        c.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{url}/{name}"


def _answers(port: int) -> bool:
    import psycopg

    try:
        with psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres") as c:
            return c.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")
