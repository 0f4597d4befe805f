"""SpanTables: the span programs of a compiled pack's rules, and their byte filters, as arrays.

Here they are laid out as a kernel reads them (kernels/cuda/spans.cuh). How one expression becomes a
span program is in compiler/span_program.py, what a byte filter is in rules/byte_filters.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist import regex as rx
from vyre_dist.compiler import PackTables
from vyre_dist.compiler.routed_rule import Route
from vyre_dist.compiler.span_program import FIRST_AHEAD, SpanProgram, compile_span_program
from vyre_dist.compiler.tables import NOT_STORED
from vyre_dist.program.compiled import CompiledPack
from vyre_dist.regex.instructions import Op
from vyre_dist.rules.byte_filters import NO_BYTE_FILTER, ByteFilter

MAX_AHEAD = 1024
"""The most bytes after a row's position that a search reads."""

MAX_VISITED = 1 << 19
"""The most pairs of a split and an offset that one search may have to remember."""

INSTRUCTION_DTYPE = np.dtype([("code", "<u4"), ("other", "<u4")])
"""`code`: the op in the lowest 3 bits, above it `first`: a class's number, a target, a slot or a
condition. `other` of a split: its number in the program above 16 bits of its second target. Targets
count from the program's start.
"""

SPAN_RULE_DTYPE = np.dtype(
    [
        (name, kind)
        for name, kind in (
            ("program", "<u4"),
            ("splits", "<u4"),
            ("back", "<u4"),
            ("ahead", "<u4"),
            ("groups", "<u4"),
            ("secret_group", "<u4"),
            ("too_few", "<i4"),
            ("dull", "<u4"),
        )
    ]
)
"""By rule of the tables. `program`: its first instruction; NOT_STORED: google-re2 finds the spans.
`dull`: a class.
"""


@dataclass(frozen=True, slots=True, eq=False)
class SpanTables:
    """The arrays, and what they were made of.

    `rules`: SPAN_RULE_DTYPE [rules]. `instructions`: INSTRUCTION_DTYPE. `classes`: uint8 [classes,
    32], bit b of a class's byte i for byte 8i + b. `programs`, `byte_filters`: by rule.
    """

    rules: npt.NDArray[np.void]
    instructions: npt.NDArray[np.void]
    classes: npt.NDArray[np.uint8]
    programs: tuple[SpanProgram | None, ...]
    byte_filters: tuple[ByteFilter, ...]

    @property
    def visited_bits(self) -> int:
        """The most pairs that a search has to remember."""
        own = self.rules[self.rules["program"] != NOT_STORED]
        if not own.size:
            return 0
        return int((own["splits"].astype(np.int64) * (own["back"] + own["ahead"] + 1)).max())

    @property
    def any(self) -> bool:
        """Whether any rule has a program."""
        return bool((self.rules["program"] != NOT_STORED).any())


def build_span_tables(
    compiled: CompiledPack, tables: PackTables, byte_filters: Sequence[ByteFilter] | None = None
) -> SpanTables:
    """The span tables of `compiled`, whose tables are `tables`.

    Rules that automata decide have a program. A rule of unbounded width has none if its matches are
    cut at less than a search may give.
    `byte_filters`: by the pack's rule number, what to drop; None: nothing.
    """
    own = tuple(
        NO_BYTE_FILTER if byte_filters is None else byte_filters[rule.index]
        for rule in compiled.rules
    )
    backs = [
        int(back)
        if back != NOT_STORED
        and route == Route.AUTOMATA
        and (rule.max_width or rule.cap >= back + MAX_AHEAD)
        else None
        for rule, back, route in zip(
            compiled.rules, tables.backs.tolist(), tables.routes.tolist(), strict=True
        )
    ]
    programs = [
        None if back is None else compile_span_program(rx.parse(rule.pattern).root)
        for rule, back in zip(compiled.rules, backs, strict=True)
    ]
    # rows of rules of one width have the match's start
    before = [
        0 if width else back or 0 for width, back in zip(tables.widths.tolist(), backs, strict=True)
    ]
    return tables_of_programs(programs, own, before)


def tables_of_programs(
    programs: Sequence[SpanProgram | None], byte_filters: Sequence[ByteFilter], backs: Sequence[int]
) -> SpanTables:
    """The arrays of `programs`. `backs`: by rule, the most bytes of a match before its row."""
    rules = np.zeros(len(programs), SPAN_RULE_DTYPE)
    rules["program"] = NOT_STORED
    kept = list(programs)
    code: list[tuple[int, int]] = []
    classes: dict[int, int] = {}
    for number, (program, byte_filter, back) in enumerate(
        zip(programs, byte_filters, backs, strict=True)
    ):
        if program is None:
            continue
        splits = max(1, program.splits)
        ahead = min(MAX_AHEAD, MAX_VISITED // splits - back - 1)
        if ahead < FIRST_AHEAD or byte_filter.secret_group > program.groups:
            kept[number] = None
            continue
        dull = classes.setdefault(byte_filter.dull, len(classes))
        rules[number] = (
            *(len(code), splits, back, ahead, program.groups),
            *(byte_filter.secret_group, byte_filter.too_few, dull),
        )
        split = 0
        for op, first, second in program.instructions:
            if op is Op.CLASS:
                first = classes.setdefault(first, len(classes))
            elif op is Op.SPLIT:
                second |= split << 16
                split += 1
            code.append((op | first << 3, second))
    masks = b"".join(mask.to_bytes(32, "little") for mask in classes)
    return SpanTables(
        rules,
        np.array(code, INSTRUCTION_DTYPE),
        np.frombuffer(masks, np.uint8).reshape(-1, 32),
        tuple(kept),
        tuple(byte_filters),
    )
