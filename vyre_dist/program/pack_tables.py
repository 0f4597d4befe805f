"""load_tables: a compiled pack's tables, from the cache or compiled now.

What is in them is in compiler/tables.py, how they are stored in compiler/codec.py.
"""

from __future__ import annotations

from vyre_dist import regex as rx
from vyre_dist.compiler import (
    PackTables,
    TableFormatError,
    compile_tables,
    decode_tables,
    encode_tables,
)
from vyre_dist.compiler.codec import TABLES_SCHEMA
from vyre_dist.compiler.gram_model import default_model_digest
from vyre_dist.program.cache import ArtifactCache
from vyre_dist.program.compiled import CompiledPack

_KIND = "tables"


def load_tables(compiled: CompiledPack, cache: ArtifactCache | None = None) -> PackTables:
    """The tables of `compiled`; rule number r of theirs is `compiled.rules[r]`.

    If no sound file of this version is stored, the tables are compiled (seconds for a large pack)
    and stored. Any number of processes may do this at once; all write the same bytes.
    """
    cache = cache or ArtifactCache(None)
    key = f"{TABLES_SCHEMA}:{default_model_digest()}:{compiled.key}"
    if (stored := cache.get(_KIND, key)) is not None:
        try:
            return decode_tables(stored)
        except TableFormatError:
            pass  # of another version that called itself the same: compile anew, and overwrite it
    tables = compile_tables([rx.parse(rule.pattern).root for rule in compiled.rules]).tables
    cache.put(_KIND, key, encode_tables(tables))
    return tables
