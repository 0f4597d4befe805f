"""Where this user's compiled packs and records are kept, and where else when that can't be written.

Places only: what is kept there is for program/cache.py and autotune/ to say. A folder is chosen
once for a command (`choose`); what can't be written later on goes to a `spare` place, too.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

_NAME = "vyre-dist"
_MODE = 0o700
_FOR_ALL = ["/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108 - what is made there is checked by is_ours
_TRIAL_BYTES = 4 << 10

ENOUGH_BYTES = 4 << 20
"""For a pack's artifacts: where there is less room, none is begun."""


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """`wanted`: where things should be kept, "" where that is not known. `path`: where they can be,
    None for nowhere. `trouble`: why the two differ, as a line for the user; "" when they don't.
    """

    wanted: str
    path: str | None
    trouble: str = ""


def default_folder() -> str | None:
    """The user's cache folder (XDG_CACHE_HOME is respected); None where it is not known whose home
    is where.
    """
    import platformdirs

    try:
        folder = platformdirs.user_cache_dir(_NAME)
    except RuntimeError:
        return None
    # its older versions give "~/.cache" back where there is no home
    return folder if os.path.isabs(folder) else None


def spares() -> list[str]:
    """The places to try when the wanted one can't be written, best first: this user's own, where
    all may make folders.
    """
    own = os.environ.get("TMPDIR", "")
    roots = [own] if os.path.isabs(own) and os.path.isdir(own) else _FOR_ALL
    return [os.path.join(root, f"{_NAME}-{os.geteuid()}") for root in roots]


def choose(folder: str | None) -> CacheFolder:
    """Where to keep things: in `folder` (None: the default one), or in a spare place, or
    nowhere.
    """
    wanted = folder or default_folder()
    if wanted is None:
        reason = "there is no home folder (HOME is not set, and this user has no passwd entry)"
    elif reason := why_not(wanted):
        reason = f"the cache folder {wanted} can't be used ({reason})"
    else:
        return CacheFolder(wanted, wanted)
    for spare in spares():
        if not why_not(spare):
            trouble = f"{reason}: {spare} is used instead"
            return CacheFolder(wanted or "", spare, trouble)
    trouble = (
        f"{reason}, nor any folder for temporary files: nothing is kept, and each scan compiles "
        f"its rules"
    )
    return CacheFolder(wanted or "", None, trouble)


def why_not(folder: str) -> str:
    """Why nothing can be kept in `folder`, which is made where it is missing; "" if it can."""
    try:
        make(folder)
        try_to_write(folder, 0)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def try_to_write(folder: str, room: int) -> None:
    """See that files can be made in `folder`, and `room` more bytes be written: a quota is told by
    nothing but a write that it refuses. Raises OSError; nothing is left behind.
    """
    free = os.statvfs(folder)
    if free.f_blocks > 0 and free.f_bavail * free.f_frsize < ENOUGH_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
    try:
        with os.fdopen(_nameless(folder), "wb") as trial:
            trial.write(bytes(room or _TRIAL_BYTES))
    except OSError as error:
        # its own name says nothing to anybody
        raise OSError(error.errno, error.strerror, folder) from None


def _nameless(folder: str) -> int:
    """A descriptor of a new file in `folder` that has no name there. (tempfile takes 8 ms to
    import.)
    """
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE, 0o600)
    except OSError as error:
        # what file systems and kernels say that have no such files
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    name = os.path.join(folder, f".new-{os.urandom(6).hex()}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    return descriptor


def make(folder: str) -> None:
    """Make `folder` where it is missing, for its owner alone. Raises OSError where that can't be
    done, and PermissionError where it is there and somebody else may have made it.
    """
    try:
        os.makedirs(folder, mode=_MODE, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "a file is in its place", error.filename) from None
    if not is_ours(folder):
        raise PermissionError(
            errno.EPERM, "it may be another user's, and so may what is in it", folder
        )


def is_ours(folder: str) -> bool:
    """Whether what is in `folder` is no stranger's. Hyperscan's databases are machine code in all
    but name: none may come from where anybody can make a folder of the right name first, as in
    /tmp.
    """
    try:
        if not os.stat(os.path.dirname(folder) or ".").st_mode & stat.S_IWOTH:
            return True  # whom its parent lets in is its owner's business
        # a link is as good as what made it and what it leads to
        there = (os.lstat(folder), os.stat(folder))
    except OSError:
        return False
    return (
        all(info.st_uid == os.geteuid() for info in there) and not there[1].st_mode & stat.S_IWOTH
    )
