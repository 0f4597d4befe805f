"""PathGlobs: the globs of --include and --exclude, applied to arguments and the folders that those
lie in.

tree.py applies them to what lies below an argument; globs.py expands arguments that are globs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from vyre_dist.document_paths import normal_path
from vyre_dist.sources.gitignore import IgnoreChain, IgnoreFile


def _glob_file(patterns: Sequence[str]) -> IgnoreFile | None:
    return (
        IgnoreFile([os.fsencode(_normal_glob(p)) for p in patterns], globs=True)
        if patterns
        else None
    )


def _normal_glob(pattern: str) -> str:
    """A glob in the form of a normal path. A final slash stays, as it means directories."""
    normal = normal_path(pattern)
    if normal in (".", "/"):
        return pattern
    return normal + "/" if pattern.endswith("/") else normal


class PathGlobs:
    """The globs of one option."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._file = _glob_file(patterns)
        # of the latest argument's directory: arguments come in runs
        self._parent: str | None = None
        self._in_parent = IgnoreChain()
        self._matches_parent: bool | None = None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._file is not None

    def chain(self, directory: str) -> IgnoreChain:
        """The globs for what lies in `directory`; they count from it and from the working
        directory.
        """
        if self._file is None:
            return IgnoreChain()
        here, rest = _split_here(directory)
        return IgnoreChain().with_file(
            self._file, [os.fsencode(each) for each in (here + rest, rest) if each]
        )

    def match(self, path: str, is_dir: bool) -> bool:
        """Whether they match an argument, or a directory that it lies in. `path` is as from_here
        gives it.

        What is above a directory outside of the working directory does not count: it only tells
        where that directory was put.
        """
        if self._file is None:
            return False
        parent, name = os.path.split(path)
        if parent != self._parent:
            self._parent, self._matches_parent = parent, None
            self._in_parent = self.chain(parent)
        if name not in ("", ".", "..") and self._in_parent.ignored(
            {name}, {name} if is_dir else ()
        ):
            return True
        if is_dir and _split_here(path)[1].startswith(("/", "../")):
            return False
        if self._matches_parent is None:
            self._matches_parent = self._match_any_of(*_split_here(parent))
        return self._matches_parent

    def _match_any_of(self, here: str, directory: str) -> bool:
        """Whether they match `directory`, counted from `here`, or one that it lies in."""
        chain = self.chain(here)
        for part in filter(None, directory.split("/")):
            if part != ".." and chain.ignored({part}, {part}):
                return True
            chain = chain.enter(part)
        return False


def _split_here(path: str) -> tuple[str, str]:
    """(the working directory with a final slash, the rest) of an absolute path that lies in it;
    ("", the path) of others.
    """
    if path.startswith("/"):
        with suppress(FileNotFoundError):  # it was removed
            here = os.path.join(os.getcwd(), "")
            if path.startswith(here):
                return here, path.removeprefix(here)
            if path == here[:-1]:
                return path, ""
    return "", "" if path == "." else path


def from_here(path: str) -> str:
    """`path` without `.` and `..`, relative if it was.

    A `..` behind a link leads to the parent of the link's target; os.path.normpath would drop both.
    """
    if ".." not in path:
        return os.path.normpath(path)
    done = "/" if path.startswith("/") else "."
    for part in path.split("/"):
        if part == ".." and os.path.islink(done):
            parent = os.path.dirname(os.path.realpath(done))
            done = parent if path.startswith("/") else os.path.relpath(parent)
        else:
            done = os.path.normpath(os.path.join(done, part))
    return done
