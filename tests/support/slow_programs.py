"""The programs' definition once more, in plain Python: one place, one candidate, one byte at a time, with no NumPy in the
loops. What arena_executor.py computes all at once must be this.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.tables import EDGE_PASSES, NOT_STORED, PackTables

DEAD, ACCEPT, UNDECIDED = 0, 1, 2
AUTOMATA, ALWAYS_ON, HOST = 0, 1, 2
NO_PLACE = 0xFFFF_FFFF_FFFF_FFFF
EDGE = 256

Row = tuple[int, int, int]


class Slow(NamedTuple):
    """`confirmed`, `for_host`: (document, rule, pivot) rows, sorted; `candidates`: (place, entry, document) after probes."""

    candidates: list[tuple[int, int, int]]
    confirmed: list[Row]
    for_host: list[Row]
    attempted: int
    committed: int


def run(tables: PackTables, arena: Arena, tile_bytes: int, max_steps: int) -> Slow:
    """The fused program."""
    data = arena.data.tobytes()
    starts = arena.starts.tolist()
    grams = {int(gram): i for i, gram in enumerate(tables.grams)}
    found, confirmed, for_host = [], set(), set()
    attempted, committed = set(), set()
    for place in range(0, len(data), getattr(tables, "stride", 1)):
        window = int.from_bytes(data[place : place + 4].ljust(4, b"\0"), "little") | 0x20202020
        bit = (window * tables.multiplier & 0xFFFF_FFFF) >> 13
        if not tables.bitmap[bit >> 3] >> (bit & 7) & 1:
            continue
        if window not in grams:
            continue
        at = grams[window]
        for entry in tables.gram_entries[tables.gram_starts[at] : tables.gram_starts[at + 1]].tolist():
            row = tables.entries[entry]
            pivot = place + int(row["pivot_offset"])
            if pivot >= len(data):
                continue
            document = max(i for i in range(len(starts) - 1) if starts[i] <= pivot < starts[i + 1])
            low, high = starts[document], starts[document + 1]
            edges = (bool(arena.at_start[document]), bool(arena.at_end[document]))
            if not _probes_pass(tables, row, data, pivot, low, high, edges):
                continue
            found.append((place, entry, document))
            attempted.add(pivot // tile_bytes)
            rule = int(row["rule"])
            if tables.routes[rule] == HOST:
                verdict = UNDECIDED
            else:
                verdict = _outward(tables, row, "forward", data, pivot, low, high, edges, max_steps)
                if verdict != DEAD:
                    before = _outward(tables, row, "backward", data, pivot - 1, low, high, edges, max_steps)
                    verdict = DEAD if before == DEAD else max(verdict, before)
            if verdict != DEAD:
                (confirmed if verdict == ACCEPT else for_host).add((document, rule, pivot))
                committed.add(pivot // tile_bytes)
    anchored = {int(rule) for rule in tables.entries["rule"]}
    for document in range(len(starts) - 1):
        for rule, route in enumerate(tables.routes.tolist()):
            row = (document, rule, NO_PLACE)
            if route == HOST and rule not in anchored:
                for_host.add(row)
            if route != ALWAYS_ON:
                continue
            if not arena.at_start[document]:
                for_host.add(row)
                continue
            edges = (True, bool(arena.at_end[document]))
            low, high = starts[document], starts[document + 1]
            verdict = _table(
                tables, int(tables.always[rule]), int(tables.always_starts[rule]), data, low, low, high, edges, 1,
                high - low + 1,
            )  # fmt: skip
            if verdict != DEAD:
                (confirmed if verdict == ACCEPT else for_host).add(row)
    return Slow(sorted(found), sorted(confirmed), sorted(for_host), len(attempted), len(committed))


def _probes_pass(
    tables: PackTables, row: Any, data: bytes, pivot: int, low: int, high: int, edges: tuple[bool, bool]
) -> bool:
    for offset, probe_class in zip(row["probe_offset"].tolist(), row["probe_class"].tolist(), strict=True):
        at = pivot + offset
        members = tables.probe_classes[probe_class & ~EDGE_PASSES]
        if low <= at < high:
            if not members[data[at] >> 3] >> (data[at] & 7) & 1:
                return False
        elif edges[at >= high] and not probe_class & EDGE_PASSES:
            return False
    return True


def _outward(
    tables: PackTables,
    row: Any,
    side: str,
    data: bytes,
    at: int,
    low: int,
    high: int,
    edges: tuple[bool, bool],
    max_steps: int,
) -> int:
    automaton, start = int(row[side]), int(row[f"{side}_start"])
    assert automaton != NOT_STORED
    run_one = _sets if tables.automata[automaton]["is_nfa"] else _table
    stride = 1 if side == "forward" else -1
    return run_one(tables, automaton, start, data, at, low, high, edges, stride, max_steps)


def _table(
    tables: PackTables,
    automaton: int,
    state: int,
    data: bytes,
    at: int,
    low: int,
    high: int,
    edges: tuple[bool, bool],
    stride: int,
    max_steps: int,
) -> int:
    row = tables.automata[automaton]
    for _ in range(max_steps):
        if state <= ACCEPT:
            return state
        if not low <= at < high and not edges[stride > 0]:
            return UNDECIDED
        symbol = data[at] if low <= at < high else EDGE
        column = int(tables.byte_maps[row["byte_map"]][symbol])
        state = int(tables.dfa_cells[int(row["base"]) + state * int(row["columns"]) + column])
        at += stride
    return state if state <= ACCEPT else UNDECIDED


def _sets(
    tables: PackTables,
    automaton: int,
    start: int,
    data: bytes,
    at: int,
    low: int,
    high: int,
    edges: tuple[bool, bool],
    stride: int,
    max_steps: int,
) -> int:
    row = tables.automata[automaton]
    n, columns, words, base = (int(row[name]) for name in ("states", "columns", "words", "base"))

    def members(index: int) -> set[int]:
        own = tables.nfa_words[base + index * words : base + (index + 1) * words].tolist()
        return {64 * w + b for w, word in enumerate(own) for b in range(64) if word >> b & 1}

    state = {start}
    for _ in range(max_steps):
        if not low <= at < high and not edges[stride > 0]:
            return UNDECIDED
        column = int(tables.byte_maps[row["byte_map"]][data[at] if low <= at < high else EDGE])
        if state & members(n + columns + column):
            return ACCEPT
        state = {q for p in state for q in members(p)} & members(n + column)
        if not state:
            return DEAD
        at += stride
    return UNDECIDED
