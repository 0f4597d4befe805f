"""Where this user's compiled packs and autotune records are kept.

A command chooses a folder once (`choose`). What can't be written there later on goes to one of the
`spares`. program/cache.py and autotune/ know what is kept in the folder.
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
    """The folder that was chosen.

    `wanted`: where things should be kept, "" if that is not known. `path`: where they can be kept,
    None for nowhere. `trouble`: why the two differ, as a line for the user; "" if they don't.
    """

    wanted: str
    path: str | None
    trouble: str = ""


def default_folder() -> str | None:
    """The user's cache folder, by XDG_CACHE_HOME if it is set; None if the home is not known."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_dir(_NAME)
    except RuntimeError:
        return None
    # older versions of platformdirs return "~/.cache" where there is no home
    return folder if os.path.isabs(folder) else None


def spares() -> list[str]:
    """The folders to try if the wanted one can't be written, best first. They are this user's own,
    in places where all may make folders.
    """
    own = os.environ.get("TMPDIR", "")
    roots = [own] if os.path.isabs(own) and os.path.isdir(own) else _FOR_ALL
    return [os.path.join(root, f"{_NAME}-{os.geteuid()}") for root in roots]


def choose(folder: str | None) -> CacheFolder:
    """Choose `folder` (None: the default one), or else a spare one, or else nowhere."""
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
    """Check that `room` more bytes can be written to a file in `folder`. Raises OSError.

    It writes them, and leaves nothing behind: only a write that it refuses tells of a quota.
    """
    free = os.statvfs(folder)
    if free.f_blocks > 0 and free.f_bavail * free.f_frsize < ENOUGH_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
    try:
        with os.fdopen(_nameless(folder), "wb") as trial:
            trial.write(bytes(room or _TRIAL_BYTES))
    except OSError as error:
        # the trial file's own name tells nobody anything
        raise OSError(error.errno, error.strerror, folder) from None


def _nameless(folder: str) -> int:
    """A descriptor of a new file in `folder` without a name. (tempfile takes 8 ms to import.)"""
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE, 0o600)
    except OSError as error:
        # errors of file systems and kernels that have no such files
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    name = os.path.join(folder, f".new-{os.urandom(6).hex()}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    return descriptor


def make(folder: str) -> None:
    """Make `folder` for its owner alone, if it is missing.

    Raises OSError, and PermissionError if the folder is there and somebody else may have made it.
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
    """Whether nobody else can have put files into `folder`.

    Hyperscan's databases are machine code in all but name. None may come from a folder that anybody
    could have made first, as in /tmp.
    """
    try:
        if not os.stat(os.path.dirname(folder) or ".").st_mode & stat.S_IWOTH:
            return True  # the parent folder's owner decides who may write there
        # a link is only as good as its maker and its target
        there = (os.lstat(folder), os.stat(folder))
    except OSError:
        return False
    return (
        all(info.st_uid == os.geteuid() for info in there) and not there[1].st_mode & stat.S_IWOTH
    )
