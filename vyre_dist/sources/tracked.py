"""What git tracks in the folders of a walk. git never ignores a tracked file, nor does a scan.

An index is read when the first name of its repository would be left out; most folders have none.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vyre_dist.input_problem import InputProblem

if TYPE_CHECKING:
    from vyre_dist.sources.git_index import GitIndex


@dataclass(slots=True)
class Repository:
    """A repository's index, read once. `git`: its git directory; `common`: what its work trees
    share.
    """

    git: str
    common: str
    _index: GitIndex | None = None
    _problem: InputProblem | None = None

    @property
    def index(self) -> GitIndex:
        """The index; an empty one if it can't be read, and then `take_problem` tells why."""
        if self._index is None:
            # 1 ms that most scans need not pay
            from vyre_dist.sources.git_index import GitIndex, GitIndexError, read_index

            try:
                self._index = read_index(self.git, self.common)
            except GitIndexError as error:
                self._index = GitIndex()
                detail = f"{error.detail}; tracked files that ignore files name were not scanned"
                self._problem = InputProblem(error.path, "git-index", detail)
        return self._index

    def take_problem(self) -> InputProblem | None:
        """Why the index could not be read; None after the first call."""
        problem, self._problem = self._problem, None
        return problem


@dataclass(slots=True)
class Repositories:
    """The repositories that a walk has met, each once."""

    _known: dict[str, Repository] = field(default_factory=dict)

    def at(self, git: str, common: str) -> Repository:
        """The repository with this git directory."""
        return self._known.setdefault(os.path.realpath(git), Repository(git, common))


@dataclass(frozen=True, slots=True)
class Tracked:
    """What is tracked in one directory of a work tree.

    `path`: from the top level, with a final slash; empty for the top level itself. `alone`: ignore
    files leave the directory out, and it is listed only for what is tracked below it.
    """

    repository: Repository
    path: bytes = b""
    alone: bool = False

    def among(self, names: Iterable[str], directories: Collection[str]) -> set[str]:
        """Those of `names` that are tracked, or lead to tracked files. `directories`: which of them
        are directories.
        """
        index, found = self.repository.index, set()
        if index.names:
            for name in names:
                path = self.path + os.fsencode(name)
                if index.leads_to_tracked(path) if name in directories else index.has_file(path):
                    found.add(name)
        return found

    def enter(self, name: str, alone: bool = False) -> Tracked:
        """The same in the subdirectory `name`."""
        return Tracked(self.repository, self.path + os.fsencode(name) + b"/", alone)
