"""Decides which names of a directory the ignore files above it leave out, for all names at once.

A pattern without a slash applies to names at any depth. A pattern with a slash runs as a small
automaton over path segments (`**` keeps its state), so that each directory has only plain name
patterns to test. One set lookup and one RE2 search over all names of the directory then tell
whether anything can be ignored there; most directories need no more. repository.py finds and reads
the files; wildmatch.py knows the glob language.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vyre_dist.sources import wildmatch

if TYPE_CHECKING:
    import re2

_STARSTAR = b"**"
_State = tuple[int, int]  # index of a pattern with a slash, index of its next segment


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line. `segments`: one for a name pattern, else the path's; `whole`: it must see the whole
    path.
    """

    order: int
    negated: bool
    dir_only: bool
    segments: tuple[bytes, ...]
    floating: bool
    whole: bytes | None = None


class _NameTest:
    """One segment pattern, to be tested on names."""

    __slots__ = ("_literal", "_regex", "source")

    def __init__(self, segment: bytes) -> None:
        self._literal: bytes | None = segment if wildmatch.is_literal(segment) else None
        self.source = "" if self._literal is not None else wildmatch.translate_name(segment)
        self._regex: re2._Regexp[bytes] | None = None

    def matches(self, name: bytes) -> bool:
        if self._literal is not None:
            return self._literal == name
        if self._regex is None:
            self._regex = wildmatch.compile_bytes(self.source)
        return self._regex.fullmatch(name) is not None


class _NameSet:
    """Name patterns of one directory, with a quick test whether any name might match."""

    __slots__ = ("_literals", "_regexes", "members")

    def __init__(self, members: Sequence[tuple[_Pattern, bytes]]) -> None:
        self.members = [(pattern, _NameTest(segment)) for pattern, segment in members]
        literals: set[str] = set()
        sources: list[str] = []
        for (_, test), (_, segment) in zip(self.members, members, strict=True):
            if test.source:
                sources.append(test.source)
            else:
                literals.add(os.fsdecode(segment))
        self._literals = frozenset(literals)
        self._regexes = wildmatch.compile_any(dict.fromkeys(sources))

    def candidates(self, names: Collection[str], joined: bytes) -> set[str]:
        found: set[str] = set(self._literals.intersection(names))
        for regex in self._regexes:
            if regex.search(joined) is not None:
                found.update(os.fsdecode(m.group()[1:-1]) for m in regex.finditer(joined))
        return found


class IgnoreFile:
    """The patterns of one ignore file, or of one list of globs. `lines` are as git reads them from
    a file.

    With `globs` the lines are globs instead: `#` and `!` mean themselves, and spaces stay.
    """

    __slots__ = ("_floating", "_local", "_slashed", "_whole", "start")

    def __init__(self, lines: Iterable[bytes], *, globs: bool = False) -> None:
        patterns = [p for i, line in enumerate(lines) if (p := _parse(line, i, globs)) is not None]
        self._floating = _NameSet([(p, p.segments[0]) for p in patterns if p.floating])
        self._slashed = [p for p in patterns if not p.floating and p.whole is None]
        self._whole = [
            (p, wildmatch.compile_bytes(wildmatch.translate_path(p.whole)))
            for p in patterns
            if p.whole is not None
        ]
        self._local: dict[tuple[int, ...], _NameSet] = {}
        #: The states in the directory that the file belongs to.
        self.start: frozenset[_State] = frozenset(
            s for i in range(len(self._slashed)) for s in self._closure(i, 0)
        )

    @classmethod
    def parse(cls, text: bytes) -> IgnoreFile:
        """Read the content of an ignore file the way git does."""
        return cls(
            line[:-1] if line.endswith(b"\r") else line
            for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        )

    def _closure(self, index: int, position: int) -> Iterable[_State]:
        segments = self._slashed[index].segments
        yield index, position
        # a ** that is not the last segment may stand for no directory at all
        while position < len(segments) - 1 and segments[position] == _STARSTAR:
            position += 1
            yield index, position

    def step(self, states: frozenset[_State], name: bytes) -> frozenset[_State]:
        """The states inside the subdirectory `name` of a directory with `states`."""
        after: set[_State] = set()
        for index, position in states:
            segments = self._slashed[index].segments
            if segments[position] == _STARSTAR:
                after.update(self._closure(index, position))
            elif position < len(segments) - 1 and _NameTest(segments[position]).matches(name):
                after.update(self._closure(index, position + 1))
        return frozenset(after)

    def layer(self, states: frozenset[_State], paths: tuple[bytes, ...]) -> _Layer | None:
        """The file's patterns in one directory; None if there are none, there or below."""
        if not (states or self._whole or self._floating.members):
            return None
        return _Layer(self, states, paths if self._whole else ())

    def names_for(self, states: frozenset[_State]) -> list[_NameSet]:
        """The name patterns that count in a directory with `states`."""
        ends = tuple(
            sorted(i for i, position in states if position == len(self._slashed[i].segments) - 1)
        )
        sets = [self._floating] if self._floating.members else []
        if ends:
            local = self._local.get(ends)
            if local is None:
                local = _NameSet([(self._slashed[i], self._slashed[i].segments[-1]) for i in ends])
                self._local[ends] = local
            sets.append(local)
        return sets

    def whole_paths(self) -> list[tuple[_Pattern, re2._Regexp[bytes]]]:
        """The patterns that cannot be run segment by segment."""
        return self._whole


