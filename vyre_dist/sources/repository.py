"""Git repositories on disk, as far as ignoring goes: where one begins, and which ignore files count.

The global core.excludesFile is not read: what is scanned should not depend on whose account runs the scan.
"""

from __future__ import annotations

import errno
import os
import stat

from vyre_dist.sources.gitignore import IgnoreChain, IgnoreFile

#: git itself ignores larger ones (since 2.42), with a warning
MAX_IGNORE_FILE = 100 << 20


def read_ignore_file(path: str, errors: list[OSError]) -> IgnoreFile | None:
    """Parse the ignore file at `path`; None where there is none, or no regular file.

    A symbolic link is not followed, as in git. One that cannot be read, or is over 100 MiB, is None too and
    adds an OSError with its filename to `errors`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if not os.path.islink(path):
            errors.append(error)
        return None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        try:
            data = file.read(MAX_IGNORE_FILE + 1)
        except OSError as error:
            errors.append(OSError(error.errno, error.strerror, path))
            return None
    if len(data) > MAX_IGNORE_FILE:
        errors.append(OSError(errno.EFBIG, f"more than {MAX_IGNORE_FILE} bytes", path))
        return None
    return IgnoreFile.parse(data)


def git_directory(directory: str) -> str | None:
    """The git directory of the repository whose top level `directory` is, or None."""
    entry = os.path.join(directory, ".git")
    try:
        if os.path.isdir(entry):
            return entry if os.path.lexists(os.path.join(entry, "HEAD")) else None
        with open(entry, "rb") as file:
            head = file.read(4096 + 8)
        if not head.startswith(b"gitdir: "):
            return None
        target = os.path.join(directory, os.fsdecode(head[8:].rstrip(b"\r\n")))
        return target if os.path.lexists(os.path.join(target, "HEAD")) else None
    except (OSError, ValueError):
        return None


def repository_rules(directory: str, errors: list[OSError]) -> IgnoreChain | None:
    """The chain that a repository starts with (its info/exclude); None where `directory` is no top level."""
    git = git_directory(directory)
    if git is None:
        return None
    common = git
    try:
        with open(os.path.join(git, "commondir"), "rb") as file:
            common = os.path.join(git, os.fsdecode(file.read(4096).rstrip(b"\r\n")))
    except OSError:
        pass  # the usual case: only linked work trees have that file
    exclude = read_ignore_file(os.path.join(common, "info", "exclude"), errors)
    chain = IgnoreChain()
    return chain if exclude is None else chain.with_file(exclude)


def rules_above(directory: str, errors: list[OSError]) -> IgnoreChain | None:
    """The chain in force in `directory` before its own ignore file: from its repository's top level down.

    None where the directory is in no repository, is a top level itself, or lies in git's own directory.
    """
    here = os.path.realpath(directory)
    parts: list[str] = []
    while git_directory(here) is None:
        parent, name = os.path.split(here)
        if parent == here or name == ".git":
            return None
        parts.append(name)
        here = parent
    if not parts:
        return None
    chain = repository_rules(here, errors) or IgnoreChain()
    for name in reversed(parts):
        own = read_ignore_file(os.path.join(here, ".gitignore"), errors)
        if own is not None:
            chain = chain.with_file(own)
        chain = chain.enter(name)
        here = os.path.join(here, name)
    return chain
