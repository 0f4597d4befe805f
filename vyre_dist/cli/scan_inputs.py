"""The inputs of `vyre-dist scan`: its arguments, a list, standard input and named pipes, as a plan
takes them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO

import click

from vyre_dist.atomic_file import incomplete_name
from vyre_dist.document_paths import written_path
from vyre_dist.errors import UsageError
from vyre_dist.own_files import regular_files
from vyre_dist.sources import (
    DocumentRef,
    FileListError,
    FolderFiles,
    InputProblem,
    WalkStats,
    pipe_id,
    read_file_list,
    spool_pipes,
    spool_stdin,
    walk_folders,
)
from vyre_dist.temporary import temporary_directory


class ScanInputs:
    """`options`: the command's, by their parameter names. `stack` holds the copies of what is no
    file.

    `listed`: how many names of the list have been asked for.
    """

    def __init__(self, options: dict[str, Any], stats: WalkStats, stack: ExitStack) -> None:
        self._o = options
        self._stats = stats
        self._stack = stack
        self.listed = 0

    def items(
        self, own_files: Set[tuple[int, int]]
    ) -> Iterator[FolderFiles | DocumentRef | InputProblem]:
        """Documents, folders' files and problems, without the regular files `own_files` (device,
        inode).

        Standard input and named pipes are read here, to their end. Raises UsageError.
        """
        o = self._o
        paths: Sequence[str] = [path for path in o["paths"] if path != "-"]
        parts: list[Iterable[FolderFiles | DocumentRef | InputProblem]] = []
        own_pipe = pipe_id(0) if "-" in o["paths"] or o["files_from"] == "-" else None
        if o["files_from"] == "-" and ("-" in o["paths"] or _is_among(own_pipe, paths)):
            raise UsageError(
                "standard input can be a document (-) or a list (--files-from -), not both"
            )
        if "-" in o["paths"]:
            parts.append([self._stack.enter_context(spool_stdin(_stdin(), temporary_directory()))])
        pipes = self._pipes(
            [path for path in paths if own_pipe is None or pipe_id(path) != own_pipe]
        )
        if own_pipe is not None:
            pipes[own_pipe] = None
        names: Iterable[str] = ()
        list_problems: list[InputProblem] = []
        if o["files_from"]:
            listed = read_file_list(o["files_from"], _stdin() if o["files_from"] == "-" else None)
            names = self._counted(_as_far_as_it_goes(listed, list_problems, alone=not o["paths"]))
        elif not o["paths"]:
            paths = ["."]
        parts.append(
            walk_folders(
                paths,
                respect_gitignore=not o["no_gitignore"],
                follow_symlinks=o["follow"],
                include=o["include"],
                exclude=o["exclude"],
                max_file_size=o["max_file_size"],
                own_files=own_files,
                stats=self._stats,
                names=names,
                pipes=pipes,
            )
        )
        # asked for last, when the list has been read
        parts.append(list_problems)
        return chain.from_iterable(parts)

    def _pipes(
        self, paths: Sequence[str]
    ) -> dict[tuple[int, int], DocumentRef | InputProblem | None]:
        named = [path for path in paths if pipe_id(path) is not None]
        if not named:
            return {}
        return self._stack.enter_context(spool_pipes(named, temporary_directory(), _waiting))

    def _counted(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            self.listed += 1
            yield name


def own_files_of(
    destinations: Sequence[tuple[str, str]], report: str | None
) -> frozenset[tuple[int, int]]:
    """(device, inode) of the regular files that the scan writes or will replace."""
    streams = [fd for fd, stream in ((1, sys.stdout), (2, sys.stderr)) if stream is not None]
    files = [file for _, file in (*destinations, ("", report or "-")) if file != "-"]
    files += [incomplete_name(os.path.realpath(file)) for file in files]
    return regular_files([*streams, *files])


def _is_among(pipe: tuple[int, int] | None, paths: Sequence[str]) -> bool:
    return pipe is not None and any(pipe_id(path) == pipe for path in paths)


def _waiting(pipes: Sequence[str]) -> None:
    from vyre_dist.sinks.text import visible

    click.echo(f"vyre-dist: waiting for somebody to write to {visible(', '.join(pipes))}", err=True)


def _as_far_as_it_goes(
    listed: Iterator[str], problems: list[InputProblem], *, alone: bool
) -> Iterator[str]:
    """The paths of a list. One that can't be read at all and is all there is to scan (`alone`) is
    bad usage; one that breaks off when documents have been scanned is a problem of the run.
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
