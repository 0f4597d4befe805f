"""A machine that is different for one process: mounts of its own, where the kernel lets us make
them.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence

import pytest


@functools.cache
def _unshare() -> tuple[str, ...] | None:
    """What begins a command with mounts of its own; None where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    own = [unshare, "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    tried = subprocess.run(
        [*own, "mount", "--bind", "/dev/null", "/etc/passwd"], capture_output=True
    )
    return tuple(own) if tried.returncode == 0 else None


def with_mounts(mounts: Sequence[Sequence[str]], command: Sequence[str]) -> list[str]:
    """`command`, run where `mounts` (arguments of mount) have been made. Skips the test where that
    is not allowed.
    """
    own = _unshare()
    if own is None:
        pytest.skip("no mounts of our own: unshare is missing or refused")
    script = "".join(f"mount {' '.join(arguments)} && " for arguments in mounts)
    return [*own, "sh", "-c", f'{script}exec "$@"', "sh", *command]


#: Nobody has a passwd entry; no other source of them (systemd knows root by itself) is asked.
NO_PASSWD = (("--bind", "/dev/null", "/etc/passwd"), ("--bind", "/dev/null", "/etc/nsswitch.conf"))
