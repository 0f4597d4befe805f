"""Git repositories on disk: where one begins, and which ignore files count in it.

The global core.excludesFile is not read: which files are scanned should not depend on whose account
runs the scan.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import NamedTuple

from vyre_dist.sources.gitignore import IgnoreChain, IgnoreFile
from vyre_dist.sources.tracked import Repositories, Repository, Tracked

#: git itself ignores larger ones (since 2.42), with a warning
MAX_IGNORE_FILE = 100 << 20


def read_ignore_file(path: str, errors: list[OSError]) -> IgnoreFile | None:
    """Parse the ignore file at `path`; None if there is none, or it is no regular file.

    A symbolic link is not followed, as in git. A file that cannot be read, or is over 100 MiB, is
    None too, and adds an OSError with its filename to `errors`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if not os.path.islink(path):
            errors.append(error)
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
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
        head = _start_of(entry)
        if not head.startswith(b"gitdir: "):
            return None
        target = os.path.join(directory, os.fsdecode(head[8:].rstrip(b"\r\n")))
        return target if os.path.lexists(os.path.join(target, "HEAD")) else None
    except (OSError, ValueError):
        return None


def _start_of(path: str) -> bytes:
    """The content of a small file: a path of up to 4096 bytes and a few more. Nothing of a FIFO,
    which would have to be waited for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return os.read(fd, 4096 + 8) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


class RepositoryRules(NamedTuple):
    """The rules in a directory of a repository before its own ignore file is read."""

    ignore: IgnoreChain
    tracked: Tracked


def repository_rules(
    directory: str, repositories: Repositories, errors: list[OSError]
) -> RepositoryRules | None:
    """The rules that a repository starts with (its info/exclude); None if `directory` is no top
    level.
    """
    repository = _repository(directory, repositories)
    if repository is None:
        return None
    exclude = read_ignore_file(os.path.join(repository.common, "info", "exclude"), errors)
    chain = IgnoreChain()
    return RepositoryRules(
        chain if exclude is None else chain.with_file(exclude), Tracked(repository)
    )


def _repository(top: str, repositories: Repositories) -> Repository | None:
    git = git_directory(top)
    if git is None:
        return None
    common = git
    with contextlib.suppress(OSError):  # the usual case: only linked work trees have that file
        common = os.path.join(
            git, os.fsdecode(_start_of(os.path.join(git, "commondir")).rstrip(b"\r\n"))
        )
    return repositories.at(git, common)


def tracked_in(directory: str, repositories: Repositories) -> Tracked | None:
    """What git tracks in `directory`, which may be reached through links; None outside of
    repositories.
    """
    found = _top_level(directory)
    repository = None if found is None else _repository(found[0], repositories)
    if found is None or repository is None:
        return None
    return Tracked(repository, os.fsencode("".join(f"{name}/" for name in found[1])))


def _top_level(directory: str) -> tuple[str, list[str]] | None:
    """(the top level of the repository that `directory` lies in, the names from there to it); None
    if it is in no repository, or in git's own directory.
    """
    here = os.path.realpath(directory)
    names: list[str] = []
    while git_directory(here) is None:
        parent, name = os.path.split(here)
        if parent == here or name == ".git":
            return None
        names.append(name)
        here = parent
    return here, names[::-1]


def rules_above(
    directory: str, repositories: Repositories, errors: list[OSError]
) -> RepositoryRules | None:
    """The rules in `directory` before its own ignore file, from its repository's top level down.

    None if the directory is in no repository, is a top level itself, or lies in git's own
    directory.
    """
    found = _top_level(directory)
    if found is None or not found[1]:
        return None
    here, names = found
    rules = repository_rules(here, repositories, errors)
    if rules is None:  # it was removed a moment ago
        return None
    chain, tracked = rules
    for name in names:
        own = read_ignore_file(os.path.join(here, ".gitignore"), errors)
        if own is not None:
            chain = chain.with_file(own)
        chain, tracked = chain.enter(name), tracked.enter(name)
        here = os.path.join(here, name)
    return RepositoryRules(chain, tracked)
