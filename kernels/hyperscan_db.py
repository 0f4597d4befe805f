"""Hyperscan databases of a compiled pack: how they are built and cached, and what is refused.

Databases depend on Hyperscan's version and on the processor, so the cache key holds both.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import hyperscan
import msgpack

from vyre_dist.errors import UsageError
from vyre_dist.extract.lookbehind import Lookbehind
from vyre_dist.program import ArtifactCache, CompiledPack, CompiledRule

_SCHEMA = 8
# The binding searches bytes only, unless it is told that a text has several parts: then anything
# with a buffer will do, and a part of the memory that a document was read into need not be copied.
# It takes one part at a time right; the search is as fast as in Hyperscan's block mode.
_MODE = hyperscan.HS_MODE_VECTORED
# what Hyperscan's compiler may say about one expression: too large, unsupported, empty, internal
# limits
EVERY_END = 0
_ONCE = hyperscan.HS_FLAG_SINGLEMATCH
LOOSE = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
REFUSALS = (hyperscan.CompilerError, hyperscan.error)


def build_database(
    rules: Sequence[CompiledRule], flags: int | list[int], by_keyword: Collection[int] = ()
) -> Any:
    """A database; expression ids are the rules' numbers. Raises hyperscan.error.

    `flags`: Hyperscan's, for all rules or for each.
    `by_keyword`: the rules whose keyword_pattern is compiled in place of the regex.
    """
    database = new_database()
    database.compile(
        expressions=[
            (r.keyword_pattern if r.index in by_keyword else None) or r.candidate_pattern
            for r in rules
        ],
        ids=[r.index for r in rules],
        elements=len(rules),
        flags=flags,
    )
    return database


def new_database() -> Any:
    """A database to be compiled, for `search`."""
    return hyperscan.Database(mode=_MODE)


def load_database(blob: bytes) -> Any:
    """A database from hyperscan.dumpb's bytes, with scratch of its own."""
    database = hyperscan.loadb(blob, _MODE)
    database.scratch = hyperscan.Scratch(database)
    return database


def search(database: Any, text: bytes | memoryview, on_hit: Callable[..., object]) -> bool:
    """Whether all of `text` was searched; `on_hit` ends the search with True.

    `on_hit`: gets a rule's number, 0, where a match ends, and two more things of no use.
    """
    try:
        database.scan((text,), on_hit)
    except hyperscan.ScanTerminated:
        return False
    return True


def interrupted_unless(wanted: bool) -> None:
    """For who hears from `search` that it has ended early. `wanted`: the own `on_hit` asked for it.

    If not, it has raised something, which the binding drops: KeyboardInterrupt, which may come at
    any time. Raises that.
    """
    if not wanted:
        raise KeyboardInterrupt


class LazyDatabases:
    """Databases that are built, or loaded, when they are first needed."""

    def __init__(self, open_: Callable[[], tuple[Any, ...]]) -> None:
        self._open = open_

    @cached_property
    def loaded(self) -> tuple[Any, ...]:
        """Each with scratch of its own."""
        return self._open()


@dataclass(frozen=True, slots=True)
class CandidateDatabases:
    """Which windows may hold a match of which rule. All databases of a tuple are scanned one after
    the other.

    `every`: it reports every end of a match, but for the `single` rules (looked for by keywords, or
    approximate), which it reports once. Empty where Hyperscan does not take the rules together that
    way. `once`: the same, each rule reported once. `by_keyword`: dear rules that are looked for by
    keywords. `approximate`: rules that Hyperscan took only in prefilter mode (a superset of the
    matches, and of their ends nothing is known). `always`: rules that it can't help with (they
    match the empty string, or it refused them): candidates everywhere. `lookbehinds`: of the rules
    without a widest match, which are found by where they end, as far as it helps.
    """

    every: tuple[Any, ...]
    once: LazyDatabases
    by_keyword: frozenset[int]
    single: frozenset[int]
    approximate: frozenset[int]
    always: tuple[int, ...]
    lookbehinds: dict[int, Lookbehind]


_LAST_PAIRS = (
    (rb"\n[\nb]", b"", b"\n\n"),
    (rb"foo.*x[yz]", b"foo", b"xy"),
    (rb"x[yz]\z", b"", b"xy"),
)
"""(pattern, what a text begins with, what it ends with): Vectorscan 5.4.12 does not find these at
the end of a text.
"""


@functools.cache
def check_library() -> None:
    """Try the installed Hyperscan. Raises UsageError if it silently misses matches."""
    for pattern, head, tail in _LAST_PAIRS:
        database = new_database()
        database.compile(expressions=[pattern], ids=[0], elements=1, flags=EVERY_END)
        for filler in (5, 20, 40, 100):
            text = head + b"a" * filler + tail
            ends: list[int] = []
            search(database, text, lambda _id, _start, end, *_, ends=ends: ends.append(end))
            if len(text) not in ends:
                raise UsageError(
                    f"the package hyperscan {library_version()} misses matches at the end of a "
                    f"text ({pattern.decode()!r} in one of "
                    f"{len(text)} bytes); install hyperscan>=0.7.13,<0.7.23, or use --backend "
                    "reference"
                )


