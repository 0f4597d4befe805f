"""The Overruns of a pack, kept in the cache: to work them out takes longer than a small scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from vyre_dist.extract.lookbehind import Lookbehind
from vyre_dist.extract.overrun import Overrun, OverrunFacts
from vyre_dist.program import ArtifactCache, CompiledPack

# bump when OverrunFacts change
_SCHEMA = 5


def load_overruns(compiled: CompiledPack, cache: ArtifactCache) -> dict[int, Overrun]:
    """By rule number, for the rules without a widest match."""
    key = f"{_SCHEMA}:{compiled.key}"
    rules = [rule for rule in compiled.rules if rule.max_width is None]
    stored = cache.get("overruns", key)
    if stored is None:
        facts = [OverrunFacts.of(rule.pattern) for rule in rules]
        cache.put("overruns", key, msgpack.packb(facts))
    else:
        # its checksum was right and its key names the schema
        facts = [_facts(*row) for row in msgpack.unpackb(stored)]
    return {
        rule.index: Overrun(own, rule.captures_matter)
        for rule, own in zip(rules, facts, strict=True)
    }


def _facts(
    head: bytes,
    head_width: int,
    cut: bytes,
    begun: bytes,
    middle: bytes,
    lookbehind: Sequence[Any] | None,
) -> OverrunFacts:
    known = None if lookbehind is None else Lookbehind(*lookbehind)
    return OverrunFacts(head, head_width, cut, begun, middle, known)
