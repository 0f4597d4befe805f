"""The programs' definition once more, in plain Python: one position, one candidate, one byte at a
time, with no NumPy in the loops. What arena_executor.py computes all at once must be this.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.tables import EDGE_PASSES, NOT_STORED, PackTables

DEAD, ACCEPT, UNDECIDED = 0, 1, 2
HOST = 2
NO_POSITION = 0xFFFF_FFFF_FFFF_FFFF
EDGE = 256

Row = tuple[int, int, int]


class Slow(NamedTuple):
    """`confirmed`, `for_host`: (document, rule, position) rows, sorted; `candidates`: (position,
    entry, document) after probes.
    """

    candidates: list[tuple[int, int, int]]
    confirmed: list[Row]
    for_host: list[Row]
    attempted: int
    committed: int


def run(tables: PackTables, arena: Arena, tile_bytes: int, max_steps: int) -> Slow:
    """The fused program."""
    data = arena.data.tobytes()
    spans = list(zip(arena.starts.tolist(), arena.ends.tolist(), strict=True))
    grams = {int(gram): i for i, gram in enumerate(tables.grams)}
    found, confirmed, for_host = [], set(), set()
    attempted, committed = set(), set()
    words = tables.bitmap.view("<u4").tolist()
    exact = []
    for position in range(0, len(data), tables.stride):
        window = (
            int.from_bytes(data[position : position + 4].ljust(4, b"\0"), "little") | 0x20202020
        )
        product = window * tables.multiplier
        word = words[(product & 0xFFFF_FFFF) * len(words) >> 32]
        if not (word >> (product >> 32 & 31) & 1 and word >> (product & 31) & 1):
            continue
        if window not in grams:
            continue
        at = grams[window]
        exact += [
            (position, entry)
            for entry in tables.gram_entries[
                tables.gram_starts[at] : tables.gram_starts[at + 1]
            ].tolist()
        ]
    exact += [
        (position, entry)
        for position in range(len(data))
        for entry in tables.always_entries.tolist()
    ]
    for position, entry in exact:
        row = tables.entries[entry]
        pivot = position + int(row["pivot_offset"])
        holders = [i for i, (low, high) in enumerate(spans) if low <= pivot < high]
        if not holders:
            continue
        [document] = holders
        low, high = spans[document]
        edges = (bool(arena.at_start[document]), bool(arena.at_end[document]))
        if not _probes_pass(tables, row, data, pivot, low, high, edges):
            continue
        found.append((position, entry, document))
        attempted.add(pivot // tile_bytes)
        rule = int(row["rule"])
        if tables.routes[rule] == HOST:
            outcome = UNDECIDED
        else:
            outcome = _outward(tables, row, "forward", data, pivot, low, high, edges, max_steps)
            if outcome != DEAD:
                before = _outward(
                    tables, row, "backward", data, pivot - 1, low, high, edges, max_steps
                )
                outcome = DEAD if before == DEAD else max(outcome, before)
        if outcome == ACCEPT:
            confirmed.add((document, rule, pivot - int(row["distance"])))
        elif outcome == UNDECIDED:
            for_host.add((document, rule, pivot))
        if outcome != DEAD:
            committed.add(pivot // tile_bytes)
    elsewhere = {int(rule) for rule in tables.entries["rule"]} | {
        int(run["rule"]) for run in tables.runs
    }
    for document, (low, high) in enumerate(spans):
        for run in tables.runs:
            for position in _long_runs(tables, run, data, low, high):
                for_host.add((document, int(run["rule"]), position))
        for rule, route in enumerate(tables.routes.tolist()):
            if route == HOST and rule not in elsewhere:
                for_host.add((document, rule, NO_POSITION))
    return Slow(sorted(found), sorted(confirmed), sorted(for_host), len(attempted), len(committed))


def _long_runs(tables: PackTables, run: Any, data: bytes, low: int, high: int) -> list[int]:
    """Where runs of the class begin that are long enough, in one document."""
    members = tables.probe_classes[run["byte_class"]]
    starts, size = [], 0
    for at in range(low, high + 1):
        if at < high and members[data[at] >> 3] >> (data[at] & 7) & 1:
            size += 1
            continue
        if size >= run["length"]:
            starts.append(at - size)
        size = 0
    return starts


def _probes_pass(
    tables: PackTables,
    row: Any,
    data: bytes,
    pivot: int,
    low: int,
    high: int,
    edges: tuple[bool, bool],
) -> bool:
    for offset, probe_class in zip(
        row["probe_offset"].tolist(), row["probe_class"].tolist(), strict=True
    ):
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
