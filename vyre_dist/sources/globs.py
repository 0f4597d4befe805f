"""Expands arguments that are globs (`src/**/*.py`, quoted so that the shell left them alone).

The standard library's glob drops directories that it cannot list or enter; here they are problems.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from vyre_dist.input_problem import InputProblem
from vyre_dist.sources import wildmatch
from vyre_dist.sources.document import problem_of


def has_glob(path: str) -> bool:
    """True where the path has a character that could make it a glob."""
    return not {"*", "?", "["}.isdisjoint(path)


def expand(pattern: str) -> Iterator[str | InputProblem]:
    """The existing paths that match, in sorted order, and problems with what could not be listed,
    entered or looked at.

    The language is gitignore's: `**` between slashes is any number of directories, `*` takes hidden
    names too. Links to directories are followed for `*`, not for `**`. A final `**` is the
    directory itself; it and a final slash mean directories.
    """
    parts = pattern.split("/")
    base = ""
    if parts[0] == "":
        base = "/"
        parts = parts[1:]
    segments = [p for p in parts if p not in ("", ".")]
    directories = bool(segments) and (pattern.endswith("/") or segments[-1] == "**")
    while len(segments) > 1 and segments[-1] == "**":
        segments.pop()
    seen: set[str] = set()
    for found in _expand(base, segments):
        # two ** can reach the same path by several ways, and each way meets an unreadable directory
        key = found if isinstance(found, str) else found.path + "\0"
        if key not in seen and not (directories and isinstance(found, str) and _is_other(found)):
            seen.add(key)
            yield found


def _is_other(path: str) -> bool:
    """Whether the path exists and is no directory. False if that can't be told: whoever opens it
    reports it.
    """
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False


def _expand(base: str, segments: list[str]) -> Iterator[str | InputProblem]:
    if not segments:
        yield base or "."
        return
    head, rest = segments[0], segments[1:]
    anywhere = head == "**"
    if anywhere:
        yield from _expand(base, rest)
        if not rest or rest[0] == "**":
            return
    elif not has_glob(head) and "\\" not in head:
        yield from _named(base + head, rest)
        return
    try:
        with os.scandir(base or ".") as listing:
            entries = sorted(listing, key=lambda e: os.fsencode(e.name))
    except OSError as error:
        yield problem_of(base or ".", error)
        return
    regex = (
        None if anywhere else wildmatch.compile_bytes(wildmatch.translate_name(os.fsencode(head)))
    )
    for entry in entries:
        if regex is not None and regex.fullmatch(os.fsencode(entry.name)) is None:
            continue
        path = base + entry.name
        if not rest:
            yield path
            continue
        try:
            is_dir = entry.is_dir(follow_symlinks=not anywhere)  # False where there is nothing
        except NotADirectoryError:  # a link that goes through a file
            continue
        except OSError as error:
            yield problem_of(path, error)
            continue
        if is_dir:
            yield from _expand(path + "/", segments if anywhere else rest)


def _named(path: str, rest: list[str]) -> Iterator[str | InputProblem]:
    """What lies at `path`, which has no glob of its own. Only an error that says "not there" means
    that nothing does.
    """
    try:
        info = os.stat(path) if rest else os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield problem_of(path, error)
        return
    if not rest:
        yield path
    elif stat.S_ISDIR(info.st_mode):
        yield from _expand(path + "/", rest)