class _Layer:
    """One ignore file as seen from one directory, whose paths from the file's own directory are
    `paths`.
    """

    __slots__ = ("_file", "_ordered", "_paths", "_sets", "_states")

    def __init__(
        self, file: IgnoreFile, states: frozenset[_State], paths: tuple[bytes, ...]
    ) -> None:
        self._file = file
        self._states = states
        self._paths = paths
        self._sets = file.names_for(states)
        self._ordered: list[tuple[_Pattern, _NameTest | None, re2._Regexp[bytes] | None]] | None = (
            None
        )

    def enter(self, name: bytes) -> _Layer | None:
        if not self._states and not self._paths:
            return self
        paths = tuple(path + name + b"/" for path in self._paths)
        return self._file.layer(self._file.step(self._states, name), paths)

    def candidates(self, names: Collection[str], joined: bytes) -> set[str]:
        if self._paths:
            return set(names)
        found: set[str] = set()
        for each in self._sets:
            found |= each.candidates(names, joined)
        return found

    def decide(self, name: bytes, is_dir: bool) -> bool | None:
        """True: ignored; False: taken back in; None: no line matches. The last match counts."""
        if self._ordered is None:
            every = [(p, test, None) for each in self._sets for p, test in each.members]
            whole = [(p, None, regex) for p, regex in self._file.whole_paths()]
            self._ordered = sorted([*every, *whole], key=lambda item: -item[0].order)
        for pattern, test, regex in self._ordered:
            if pattern.dir_only and not is_dir:
                continue
            if test is not None:
                hit = test.matches(name)
            else:
                hit = regex is not None and any(
                    regex.fullmatch(path + name) is not None for path in self._paths
                )
            if hit:
                return not pattern.negated
        return None


class IgnoreChain:
    """The ignore files in force in one directory, outermost first. Immutable."""

    __slots__ = ("_layers",)

    def __init__(self, layers: Sequence[_Layer] = ()) -> None:
        self._layers = tuple(layers)

    def __bool__(self) -> bool:
        return bool(self._layers)

    def with_file(self, file: IgnoreFile, below: Sequence[bytes] = ()) -> IgnoreChain:
        """This chain with `file` added as the innermost.

        `below`: further relative directories, as bytes with slashes, from which the file counts as
        well (globs count from the argument and from the working directory alike).
        """
        states = file.start
        paths = [b""]
        for base in below:
            parts = [part for part in base.split(b"/") if part]
            reached = file.start
            for part in parts:
                reached = file.step(reached, part)
            states |= reached
            paths.append(b"".join(part + b"/" for part in parts))
        layer = file.layer(states, tuple(dict.fromkeys(paths)))
        return self if layer is None else IgnoreChain((*self._layers, layer))

    def enter(self, name: str) -> IgnoreChain:
        """The chain inside the subdirectory `name`."""
        if not self._layers:
            return self
        raw = os.fsencode(name)
        after = [entered for layer in self._layers if (entered := layer.enter(raw)) is not None]
        if len(after) == len(self._layers) and all(
            a is b for a, b in zip(after, self._layers, strict=True)
        ):
            return self
        return IgnoreChain(after)

    def ignored(self, names: Collection[str], directories: Collection[str]) -> set[str]:
        """Those of the `names` of one directory that are left out. `directories`: which of them are
        directories.
        """
        if not self._layers or not names:
            return set()
        joined = os.fsencode("/" + "//".join(names) + "/")
        candidates: set[str] = set()
        for layer in self._layers:
            candidates |= layer.candidates(names, joined)
        return {name for name in candidates if self._decide(os.fsencode(name), name in directories)}

    def _decide(self, name: bytes, is_dir: bool) -> bool:
        for layer in reversed(self._layers):
            decision = layer.decide(name, is_dir)
            if decision is not None:
                return decision
        return False


def _parse(line: bytes, order: int, globs: bool) -> _Pattern | None:
    negated = False
    if not globs:
        line = _without_trailing_spaces(line.split(b"\0", 1)[0])
        if line.startswith(b"#"):
            return None
        if line.startswith(b"!"):
            negated = True
            line = line[1:]
    dir_only = line.endswith(b"/")
    if dir_only:
        line = line[:-1]
    floating = b"/" not in line
    line = line.removeprefix(b"/")
    if not line:
        return None
    segments = (line,) if floating else wildmatch.split_segments(line)
    if segments is None:
        return _Pattern(order, negated, dir_only, (), False, line)
    # any run of two or more stars between slashes is one **; further ones next to it add nothing
    tidy = tuple(_STARSTAR if len(s) > 1 and not s.strip(b"*") else s for s in segments)
    return _Pattern(order, negated, dir_only, tidy, floating)


def _without_trailing_spaces(line: bytes) -> bytes:
    """Drop the spaces at the end, but keep one behind a backslash."""
    end = i = 0
    while i < len(line):
        if line[i] == 0x5C:
            i += 2
            end = min(i, len(line))
        else:
            i += 1
            if line[i - 1] != 0x20:
                end = i
    return line[:end]
