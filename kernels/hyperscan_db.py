"""Hyperscan databases of a compiled pack: how they are built, what is refused, and how they are cached.

Databases depend on Hyperscan's version and on the processor, so the cache key holds both.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import hyperscan
import msgpack

from vyre_dist.extract.matcher import Reach
from vyre_dist.program import ArtifactCache, CompiledPack, CompiledRule

_SCHEMA = 4
# what Hyperscan's compiler may say about one expression: too large, unsupported, empty, internal limits
_REFUSALS = (hyperscan.CompilerError, hyperscan.error)


def build_database(rules: Sequence[CompiledRule], flags: int, gates: Collection[int] = ()) -> Any:
    """A block-mode database whose expression ids are the rules' numbers. Raises hyperscan.error when refused.

    `gates`: the rules whose gate_pattern is compiled in place of the regex.
    """
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[(r.gate_pattern if r.index in gates else None) or r.candidate_pattern for r in rules],
        ids=[r.index for r in rules],
        elements=len(rules),
        flags=flags,
    )
    return database


def load_database(blob: bytes) -> Any:
    """A database from hyperscan.dumpb's bytes, with scratch of its own."""
    database = hyperscan.loadb(blob, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


@dataclass(frozen=True, slots=True)
class CandidateDatabases:
    """Which windows may hold a match of which rule.

    `whole`: databases for windows that are whole documents, where a dear rule may be looked for by its
    keywords. `partial`: what must be scanned beside them for windows that are not, since the keyword may be
    in another window: the dear rules' own regexes. Scanned one after the other; each reports a rule once
    per window. `approximate`: rules that Hyperscan took only in prefilter mode (a superset of the matches,
    and of their ends nothing is known). `always`: rules that it can't help with (they match the empty
    string, or it refused them): candidates everywhere. `reaches`: of the rules without a widest match, which
    are found by where they end, as far as it helps.
    """

    whole: tuple[Any, ...]
    partial: tuple[Any, ...]
    approximate: frozenset[int]
    always: tuple[int, ...]
    reaches: dict[int, Reach]


def candidate_databases(compiled: CompiledPack, cache: ArtifactCache) -> CandidateDatabases:
    """Build the databases of a pack, or take them from `cache`."""
    key = _key(compiled)
    if (stored := cache.get("hyperscan", key)) is not None:
        try:
            whole, partial, approximate, always, reaches = msgpack.unpackb(stored)
            return CandidateDatabases(
                tuple(map(load_database, whole)),
                tuple(map(load_database, partial)),
                frozenset(approximate),
                tuple(always),
                {rule: Reach(*reach) for rule, reach in reaches},
            )
        except (hyperscan.error, ValueError, TypeError):
            pass  # of another build after all: compile anew, and overwrite it
    single, loose = hyperscan.HS_FLAG_SINGLEMATCH, hyperscan.HS_FLAG_PREFILTER
    always_rules = [r.index for r in compiled.rules if r.min_width == 0]
    searched = [r for r in compiled.rules if r.min_width > 0]
    # keywords stand in only for a regex that Hyperscan takes, since partial windows need the regex itself
    gated = [r for r in searched if r.gate_pattern is not None and _accepts(r, single)]
    gate_numbers = {r.index for r in gated}
    exact, refused = _build(searched, single, gate_numbers)
    partial_blobs = [hyperscan.dumpb(db) for db in _build(gated, single)[0]]
    inexact, unhelped = _build(refused, single | loose)
    always_rules += [r.index for r in unhelped]
    approximate = {r.index for r in refused} - {r.index for r in unhelped}
    whole_blobs = [hyperscan.dumpb(db) for db in exact + inexact]
    always_rules.sort()
    reaches = {r.index: reach for r in searched if r.max_width is None and (reach := Reach.of(r.pattern))}
    stored_parts = [whole_blobs, partial_blobs, sorted(approximate), always_rules, list(reaches.items())]
    cache.put("hyperscan", key, msgpack.packb(stored_parts))
    return CandidateDatabases(
        tuple(map(load_database, whole_blobs)),
        tuple(map(load_database, partial_blobs)),
        frozenset(approximate),
        tuple(always_rules),
        reaches,
    )


def ends_database(rule: CompiledRule, compiled: CompiledPack, cache: ArtifactCache) -> Any:
    """A database that reports every end of the rule's matches; None if Hyperscan takes the rule only to report one.

    Some take longer to build than to scan a hundred megabytes with, so they are kept in `cache`.
    """
    key = f"{_key(compiled)}:{rule.index}"
    stored = cache.get("hyperscan-ends", key)
    try:
        if stored is None:
            stored = hyperscan.dumpb(build_database([rule], 0))
            cache.put("hyperscan-ends", key, stored)
        return load_database(stored)
    except hyperscan.error:
        return None


def _key(compiled: CompiledPack) -> str:
    version = hyperscan.__version__  # type: ignore[attr-defined]  # its stubs leave it out
    return f"{_SCHEMA}:{compiled.key}:{version}:{_cpu()}"


def _build(
    rules: list[CompiledRule], flags: int, gates: Collection[int] = ()
) -> tuple[list[Any], list[CompiledRule]]:
    """(databases, refused rules): one database if Hyperscan takes all, else halves, down to the rules at fault."""
    if not rules:
        return [], []
    try:
        return [build_database(rules, flags, gates)], []
    except _REFUSALS:
        if len(rules) == 1:
            return [], rules
    alone = [r for r in rules if not _accepts(r, flags)]
    if alone:
        good, refused = _build([r for r in rules if r not in alone], flags, gates)
        return good, refused + alone
    middle = len(rules) // 2  # each is fine, together they are too much
    left, right = _build(rules[:middle], flags, gates), _build(rules[middle:], flags, gates)
    return left[0] + right[0], left[1] + right[1]


def _accepts(rule: CompiledRule, flags: int) -> bool:
    try:
        build_database([rule], flags)
    except _REFUSALS:
        return False
    return True


def _cpu() -> str:
    """The processor's features as far as the kernel tells: a database for a wider machine would not load here."""
    flags = ""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            flags = next((line for line in f if line.startswith("flags")), "")
    except OSError:
        pass  # not Linux: the machine's name has to do
    return f"{platform.machine()}:{flags}"