def candidate_databases(compiled: CompiledPack, cache: ArtifactCache) -> CandidateDatabases:
    """Build the databases of a pack, or take them from `cache`."""
    key = cache_key(compiled)
    stored = cache.get("hyperscan", key)
    if stored is not None:
        try:
            return _opened(compiled, cache, msgpack.unpackb(stored))
        except (hyperscan.error, ValueError, TypeError):
            pass  # of another build after all: compile anew, and overwrite it
    check_library()
    always = [r.index for r in compiled.rules if r.min_width == 0]
    searched = [r for r in compiled.rules if r.min_width > 0]
    # keywords stand in only for a regex that Hyperscan takes: where a keyword is, the matches' ends
    # are asked for
    by_keyword = [
        r.index for r in searched if r.keyword_pattern is not None and _accepts(r, EVERY_END)
    ]
    approximate: list[int] = []
    every = _together(searched, by_keyword, approximate)
    if every is None:
        _, refused = build_databases(searched, _ONCE, by_keyword)
        unhelped = [r.index for r in build_databases(refused, LOOSE)[1]]
        approximate = [r.index for r in refused if r.index not in unhelped]
        always = sorted(always + unhelped)
        every = _together([r for r in searched if r.index not in unhelped], by_keyword, approximate)
    lookbehinds = {
        r.index: lookbehind
        for r in searched
        if r.max_width is None and (lookbehind := Lookbehind.of(r.pattern))
    }
    blobs = [] if every is None else [hyperscan.dumpb(every)]
    parts = [blobs, by_keyword, approximate, always, list(lookbehinds.items())]
    cache.put("hyperscan", key, msgpack.packb(parts))
    return _opened(compiled, cache, parts)


def _opened(
    compiled: CompiledPack, cache: ArtifactCache, parts: Sequence[Any]
) -> CandidateDatabases:
    """The databases from what the cache holds of them."""
    blobs, by_keyword, approximate, always, lookbehinds = parts
    unsearched = {*approximate, *always}
    exact = [r for r in compiled.rules if r.index not in unsearched]
    inexact = [r for r in compiled.rules if r.index in frozenset(approximate)]
    key = cache_key(compiled)

    def once() -> list[Any]:
        return build_databases(exact, _ONCE, by_keyword)[0] + build_databases(inexact, LOOSE)[0]

    return CandidateDatabases(
        tuple(map(load_database, blobs)),
        LazyDatabases(lambda: _kept(cache, "hyperscan-once", key, once)),
        frozenset(by_keyword),
        frozenset((*by_keyword, *approximate)),
        frozenset(approximate),
        tuple(always),
        {rule: Lookbehind(*lookbehind) for rule, lookbehind in lookbehinds},
    )


def _kept(
    cache: ArtifactCache, kind: str, key: str, build: Callable[[], list[Any]]
) -> tuple[Any, ...]:
    """Databases from `cache`, or built and put there."""
    stored = cache.get(kind, key)
    if stored is not None:
        try:
            return tuple(map(load_database, msgpack.unpackb(stored)))
        except (hyperscan.error, ValueError, TypeError):
            pass  # as above
    blobs = [hyperscan.dumpb(database) for database in build()]
    cache.put(kind, key, msgpack.packb(blobs))
    return tuple(map(load_database, blobs))


def _together(
    rules: Sequence[CompiledRule], by_keyword: Collection[int], approximate: Collection[int]
) -> Any:
    """CandidateDatabases.every for `rules`; None where Hyperscan refuses, or there are none."""
    flags = [
        LOOSE if r.index in approximate else _ONCE if r.index in by_keyword else EVERY_END
        for r in rules
    ]
    try:
        return build_database(rules, flags, by_keyword) if rules else None
    except REFUSALS:
        return None


def ends_database(rule: CompiledRule, compiled: CompiledPack, cache: ArtifactCache) -> Any:
    """A database that reports every end of the rule's matches; None if Hyperscan refuses that.

    Some take longer to build than to scan a hundred megabytes with, so they are kept in `cache`.
    """
    key = f"{cache_key(compiled)}:{rule.index}"
    stored = cache.get("hyperscan-ends", key)
    try:
        if stored is None:
            stored = hyperscan.dumpb(build_database([rule], EVERY_END))
            cache.put("hyperscan-ends", key, stored)
        return load_database(stored)
    except hyperscan.error:
        return None


def cache_key(compiled: CompiledPack) -> str:
    return f"{_SCHEMA}:{compiled.key}:{library_version()}:{_cpu()}"


def library_version() -> str:
    """The version of the package hyperscan."""
    return str(hyperscan.__version__)  # type: ignore[attr-defined]  # its stubs leave it out


def build_databases(
    rules: list[CompiledRule], flags: int, by_keyword: Collection[int] = ()
) -> tuple[list[Any], list[CompiledRule]]:
    """(databases, refused rules): one if Hyperscan takes all, else halves, down to single rules."""
    if not rules:
        return [], []
    try:
        return [build_database(rules, flags, by_keyword)], []
    except REFUSALS:
        if len(rules) == 1:
            return [], rules
    alone = [r for r in rules if not _accepts(r, flags)]
    if alone:
        good, refused = build_databases([r for r in rules if r not in alone], flags, by_keyword)
        return good, refused + alone
    middle = len(rules) // 2  # each is fine, together they are too much
    left, right = (
        build_databases(rules[:middle], flags, by_keyword),
        build_databases(rules[middle:], flags, by_keyword),
    )
    return left[0] + right[0], left[1] + right[1]


def _accepts(rule: CompiledRule, flags: int) -> bool:
    try:
        build_database([rule], flags)
    except REFUSALS:
        return False
    return True


def _cpu() -> str:
    """The processor's features: a database for a machine with more would not load here."""
    flags = ""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            flags = next((line for line in f if line.startswith("flags")), "")
    except OSError:
        pass  # not Linux: the machine's name has to do
    return f"{platform.machine()}:{flags}"
