"""The rule compiler: from syntax trees to tables that say where a rule matches.

compiled = compile_tables([parse(pattern).root for pattern in patterns])
result = execute_arena(compiled.tables, Arena.lay_out([text]), tile_bytes=4096)

The tables find four bytes of every match and run automata outward from there. Where a match begins
and ends is found elsewhere: by span programs, or by google-re2 (extract/).
"""

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import ArenaResult, execute_arena
from vyre_dist.compiler.codec import decode_tables, encode_tables
from vyre_dist.compiler.compile import CompiledTables, compile_tables
from vyre_dist.compiler.errors import RegexTooLargeError, TableFormatError
from vyre_dist.compiler.gram_model import GramModel, default_model
from vyre_dist.compiler.routed_rule import Route, RoutedRule, compile_rule
from vyre_dist.compiler.tables import PackTables, build_tables

__all__ = [
    "Arena",
    "ArenaResult",
    "CompiledTables",
    "GramModel",
    "PackTables",
    "RegexTooLargeError",
    "Route",
    "RoutedRule",
    "TableFormatError",
    "build_tables",
    "compile_rule",
    "compile_tables",
    "decode_tables",
    "default_model",
    "encode_tables",
    "execute_arena",
]
