"""Leftovers: unfinished files and folders of processes that were killed.

Only unfinished files have such names. Their writer holds a lock on each as long as it lives: a
record lock (fcntl), which belongs to the process. Forked workers do not inherit it, and the kernel
drops it however the process ends. Who gets the lock may remove the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from enum import Enum

from vyre_dist.own_files import SUFFIX

_TOKEN_BYTES = 4
_NAME_BYTES = 100
# what follows the beginning of the destination's name
_ENDING = re.compile(r"\.[0-9a-f]{8}\.vyre-[0-9a-f]{12}\.part")
_HELD = (errno.EACCES, errno.EAGAIN)
LOCK_NAME = "lock"
_FILE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Fate(Enum):
    """What became of a leftover, and why."""

    REMOVED = "removed"
    LIVE = "its writer is at work"
    FOREIGN = "another user's"
    UNKNOWN = "there is no lock, which would tell whether its writer is at work"
    GONE = "gone meanwhile"


def beginning(name: str) -> str:
    """The beginning of a file's name, which leaves room for what is put around it; whole
    characters.
    """
    return os.fsencode(name)[:_NAME_BYTES].decode(sys.getfilesystemencoding(), "ignore")


def unfinished_name(name: str) -> str:
    """A new name for the unfinished file that will be called `name`."""
    return f".{beginning(name)}.{os.urandom(_TOKEN_BYTES).hex()}{SUFFIX}"


def destination_of(name: str) -> str | None:
    """The beginning of the destination's name; None if `name` is not that of an unfinished file."""
    found = _ENDING.search(name)
    if found is None or found.end() != len(name) or name[0] != "." or found.start() < 2:
        return None
    return name[1 : found.start()]


def lock(fd: int) -> Fate | None:
    """Take the lock on an open file. None: it is ours; LIVE: another process has it; UNKNOWN: this
    file system has no locks.

    `fd` must be open for writing. The lock goes when this process closes any descriptor of that
    file.
    """
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Fate.LIVE if error.errno in _HELD else Fate.UNKNOWN
    return None


def make_folder(parent: str, name: str) -> tuple[str, int]:
    """A new folder in `parent` for this user only, and the descriptor that holds its lock. Raises
    OSError.
    """
    path = os.path.join(parent, unfinished_name(name))
    os.mkdir(path, 0o700)
    try:
        fd = os.open(
            os.path.join(path, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
    except BaseException:
        os.rmdir(path)
        raise
    lock(fd)
    return path, fd


def remove(folder: int, name: str, *, dry_run: bool = False) -> Fate:
    """Remove `name`, a file or a folder from make_folder, from the open `folder` if its writer is
    gone.

    With `dry_run` only tell what would be done. Raises OSError if it can't be inspected or removed.
    """
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if info.st_uid != os.geteuid():
            return Fate.FOREIGN
        if stat.S_ISDIR(info.st_mode):
            return _remove_folder(folder, name, dry_run)
        if not stat.S_ISREG(info.st_mode):
            return Fate.FOREIGN
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return Fate.GONE
    try:
        if (held := lock(fd)) is not None:
            return held
        # the writer may have renamed it to its destination before we had the lock
        if not os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(fd)):
            return Fate.GONE
        if not dry_run:
            os.unlink(name, dir_fd=folder)
        return Fate.REMOVED
    except FileNotFoundError:
        return Fate.GONE
    finally:
        os.close(fd)


def _remove_folder(parent: int, name: str, dry_run: bool) -> Fate:
    folder = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    try:
        fd = os.open(LOCK_NAME, _FILE_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return Fate.UNKNOWN
    finally:
        os.close(folder)
    try:
        if (held := lock(fd)) is not None:
            return held
        if not dry_run:
            import shutil

            shutil.rmtree(name, dir_fd=parent)
        return Fate.REMOVED
    finally:
        os.close(fd)


def sweep(path: str, *, deep: bool, dry_run: bool) -> Iterator[tuple[str, Fate | OSError]]:
    """Remove the leftovers in the folder `path`, and below it if `deep`.

    Yields each leftover's path with what became of it, or with the error. Links are not followed. A
    `path` that is no folder stands for a file, and for the leftovers of that name beside it.
    """
    top, begins = path, ""
    if not os.path.isdir(top):
        top, name = os.path.split(os.path.realpath(path))
        begins, deep = beginning(name), False
    try:
        os.listdir(top)
    except OSError as error:
        yield top, error
        return
    problems: list[tuple[str, OSError]] = []

    def note(error: OSError) -> None:
        problems.append((os.fsdecode(error.filename or top), error))

    for folder, folders, files in os.walk(top, onerror=note):
        found = sorted(name for name in (*folders, *files) if not name.endswith(SUFFIX))
        found = [
            name
            for name in found
            if (of := destination_of(name)) is not None and begins in ("", of)
        ]
        folders[:] = [name for name in folders if name not in found] if deep else []
        if found:
            yield from _removed(folder, found, dry_run)
    yield from problems


def _removed(path: str, names: list[str], dry_run: bool) -> Iterator[tuple[str, Fate | OSError]]:
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        yield path, error
        return
    try:
        for name in names:
            try:
                yield os.path.join(path, name), remove(folder, name, dry_run=dry_run)
            except OSError as error:
                yield os.path.join(path, name), error
    finally:
        os.close(folder)


def remove_of(destination: str) -> list[str]:
    """Remove what dead writers of the file `destination` have left beside it; returns the paths.
    What can't be removed stays.
    """
    directory, name = os.path.split(destination)
    removed: list[str] = []
    begins = f".{beginning(name)}."
    with contextlib.suppress(OSError):
        folder = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(folder) as entries:
                names = sorted(e.name for e in entries if e.name.startswith(begins))
            for each in names:
                # this process's own may belong to another thread, and record locks do not tell
                if destination_of(each) == begins[1:-1] and not each.endswith(SUFFIX):
                    with contextlib.suppress(OSError):
                        if remove(folder, each) is Fate.REMOVED:
                            removed.append(os.path.join(directory, each))
        finally:
            os.close(folder)
    return removed


def removed_line(path: str) -> str:
    """The message about a path that `remove_of` returned."""
    return f"removed {path}: a killed run had left it unfinished"
