"""File systems that only this run sees (unshare(2), mount_namespaces(7)): filling one hurts nobody."""

from __future__ import annotations

import os
import shutil
import sys

from tocsin.errors import UsageError

_MARK = "TOCSIN_CHAOS_OWN_MOUNTS"
# In a chroot `/` is no mount point and cannot be made private; there nothing is shared anyway.
_PRIVATE = 'mount --make-rprivate / 2>/dev/null; exec "$@"'


def enter_own_mounts() -> None:
    """Become the same command in a mount namespace of its own; returns once we are there.

    Raises:
        UsageError: we are not root, or the system has no unshare(1).
    """
    if os.environ.get(_MARK):
        return
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        raise UsageError(
            "file systems of our own need root and unshare(1)",
            hint="leave --disks out: disks are then full by a quota of bytes",
        )
    os.environ[_MARK] = "1"
    command = [sys.executable, *sys.orig_argv[1:]]
    words = [unshare, "--mount", "--propagation", "unchanged", "sh", "-c", _PRIVATE, "sh", *command]
    os.execv(unshare, words)  # noqa: S606 - becoming the command is the point
