r"""SpanProgram: an expression's instructions for a backtracking matcher of spans and groups.

The automata say that a rule matches through a position; these programs say from where to where, by
the preferences of leftmost-first matching: RE2's results, for expressions in which nothing that can
be empty is repeated. Counted repeats are written out. Every pair of a split and a position is tried
once, so a search takes splits times bytes steps at most.

Source: the matcher that RE2 calls BitState, R. Cox, "Regular Expression Matching: the Virtual
Machine Approach" (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.regex.analysis import capture_count, nullable, repeats_empty
from vyre_dist.regex.instructions import Instruction, Op, instructions_of
from vyre_dist.regex.nodes import Node

FIRST_AHEAD = 192
"""So many bytes after its row's position a search reads first; then as many as it may."""

SEARCH_STEPS = 1 << 16
"""So many steps a search may take before it is given up: the host searches instead."""

SEARCH_DEPTH = 2048
"""So many branches may wait on a search's stack before it is given up."""

MAX_INSTRUCTIONS = 8192
MAX_GROUPS = 3


@dataclass(frozen=True, slots=True)
class SpanProgram:
    """`instructions`: those of instructions_of, with groups. `groups`: how many there are."""

    instructions: tuple[Instruction, ...]
    groups: int

    @property
    def splits(self) -> int:
        """How many of the instructions are splits."""
        return sum(op is Op.SPLIT for op, _, _ in self.instructions)


def compile_span_program(root: Node) -> SpanProgram | None:
    """The program of an expression.

    None for one that matches the empty string, repeats something that does, has more than
    MAX_GROUPS groups, or needs more than MAX_INSTRUCTIONS instructions: google-re2 finds its spans.
    """
    groups = capture_count(root)
    if groups > MAX_GROUPS or nullable(root) or repeats_empty(root):
        return None
    instructions = instructions_of(root, MAX_INSTRUCTIONS, groups=True)
    return None if instructions is None else SpanProgram(tuple(instructions), groups)
