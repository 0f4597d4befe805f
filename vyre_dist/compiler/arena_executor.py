"""The programs on compiled tables, in NumPy exactly as a kernel executes them: its oracle.

1. bitmap: every position of the arena that is a multiple of the tables' stride; the folded
   little-endian 4-byte window that begins there, over documents' edges, zeros past the arena's end;
   both bits of its hash.
2. grams: the window is one of the grams, and leads to entries. Besides, every position of the
   arena, whatever is there, leads to the always-on rules' entries, the pivot at that position.
3. probes: the pivot, `pivot_offset` after the position, must lie in a document. Probes look at that
   document only: beyond its edge they pass if they may, where its bytes are not known they pass.
4. automata: forward from the pivot; unless that is DEAD, backward from the byte before it. A
   candidate is dead if either is, confirmed if both accept, and left to the host if one is
   undecided or the rule's route is HOST. What is confirmed was read: no outcome but the host's
   depends on bytes that are not known.

A row's position is its candidate's pivot; but of a rule whose matches are all of one width a
confirmed row has the match's start, `distance` before the pivot: [start, start + width) is a match.

Rules that are looked for by runs go to the host for every run that is long enough and whose first
whole block (of 16 bytes, at a multiple of 16 in the arena) lies in the document with it; the
position is the run's start. Of host rules with neither anchors nor runs every document has a row
without a position. What is put out are sorted rows; extraction is not done here: a confirmed row
says that its rule matches through that pivot, google-re2 says where unless the width does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena, Flags, Positions
from vyre_dist.compiler.determinize import ACCEPT, DEAD
from vyre_dist.compiler.gram_model import FOLD, MAX_WINDOW
from vyre_dist.compiler.hashing import passes
from vyre_dist.compiler.routed_rule import Route
from vyre_dist.compiler.runners import UNDECIDED, Ahead, run_outward
from vyre_dist.compiler.runs import BLOCK
from vyre_dist.compiler.tables import EDGE_PASSES, PackTables

DEFAULT_MAX_STEPS = 64 << 10
"""How far an automaton runs from its pivot before the host takes over: the default cap on a match's
length.
"""

ARENA_ROW_DTYPE = np.dtype([("document", "<u4"), ("rule", "<u4"), ("position", "<u8")])
"""`rule`: the tables' number; `position`: in the arena: the pivot's, the match's start (confirmed
rows of rules of one width), a run's start, or NO_POSITION.
"""

NO_POSITION = 0xFFFF_FFFF_FFFF_FFFF

Rows = npt.NDArray[np.void]
_Row = tuple[int, int, int]

# Positions whose windows are looked at together: what that takes stays in a processor's
# second-level cache.
_CHUNK = 1 << 16


class Candidates(NamedTuple):
    """Parallel arrays: the window's position, its entry, the document that holds the pivot."""

    positions: Positions
    entries: npt.NDArray[np.uint32]
    documents: Positions

    def pivots(self, tables: PackTables) -> Positions:
        """The pivots' positions."""
        offsets: Positions = tables.entries["pivot_offset"][self.entries].astype(np.int64)
        return self.positions + offsets

    def chosen(self, which: Flags) -> Candidates:
        """Those that `which` is true for."""
        return Candidates(self.positions[which], self.entries[which], self.documents[which])


@dataclass(frozen=True, slots=True, eq=False)
class ArenaResult:
    """What the programs say about an arena.

    `confirmed`, `for_host`: ARENA_ROW_DTYPE, sorted by document, rule, position, without repeats. A
    tile is `tile_bytes` of the arena: attempted if the pivot of a candidate that passed its probes
    lies in it, committed if besides the pivot of a row does. `steps`: the symbols that automata
    read.
    """

    confirmed: Rows
    for_host: Rows
    attempted_tiles: int
    committed_tiles: int
    steps: int

    @property
    def rolled_back_tiles(self) -> int:
        """The attempted tiles that kept no row."""
        return self.attempted_tiles - self.committed_tiles

    def pairs(self) -> list[tuple[int, int]]:
        """(document, rule) of all rows: what extraction has to look at; sorted."""
        both = np.concatenate((self.confirmed, self.for_host))
        keys = np.unique(both["document"].astype(np.uint64) << np.uint64(32) | both["rule"])
        return list(
            zip(
                (keys >> np.uint64(32)).tolist(),
                (keys & np.uint64(0xFFFF_FFFF)).tolist(),
                strict=True,
            )
        )


