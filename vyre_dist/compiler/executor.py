"""Running PackTables in NumPy, step for step as a kernel does: slow, obvious, the oracle for the kernels.

bitmap -> exact gram -> probes -> automata -> confirmed. Candidates advance together, one byte a step. Always-on
automata read whole texts. Spans are not computed here: a confirmed candidate says that its rule matches around
that place, google-re2 says where exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.determinize import ACCEPT, DEAD
from vyre_dist.compiler.gram_model import MAX_WINDOW
from vyre_dist.compiler.hashing import FOLD_WORD, hash_grams
from vyre_dist.compiler.rule_program import Route
from vyre_dist.compiler.runners import UNDECIDED, Piece, Places, read_through, run_outward
from vyre_dist.compiler.tables import EDGE_PASSES, PackTables

DEFAULT_MAX_STEPS = 64 << 10
"""How far an automaton runs from its pivot before the host takes over: the default cap on a match's length."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Parallel arrays: the window's offset in the text and the entry that it leads to."""

    places: Places
    entries: npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`confirmed`: (rule, place) pairs, sorted: the rule matches, through its pivot at that place for anchored rules.

    `for_host`: pairs that the tables leave open; place -1 where no place is known. Steps are bytes that automata
    looked at: `anchored_steps` outward from pivots, `always_steps` through the whole text.
    """

    confirmed: list[tuple[int, int]]
    for_host: list[tuple[int, int]]
    anchored_steps: int
    always_steps: int

    @property
    def rules(self) -> set[int]:
        """The rules that certainly match."""
        return {rule for rule, _ in self.confirmed}


def folded_windows(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """The folded 4-byte window at every offset; past the end there are zeros."""
    padded = np.concatenate((text, np.zeros(MAX_WINDOW - 1, np.uint8))).astype(np.uint32)
    n = text.size
    words = padded[:n] | padded[1 : n + 1] << 8 | padded[2 : n + 2] << 16 | padded[3 : n + 3] << 24
    return (words | np.uint32(FOLD_WORD)).astype(np.uint32)


def bitmap_hits(tables: PackTables, windows: npt.NDArray[np.uint32]) -> Places:
    """The offsets whose window's bit is set."""
    bits = hash_grams(windows, tables.multiplier)
    return np.flatnonzero(tables.bitmap[bits >> 3] >> (bits & 7).astype(np.uint8) & 1)


def exact_hits(tables: PackTables, windows: npt.NDArray[np.uint32], places: Places) -> Candidates:
    """Of the bitmap's hits, those whose window is one of the grams, with every entry that it leads to."""
    if not tables.grams.size:
        return Candidates(np.empty(0, np.int64), np.empty(0, np.uint32))
    wanted = windows[places]
    at = np.searchsorted(tables.grams, wanted)
    at[at == tables.grams.size] = 0
    true = tables.grams[at] == wanted
    places, at = places[true], at[true]
    starts = tables.gram_starts[at].astype(np.int64)
    counts = tables.gram_starts[at + 1].astype(np.int64) - starts
    inside = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return Candidates(np.repeat(places, counts), tables.gram_entries[np.repeat(starts, counts) + inside])


def probed(tables: PackTables, piece: Piece, found: Candidates) -> Candidates:
    """The candidates that pass their probes."""
    entries = tables.entries[found.entries]
    pivots = found.places + entries["pivot_offset"]
    keep = np.ones(found.places.size, bool)
    for probe in range(entries["probe_offset"].shape[1] if found.places.size else 0):
        classes = entries["probe_class"][:, probe]
        at = pivots + entries["probe_offset"][:, probe]
        inside = (at >= 0) & (at < piece.data.size)
        unknown = ((at < 0) & (not piece.at_start)) | ((at >= piece.data.size) & (not piece.at_end))
        byte = piece.data[np.where(inside, at, 0)]
        member = tables.probe_classes[classes & (EDGE_PASSES - 1), byte >> 3] >> (byte & 7) & 1
        keep &= np.where(inside, member == 1, unknown | (classes & EDGE_PASSES != 0))
    return Candidates(found.places[keep], found.entries[keep])


def execute(
    tables: PackTables,
    text: bytes,
    *,
    at_start: bool = True,
    at_end: bool = True,
    max_steps: int = DEFAULT_MAX_STEPS,
) -> Verdicts:
    """All that the tables can say about a text: a document, or a piece of one.

    `at_start`, `at_end`: whether the document begins (ends) where the text does. Whatever would need to know
    the byte beyond another edge is left to the host; of a rule with anchors, every match that lies inside the text
    with a byte of context on each side is either confirmed or left to the host.
    """
    piece = Piece(np.frombuffer(text, np.uint8), at_start, at_end)
    windows = folded_windows(piece.data)
    found = probed(tables, piece, exact_hits(tables, windows, bitmap_hits(tables, windows)))
    entries = tables.entries[found.entries]
    rules = entries["rule"].astype(np.int64)
    pivots = found.places + entries["pivot_offset"]
    to_host = tables.routes[rules] == Route.HOST
    after, steps = run_outward(
        tables, piece, entries["forward"], entries["forward_start"], pivots, 1, max_steps, ~to_host
    )
    before, more = run_outward(
        tables,
        piece,
        entries["backward"],
        entries["backward_start"],
        pivots - 1,
        -1,
        max_steps,
        after != DEAD,
    )
    verdict = np.where((after == DEAD) | (before == DEAD), DEAD, np.maximum(after, before))
    confirmed = _pairs(rules, found.places, verdict == ACCEPT)
    for_host = _pairs(rules, found.places, to_host | (verdict == UNDECIDED))
    always_steps = 0
    for rule in np.flatnonzero(tables.routes == Route.ALWAYS_ON).tolist():
        end, read = read_through(tables, rule, text) if at_start else (None, 0)
        always_steps += read
        # Without acceptance there is no match, unless it lies across an edge.
        if end is not None and (at_end or end < len(text)):
            confirmed.add((rule, end))
        elif not (at_start and at_end):
            for_host.add((rule, -1))
    everywhere = np.flatnonzero((tables.routes == Route.HOST) & ~tables.anchored())
    for_host |= {(rule, -1) for rule in everywhere.tolist()}
    return Verdicts(sorted(confirmed), sorted(for_host), steps + more, always_steps)


def _pairs(rules: Places, places: Places, chosen: npt.NDArray[np.bool_]) -> set[tuple[int, int]]:
    return set(zip(rules[chosen].tolist(), places[chosen].tolist(), strict=True))
