r"""HyperscanRows: which rows of an arena may match which rule, by one search over all of them.

The rules' patterns are those of hyperscan_db.py, with the edge of a line for the edge of a text: a
row begins behind a newline and ends before one. Keywords are reported wherever they are, since each
row is a document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import hyperscan
import msgpack

from vyre_dist.extract.file_windows import FileArena
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels.hyperscan_db import (
    EVERY_END,
    LOOSE,
    build_databases,
    cache_key,
    check_library,
    interrupted_unless,
    load_database,
    search,
)
from vyre_dist.program import ArtifactCache, CompiledPack, CompiledRule

_SCHEMA = 2

# So many hits are worth hearing of: Python is called for each, which takes a tenth of what it takes
# to search a row by itself.
_HITS_PER_ROW = 8
_BYTES_PER_HIT = 64

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_LINE_EDGES = {rb"\A": rb"(?m:^)", rb"\z": rb"(?m:$)"}
# to_pcre's, for a rule that may end at the beginning of a line; as an alternative of its own it
# would be one of a rule that matches nothing
_ADDED_END = rb"|\z"

Candidates: TypeAlias = dict[int, dict[int, list[int] | None]]
"""By row and rule: the ends of the rule's possible matches in the row, None where not known."""


class RowDatabases(NamedTuple):
    """Which rows of an arena may hold a match of which rule.

    `exact`: they report every end of a match, or every end of a keyword of the `by_keyword` rules.
    `approximate`: they report a rule once, if any row may match it. `always`: rules that Hyperscan
    can't help with, candidates in every row.
    """

    exact: tuple[Any, ...]
    approximate: tuple[Any, ...]
    by_keyword: frozenset[int]
    always: tuple[int, ...]


class HyperscanRows:
    """The candidates of one pack in arenas. Not thread-safe."""

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache, by_keyword: frozenset[int]):
        """`by_keyword`: the rules that are looked for by their keywords."""
        self._databases = _row_databases(compiled, cache, by_keyword)
        self._hits: list[tuple[int, int]] = []
        self._most_hits = 0

    def search(self, arena: RowArena | FileArena) -> Candidates | None:
        """The candidates; None where there are too many to hear of each of them."""
        hits, databases = self._hits, self._databases
        hits.clear()
        self._most_hits = _HITS_PER_ROW * len(arena) + len(arena.data) // _BYTES_PER_HIT
        everywhere = set(databases.always)
        for database in databases.exact:
            if not search(database, arena.data, self._on_hit):
                interrupted_unless(len(hits) > self._most_hits)
                return None
        for database in databases.approximate:
            search(
                database,
                arena.data,
                lambda rule, *_: everywhere.add(rule),  # None goes on
            )
        found = self._by_row(arena)
        if everywhere:
            for row in range(len(arena)):
                found.setdefault(row, {}).update(dict.fromkeys(everywhere))
            return dict(sorted(found.items()))
        return found

    def _on_hit(self, rule: int, _start: int, end: int, _flags: int, _context: object) -> bool:
        hits = self._hits
        hits.append((end, rule))
        return len(hits) > self._most_hits

    def _by_row(self, arena: RowArena | FileArena) -> Candidates:
        hits, by_keyword = self._hits, self._databases.by_keyword
        found: Candidates = {}
        if not hits:
            return found
        hits.sort()
        row, low, high, last = 0, 0, -1, arena.bounds(len(arena) - 1)[1]
        for end, rule in hits:
            if end > high:
                if end > last:
                    break
                row = arena.row_at(end, row)
                low, high = arena.bounds(row)
            if end == low:  # it ends with the newline of the row before
                continue
            own = found.setdefault(row, {})
            if rule in by_keyword:
                own[rule] = None
            elif (ends := own.setdefault(rule, [])) is not None:
                ends.append(end - low)
        return found


def _row_databases(
    compiled: CompiledPack, cache: ArtifactCache, by_keyword: frozenset[int]
) -> RowDatabases:
    """Build the databases of a pack, or take them from `cache`."""
    key = f"{_SCHEMA}:{cache_key(compiled)}"
    stored = cache.get("hyperscan-rows", key)
    if stored is not None:
        try:
            return _loaded(msgpack.unpackb(stored))
        except (hyperscan.error, ValueError, TypeError):
            pass  # of another build after all: compile anew, and overwrite it
    check_library()
    rules = [_in_lines(rule) for rule in compiled.rules if rule.min_width > 0]
    replaced = by_keyword.intersection(rule.index for rule in rules)
    exact, refused = build_databases(rules, EVERY_END, replaced)
    approximate, unhelped = build_databases(refused, LOOSE)
    always = [rule.index for rule in compiled.rules if rule.min_width == 0]
    parts = [
        [hyperscan.dumpb(database) for database in exact],
        [hyperscan.dumpb(database) for database in approximate],
        sorted(replaced),
        sorted(always + [rule.index for rule in unhelped]),
    ]
    cache.put("hyperscan-rows", key, msgpack.packb(parts))
    return _loaded(parts)


def _loaded(parts: Sequence[Any]) -> RowDatabases:
    exact, approximate, by_keyword, always = parts
    return RowDatabases(
        tuple(map(load_database, exact)),
        tuple(map(load_database, approximate)),
        frozenset(by_keyword),
        tuple(always),
    )


def _in_lines(rule: CompiledRule) -> CompiledRule:
    """The rule with a candidate pattern for rows."""
    pattern = rule.candidate_pattern
    if pattern.endswith(_ADDED_END):
        # a row's last newline never ends the arena, so that what this stands for holds there
        pattern = pattern.removesuffix(_ADDED_END)
    in_lines = _ESCAPE.sub(lambda escape: _LINE_EDGES.get(escape[0], escape[0]), pattern)
    return replace(rule, candidate_pattern=in_lines)
