"""execute: what compiled tables say about one text, as an arena of one document."""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import DEFAULT_MAX_STEPS, NO_POSITION, Rows, execute_arena
from vyre_dist.compiler.tables import PackTables

_ONE_TILE = 1 << 62


@dataclass(frozen=True, slots=True)
class TextResult:
    """`confirmed`: (rule, position) pairs, sorted: the rule matches, through the byte at that
    position for anchored rules.

    `for_host`: pairs that the tables leave open. The position is -1 where none is known. `steps`:
    see ArenaResult.
    """

    confirmed: list[tuple[int, int]]
    for_host: list[tuple[int, int]]
    steps: int

    @property
    def rules(self) -> set[int]:
        """The rules that certainly match."""
        return {rule for rule, _ in self.confirmed}


def execute(
    tables: PackTables,
    text: bytes,
    *,
    at_start: bool = True,
    at_end: bool = True,
    max_steps: int = DEFAULT_MAX_STEPS,
) -> TextResult:
    """All that the tables can say about a text: a document, or a piece of one.

    `at_start`, `at_end`: whether the document begins (ends) where the text does. Whatever would
    need to know the byte beyond another edge is left to the host; of a rule with anchors, every
    match that lies inside the text with a byte of context on each side is either confirmed or left
    to the host.
    """
    arena = Arena.lay_out([text], [at_start], [at_end])
    found = execute_arena(tables, arena, tile_bytes=_ONE_TILE, max_steps=max_steps)
    return TextResult(_pairs(found.confirmed), _pairs(found.for_host), found.steps)


def _pairs(rows: Rows) -> list[tuple[int, int]]:
    return sorted(
        (rule, -1 if position == NO_POSITION else position) for _, rule, position in rows.tolist()
    )
