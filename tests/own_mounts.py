"""Running a program with mounts of its own: what it mounts is gone when it ends, and nobody else sees it."""

from __future__ import annotations

# In a chroot `/` is no mount point and cannot be made private; there nothing is shared anyway.
OWN_MOUNTS = [
    "unshare", "--mount", "--propagation", "unchanged",
    "sh", "-c", 'mount --make-rprivate / 2>/dev/null; exec "$@"', "sh",
]  # fmt: skip
