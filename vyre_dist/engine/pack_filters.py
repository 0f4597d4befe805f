"""A pack's filters, as an engine wants them: loaded, or left alone until they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgpack

from vyre_dist.program import ArtifactCache
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData
from vyre_dist.rules.search import Renderings

if TYPE_CHECKING:
    from vyre_dist.rules.byte_filters import ByteFilter

# bump when patterns come to be rendered otherwise
_SCHEMA = 1


def byte_filters(pack: PackData) -> Sequence[ByteFilter]:
    """The pack's byte filters, by rule number."""
    # with a parser of regexes behind it, which most scans do without
    from vyre_dist.rules.byte_filters import byte_filters_of

    return byte_filters_of(pack)


def load_filters(pack: PackData, key: str, cache: ArtifactCache) -> CompiledFilters:
    """The pack's filters; their patterns are parsed once, and kept in `cache`."""
    key = f"{_SCHEMA}:{key}"
    stored = cache.get("filters", key)
    renderings = Renderings(msgpack.unpackb(stored) if stored is not None else None)
    filters = CompiledFilters(pack, renderings)
    if renderings.grown:
        cache.put("filters", key, msgpack.packb(renderings.known))
    return filters