def bitmap_positions(tables: PackTables, data: npt.NDArray[np.uint8]) -> Positions:
    """Stage 1: the positions whose window passes the bitmap, ascending."""
    stride = tables.stride
    found = []
    for begin in range(0, data.size, _CHUNK):
        windows = folded_windows(data[begin : begin + _CHUNK + MAX_WINDOW - 1], stride)[
            : _CHUNK // stride
        ]
        found.append(
            np.flatnonzero(passes(tables.bitmap, windows, tables.multiplier)) * stride + begin
        )
    return np.concatenate(found) if found else np.empty(0, np.int64)


def folded_windows(data: npt.NDArray[np.uint8], stride: int = 1) -> npt.NDArray[np.uint32]:
    """The folded 4-byte window at every multiple of `stride`, with folded zeros past the end."""
    folded = np.full(data.size + MAX_WINDOW - 1, FOLD, np.uint8)
    np.bitwise_or(data, FOLD, out=folded[: data.size])
    return np.ndarray((-(-data.size // stride),), "<u4", folded.data, 0, (stride,)).astype(
        np.uint32
    )


def gram_candidates(tables: PackTables, arena: Arena, positions: Positions) -> Candidates:
    """Stage 2: of those positions, the ones whose window is a gram, with every entry it leads to.

    Whose pivot lies in no document is left out.
    """
    data = arena.data
    if not positions.size:  # as in most small arenas
        return Candidates(positions, np.empty(0, np.uint32), positions)
    windows = np.zeros(positions.size, np.uint32)
    for i in range(MAX_WINDOW):
        at = positions + i
        byte = np.where(at < data.size, data[np.minimum(at, data.size - 1)], 0)
        windows |= (byte.astype(np.uint32) | np.uint32(FOLD)) << np.uint32(8 * i)
    at = np.searchsorted(tables.grams, windows)
    at[at == tables.grams.size] = 0
    true = np.flatnonzero(tables.grams[at] == windows) if tables.grams.size else at[:0]
    positions, at = positions[true], at[true]
    starts = tables.gram_starts[at].astype(np.int64)
    counts = tables.gram_starts[at + 1].astype(np.int64) - starts
    inside = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    entries = tables.gram_entries[np.repeat(starts, counts) + inside]
    found = Candidates(np.repeat(positions, counts), entries, np.empty(0, np.int64))
    documents = arena.document_at(found.pivots(tables))
    return found._replace(documents=documents).chosen(documents >= 0)


def probed(tables: PackTables, arena: Arena, found: Candidates) -> Candidates:
    """Stage 3: the candidates that pass their probes."""
    pivots = found.pivots(tables)
    for probe in range(tables.entries["probe_offset"].shape[1]):
        if not pivots.size:  # as in most small arenas
            break
        entries = tables.entries[found.entries]
        classes = entries["probe_class"][:, probe]
        at = pivots + entries["probe_offset"][:, probe]
        before = at < arena.starts[found.documents]
        after = at >= arena.ends[found.documents]
        inside = ~(before | after)
        unknown = (before & ~arena.at_start[found.documents]) | (
            after & ~arena.at_end[found.documents]
        )
        byte = arena.data[np.where(inside, at, 0)]
        member = tables.probe_classes[classes & (EDGE_PASSES - 1), byte >> 3] >> (byte & 7) & 1
        keep = np.where(inside, member == 1, unknown | (classes & EDGE_PASSES != 0))
        found, pivots = found.chosen(keep), pivots[keep]
    return found


def always_candidates(tables: PackTables, arena: Arena) -> Iterator[Candidates]:
    """Stage 2 of always-on rules: their entries at every position in a document, by chunks."""
    for begin in range(0, arena.data.size, _CHUNK) if tables.always_entries.size else ():
        positions = np.arange(begin, min(begin + _CHUNK, arena.data.size))
        documents = arena.document_at(positions)
        positions, documents = positions[documents >= 0], documents[documents >= 0]
        for entry in tables.always_entries:
            yield Candidates(positions, np.full(positions.size, entry, np.uint32), documents)


def candidates(tables: PackTables, arena: Arena) -> Candidates:
    """Stages 1 to 3: what the prefilter program puts out."""
    exact = probed(
        tables, arena, gram_candidates(tables, arena, bitmap_positions(tables, arena.data))
    )
    always = [probed(tables, arena, found) for found in always_candidates(tables, arena)]
    return Candidates(*map(np.concatenate, zip(exact, *always, strict=True)))


def confirm(
    tables: PackTables,
    arena: Arena,
    found: Candidates,
    *,
    tile_bytes: int,
    max_steps: int = DEFAULT_MAX_STEPS,
) -> ArenaResult:
    """Stage 4, the rules without candidates, rows and tiles. `tile_bytes`: a power of two."""
    entries = tables.entries[found.entries]
    rules, pivots, documents = entries["rule"], found.pivots(tables), found.documents
    to_host = tables.routes[rules] == Route.HOST
    after, steps = _outward(tables, arena, found, max_steps, ~to_host, forward=True)
    before, more = _outward(
        tables, arena, found, max_steps, ~to_host & (after != DEAD), forward=False
    )
    outcome = np.where((after == DEAD) | (before == DEAD), DEAD, np.maximum(after, before))
    accepted, left = outcome == ACCEPT, to_host | (outcome == UNDECIDED)
    shift = tile_bytes.bit_length() - 1
    elsewhere = [*_everywhere(tables, arena), *run_rows(tables, arena)]
    return ArenaResult(
        _rows(
            documents[accepted],
            rules[accepted],
            (pivots - entries["distance"])[accepted],
            [],
        ),
        _rows(documents[left], rules[left], pivots[left], elsewhere),
        int(np.unique(pivots >> shift).size),
        int(np.unique(pivots[accepted | left] >> shift).size),
        steps + more,
    )


def execute_arena(
    tables: PackTables, arena: Arena, *, tile_bytes: int, max_steps: int = DEFAULT_MAX_STEPS
) -> ArenaResult:
    """All stages: what the fused program puts out."""
    found = candidates(tables, arena)
    return confirm(tables, arena, found, tile_bytes=tile_bytes, max_steps=max_steps)


def _outward(
    tables: PackTables,
    arena: Arena,
    found: Candidates,
    max_steps: int,
    wanted: Flags,
    *,
    forward: bool,
) -> tuple[npt.NDArray[np.int64], int]:
    """(outcomes of the wanted candidates in one direction, DEAD for the others; steps taken)."""
    outcomes = np.full(wanted.size, DEAD, np.int64)
    if not wanted.any():  # as in most small arenas
        return outcomes, 0
    chosen = found.chosen(wanted)
    entries, pivots, documents = (
        tables.entries[chosen.entries],
        chosen.pivots(tables),
        chosen.documents,
    )
    if forward:
        ahead = Ahead(pivots, arena.ends[documents] - pivots, arena.at_end[documents])
        automata, starts, stride = entries["forward"], entries["forward_start"], 1
    else:
        ahead = Ahead(pivots - 1, pivots - arena.starts[documents], arena.at_start[documents])
        automata, starts, stride = entries["backward"], entries["backward_start"], -1
    outcomes[wanted], steps = run_outward(
        tables, arena.data, automata, starts, ahead, stride, max_steps
    )
    return outcomes, steps


def run_rows(tables: PackTables, arena: Arena) -> list[_Row]:
    """(document, rule, position) of the runs that are long enough."""
    rows: list[_Row] = []
    data, size = arena.data, arena.data.size
    for run in tables.runs:
        rule, length = int(run["rule"]), int(run["length"])
        members = np.unpackbits(tables.probe_classes[run["byte_class"]], bitorder="little").view(
            bool
        )[data]
        blocks = (
            np.flatnonzero(members[: size // BLOCK * BLOCK].reshape(-1, BLOCK).all(axis=1)) * BLOCK
        )
        for block, document in zip(
            blocks.tolist(), arena.document_at(blocks).tolist(), strict=True
        ):
            if document < 0 or block + BLOCK > arena.ends[document]:
                continue
            before = members[max(block - BLOCK, int(arena.starts[document])) : block]
            back = before.size if before.all() else int(np.argmin(before[::-1]))
            if back == BLOCK:
                continue  # the block before is a whole one of this run, or of a longer one
            ahead = members[block : min(block - back + length, int(arena.ends[document]))]
            if ahead.all() and back + ahead.size == length:
                rows.append((document, rule, block - back))
    return rows


def _everywhere(tables: PackTables, arena: Arena) -> list[_Row]:
    """(document, rule, NO_POSITION) of the host rules that nothing else looks for."""
    everywhere = np.flatnonzero((tables.routes == Route.HOST) & ~tables.anchored()).tolist()
    return [
        (document, rule, NO_POSITION) for document in range(arena.documents) for rule in everywhere
    ]


def _rows(
    documents: Positions, rules: npt.NDArray[np.uint32], positions: Positions, whole: list[_Row]
) -> Rows:
    """Anchored rows, and those without a position, as ARENA_ROW_DTYPE, sorted and unique."""
    rows = np.empty(documents.size + len(whole), ARENA_ROW_DTYPE)
    rows["document"][: documents.size], rows["rule"][: documents.size] = documents, rules
    rows["position"][: documents.size] = positions
    if whole:
        rows[documents.size :] = np.array([(d, r, p) for d, r, p in whole], ARENA_ROW_DTYPE)
    rows = rows[np.lexsort((rows["position"], rows["rule"], rows["document"]))]
    fresh = np.ones(rows.size, bool)
    fresh[1:] = rows[1:] != rows[:-1]
    return rows[fresh]
