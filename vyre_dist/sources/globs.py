"""Arguments that are globs (`src/**/*.py`, quoted so that the shell left them alone), expanded by us.

The standard library's glob drops directories that it cannot list; here they come back as problems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from vyre_dist.sources import wildmatch
from vyre_dist.sources.document import InputProblem, problem_of


def has_glob(path: str) -> bool:
    """True where the path has a character that could make it a glob."""
    return not {"*", "?", "["}.isdisjoint(path)


def expand(pattern: str) -> Iterator[str | InputProblem]:
    """The existing paths that match, in sorted order, and the directories that could not be listed.

    The language is gitignore's: `**` between slashes is any number of directories, `*` takes hidden names
    too. Links to directories are followed for `*`, not for `**`. A final `**` is the directory itself.
    """
    parts = pattern.split("/")
    base = ""
    if parts[0] == "":
        base = "/"
        parts = parts[1:]
    segments = [p for p in parts if p not in ("", ".")]
    while len(segments) > 1 and segments[-1] == "**":
        segments.pop()
    seen: set[str] = set()
    for found in _expand(base, segments):
        # two ** can reach the same path by several ways, and each way meets an unreadable directory
        key = found if isinstance(found, str) else found.path + "\0"
        if key not in seen:
            seen.add(key)
            yield found


def _expand(base: str, segments: list[str]) -> Iterator[str | InputProblem]:
    if not segments:
        yield base or "."
        return
    head, rest = segments[0], segments[1:]
    if head == "**":
        if not rest or rest[0] == "**":
            yield from _expand(base, rest)
            return
        yield from _expand(base, rest)
        try:
            with os.scandir(base or ".") as entries:
                below = sorted((e.name for e in entries if e.is_dir(follow_symlinks=False)), key=os.fsencode)
        except OSError as error:
            yield problem_of(base or ".", error)
            return
        for name in below:
            yield from _expand(base + name + "/", segments)
        return
    if not has_glob(head) and "\\" not in head:
        if os.path.lexists(base + head) and (not rest or os.path.isdir(base + head)):
            yield from _expand(base + head + ("/" if rest else ""), rest)
        return
    regex = wildmatch.compile_bytes(wildmatch.translate_name(os.fsencode(head)))
    try:
        names = sorted(os.listdir(base or "."), key=os.fsencode)
    except OSError as error:
        yield problem_of(base or ".", error)
        return
    for name in names:
        if regex.fullmatch(os.fsencode(name)) is None:
            continue
        if not rest:
            yield base + name
        elif os.path.isdir(base + name):
            yield from _expand(base + name + "/", rest)
