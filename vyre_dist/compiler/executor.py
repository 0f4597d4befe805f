"""Running PackTables in NumPy, step for step as a kernel does: slow, obvious, the oracle for the kernels.

bitmap -> exact gram -> probes -> automata -> confirmed. Candidates advance together, one byte a step. Always-on
automata read whole texts. Spans are not computed here: a confirmed candidate says that its rule matches around
that place, google-re2 says where exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.determinize import ACCEPT, DEAD, EDGE_SYMBOL
from vyre_dist.compiler.gram_model import MAX_WINDOW
from vyre_dist.compiler.hashing import FOLD_WORD, hash_grams
from vyre_dist.compiler.rule_program import Route
from vyre_dist.compiler.tables import NOT_STORED, PackTables

Places = npt.NDArray[np.int64]
UNDECIDED = 2

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

    `for_host`: pairs that the tables leave open; place -1 where no place is known. `steps`: of automata, in all.
    """

    confirmed: list[tuple[int, int]]
    for_host: list[tuple[int, int]]
    steps: int

    @property
    def rules(self) -> set[int]:
        """The rules that certainly match."""
        return {rule for rule, _ in self.confirmed}


def folded_windows(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """The folded 4-byte window at every offset; past the end there are zeros."""
    padded = np.concatenate((text, np.zeros(MAX_WINDOW - 1, np.uint8))).astype(np.uint32)
    n = text.size
    words = padded[:n] | padded[1 : n + 1] << 8 | padded[2 : n + 2] << 16 | padded[3 : n + 3] << 24
    return words | np.uint32(FOLD_WORD)


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


def probed(tables: PackTables, text: npt.NDArray[np.uint8], found: Candidates) -> Candidates:
    """The candidates that pass their probes. A byte outside the text passes none but the class of all."""
    entries = tables.entries[found.entries]
    pivots = found.places + entries["pivot_offset"]
    keep = np.ones(found.places.size, bool)
    for probe in range(entries["probe_offset"].shape[1] if found.places.size else 0):
        classes = entries["probe_class"][:, probe]
        at = pivots + entries["probe_offset"][:, probe]
        inside = (at >= 0) & (at < text.size)
        byte = text[np.where(inside, at, 0)]
        member = tables.probe_classes[classes, byte >> 3] >> (byte & 7) & 1
        keep &= (classes == 0) | (inside & (member == 1))
    return Candidates(found.places[keep], found.entries[keep])


def execute(tables: PackTables, text: bytes, *, max_steps: int = DEFAULT_MAX_STEPS) -> Verdicts:
    """All that the tables can say about one whole text."""
    data = np.frombuffer(text, np.uint8)
    windows = folded_windows(data)
    found = probed(tables, data, exact_hits(tables, windows, bitmap_hits(tables, windows)))
    entries = tables.entries[found.entries]
    rules = entries["rule"].astype(np.int64)
    pivots = found.places + entries["pivot_offset"]
    to_host = tables.routes[rules] == Route.HOST
    after, steps = _run(tables, data, entries["forward"], entries["forward_start"], pivots, 1, max_steps, ~to_host)
    before, more = _run(
        tables, data, entries["backward"], entries["backward_start"], pivots - 1, -1, max_steps, after != DEAD
    )
    verdict = np.where((after == DEAD) | (before == DEAD), DEAD, np.maximum(after, before))
    confirmed = set(zip(rules[verdict == ACCEPT].tolist(), found.places[verdict == ACCEPT].tolist(), strict=True))
    open_ones = to_host | (verdict == UNDECIDED)
    for_host = set(zip(rules[open_ones].tolist(), found.places[open_ones].tolist(), strict=True))
    steps += more
    for rule in np.flatnonzero(tables.routes == Route.ALWAYS_ON).tolist():
        end, read = read_through(tables, int(tables.always[rule]), text)
        steps += read
        if end is not None:
            confirmed.add((rule, end))
    everywhere = np.flatnonzero((tables.routes == Route.HOST) & ~tables.anchored())
    for_host |= {(rule, -1) for rule in everywhere.tolist()}
    return Verdicts(sorted(confirmed), sorted(for_host), steps)


def read_through(tables: PackTables, automaton: int, text: bytes) -> tuple[int | None, int]:
    """Where an always-on automaton accepts (the offset up to which it had to read), and the steps that it took."""
    row = tables.automata[automaton]
    base, columns = int(row["base"]), int(row["columns"])
    cells = tables.dfa_cells[base : base + columns * int(row["states"])].tolist()
    mapped = text.translate(tables.byte_maps[row["byte_map"]][:256].tobytes())
    state = _only_entry(cells, columns)
    for i, column in enumerate(mapped):
        if state <= ACCEPT:
            return (i if state == ACCEPT else None), i
        state = cells[state * columns + column]
    if state > ACCEPT:
        state = cells[state * columns + int(tables.byte_maps[row["byte_map"]][EDGE_SYMBOL])]
    return (len(text) if state == ACCEPT else None), len(text)


def _run(
    tables: PackTables,
    text: npt.NDArray[np.uint8],
    automata: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.uint32],
    first: Places,
    stride: int,
    max_steps: int,
    wanted: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], int]:
    """Run every wanted candidate from `first` on; (DEAD, ACCEPT or UNDECIDED for each, steps taken)."""
    verdict = np.full(first.size, DEAD, np.int64)
    verdict[wanted] = UNDECIDED
    which = np.flatnonzero(wanted & (automata != NOT_STORED))
    rows = tables.automata[automata[which]]
    steps = 0
    for i in which[rows["is_nfa"] == 1].tolist():
        verdict[i], taken = _run_nfa(tables, text, int(automata[i]), int(starts[i]), int(first[i]), stride, max_steps)
        steps += taken
    tabled = rows["is_nfa"] == 0
    which, rows = which[tabled], rows[tabled]
    state = starts[which].astype(np.int64)
    at = first[which].copy()
    for _ in range(max_steps):
        done = state <= ACCEPT
        if done.any():
            verdict[which[done]] = state[done]
            which, rows, state, at = which[~done], rows[~done], state[~done], at[~done]
        if not which.size:
            break
        inside = (at >= 0) & (at < text.size)
        symbol = np.where(inside, text[np.where(inside, at, 0)] if text.size else 0, EDGE_SYMBOL)
        column = tables.byte_maps[rows["byte_map"], symbol]
        state = tables.dfa_cells[rows["base"] + state * rows["columns"] + column].astype(np.int64)
        at += stride
        steps += which.size
    return verdict, steps


def _run_nfa(
    tables: PackTables,
    text: npt.NDArray[np.uint8],
    automaton: int,
    start: int,
    at: int,
    stride: int,
    max_steps: int,
) -> tuple[int, int]:
    """One candidate through one bit-parallel automaton: (verdict, steps)."""
    row = tables.automata[automaton]
    n, columns, words, base = (int(row[name]) for name in ("states", "columns", "words", "base"))
    sets = tables.nfa_words[base : base + (n + 2 * columns) * words].reshape(-1, words)
    follow, reach, final = sets[:n], sets[n : n + columns], sets[n + columns :]
    byte_map = tables.byte_maps[row["byte_map"]]
    state = np.zeros(words, np.uint64)
    state[start >> 6] = np.uint64(1) << np.uint64(start & 63)
    for step in range(max_steps):
        column = byte_map[text[at] if 0 <= at < text.size else EDGE_SYMBOL]
        if (state & final[column]).any():
            return ACCEPT, step + 1
        members = np.flatnonzero(np.unpackbits(state.view(np.uint8), bitorder="little"))
        state = np.bitwise_or.reduce(follow[members], axis=0) & reach[column]
        if not state.any():
            return DEAD, step + 1
        at += stride
    return UNDECIDED, max_steps
