"""The rule compiler: from syntax trees to tables that find every match's place and run outward from
there.

compiled = compile_tables([parse(pattern).root for pattern in patterns])
verdicts = execute(compiled.tables, text)  # or execute_arena, for many documents at once
"""

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import ArenaVerdicts, execute_arena
from vyre_dist.compiler.codec import pack_tables, unpack_tables
from vyre_dist.compiler.compile import CompiledTables, compile_tables
from vyre_dist.compiler.errors import RegexTooLargeError, TableFormatError
from vyre_dist.compiler.executor import Verdicts, execute
from vyre_dist.compiler.gram_model import GramModel, default_model
from vyre_dist.compiler.rule_program import Route, RuleProgram, compile_rule
from vyre_dist.compiler.tables import PackTables, build_tables

__all__ = [
    "Arena",
    "ArenaVerdicts",
    "CompiledTables",
    "GramModel",
    "PackTables",
    "RegexTooLargeError",
    "Route",
    "RuleProgram",
    "TableFormatError",
    "Verdicts",
    "build_tables",
    "compile_rule",
    "compile_tables",
    "default_model",
    "execute",
    "execute_arena",
    "pack_tables",
    "unpack_tables",
]
