"""The inputs of a run: paths, a list of files, standard input and named pipes, as a plan takes
them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import ExitStack, closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from vyre_dist.atomic_file import incomplete_name
from vyre_dist.document_paths import written_path
from vyre_dist.errors import UsageError
from vyre_dist.input_problem import InputProblem
from vyre_dist.own_files import regular_files
from vyre_dist.runs.folder_listers import FolderListers
from vyre_dist.runs.pools import uses_ray
from vyre_dist.runs.walk_process import WalkProcess, pays
from vyre_dist.sources import (
    DocumentRef,
    FileListError,
    FolderFiles,
    WalkStats,
    pipe_id,
    read_file_list,
    spool_pipes,
    spool_stdin,
    walk_folders,
)
from vyre_dist.temporary import temporary_directory

if TYPE_CHECKING:
    from vyre_dist.runs.options import ScanOptions

STDIN = "-"
"""Standard input, where an input is named."""

Waiting = Callable[[Sequence[str]], None]
"""Told of named pipes that nobody has opened for writing yet."""


class ScanInputs:
    """The inputs that `options` name. `stack` holds the copies of what is no file.

    `listed`: how many names of the list have been read.
    """

    def __init__(
        self, options: ScanOptions, stats: WalkStats, stack: ExitStack, waiting: Waiting
    ) -> None:
        self._options = options
        self._stats = stats
        self._stack = stack
        self._waiting = waiting
        self.listed = 0

    def items(
        self, own_files: Set[tuple[int, int]]
    ) -> Iterator[FolderFiles | DocumentRef | InputProblem]:
        """Documents, folders' files and problems, without the regular files `own_files` (device,
        inode).

        Reads standard input and named pipes to their end at once. Raises UsageError.
        """
        options = self._options
        given, file_list = options.paths, options.files_from
        paths: Sequence[str] = [path for path in given if path != STDIN]
        parts: list[Iterable[FolderFiles | DocumentRef | InputProblem]] = []
        own_pipe = pipe_id(0) if STDIN in given or file_list == STDIN else None
        if file_list == STDIN and (STDIN in given or _is_among(own_pipe, paths)):
            raise UsageError(
                "standard input can be a document (-) or a list (--files-from -), not both"
            )
        if STDIN in given:
            parts.append([self._stack.enter_context(spool_stdin(_stdin(), temporary_directory()))])
        pipes = self._pipes(
            [path for path in paths if own_pipe is None or pipe_id(path) != own_pipe]
        )
        if own_pipe is not None:
            pipes[own_pipe] = None
        names: Iterable[str] = ()
        list_problems: list[InputProblem] = []
        if file_list:
            listed = read_file_list(file_list, _stdin() if file_list == STDIN else None)
            names = self._counted(_readable_names(listed, list_problems, alone=not given))
        elif not given:
            paths = ["."]
        plain = not (pipes or file_list or uses_ray(options.pool, options.address))
        listers = FolderListers(own_files) if plain and pays(paths) else None
        walk: Iterable[FolderFiles | DocumentRef | InputProblem] = walk_folders(
            paths,
            options.walk,
            own_files=own_files,
            stats=self._stats,
            names=names,
            pipes=pipes,
            listings=listers,
        )
        parts.append(walk if listers is None else self._in_process(walk, listers))
        # asked for last, when the list has been read
        parts.append(list_problems)
        return chain.from_iterable(parts)

    def _in_process(
        self, walk: Iterable[FolderFiles | DocumentRef | InputProblem], listers: FolderListers
    ) -> Iterable[FolderFiles | DocumentRef | InputProblem]:
        """`walk` in a process of its own, where there can be one."""
        with suppress(OSError):  # files or processes are short, and may do for the workers
            return self._stack.enter_context(closing(WalkProcess(walk, self._stats, listers)))
        return walk

    def _pipes(
        self, paths: Sequence[str]
    ) -> dict[tuple[int, int], DocumentRef | InputProblem | None]:
        named = [path for path in paths if pipe_id(path) is not None]
        if not named:
            return {}
        return self._stack.enter_context(spool_pipes(named, temporary_directory(), self._waiting))

    def _counted(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            self.listed += 1
            yield name


def own_files_of(files: Iterable[str]) -> frozenset[tuple[int, int]]:
    """(device, inode) of the regular files that a run writes to: standard output and standard
    error, and those of its outputs' `files` that it will replace.
    """
    streams = [fd for fd, stream in ((1, sys.stdout), (2, sys.stderr)) if stream is not None]
    named = list(files)
    named += [incomplete_name(os.path.realpath(file)) for file in named]
    return regular_files([*streams, *named])


def _is_among(pipe: tuple[int, int] | None, paths: Sequence[str]) -> bool:
    return pipe is not None and any(pipe_id(path) == pipe for path in paths)


def _readable_names(
    listed: Iterator[str], problems: list[InputProblem], *, alone: bool
) -> Iterator[str]:
    """The paths of a list, as far as it can be read.

    A list that cannot be read at all and is all there is to scan (`alone`) is bad usage. A list
    that breaks off after documents have been scanned is a problem of the run.
    """
    begun = not alone
    try:
        for path in listed:
            begun = True
            yield path
    except FileListError as error:
        if not begun:
            raise
        problems.append(InputProblem(written_path(error.source), "io-error", str(error)))


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("standard input is closed: there is nothing to read from it")
    return sys.stdin.buffer
