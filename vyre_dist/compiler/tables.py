"""PackTables: the compiled rules of a pack as flat arrays, laid out as a kernel reads them.

Rules are put together here: equal grams lead to one list of entries; equal byte maps, probe classes
and automata are stored once. How the arrays travel is in codec.py, what they mean when they run in
arena_executor.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.anchors import STRIDE
from vyre_dist.compiler.determinize import Dfa
from vyre_dist.compiler.gram_model import GramModel, cross, folded_bytes
from vyre_dist.compiler.hashing import choose_multiplier, make_bitmap
from vyre_dist.compiler.nfa import Nfa
from vyre_dist.compiler.probes import MAX_PROBES, Probe
from vyre_dist.compiler.routed_rule import Route, RoutedRule

NOT_STORED = 0xFFFF_FFFF
"""Stands for an entry's automaton where the host confirms, and for what is unknown of a rule."""

EDGE_PASSES = 0x8000

ENTRY_DTYPE = np.dtype(
    [
        ("rule", "<u4"),
        ("pivot_offset", "<u4"),
        ("forward", "<u4"),
        ("forward_start", "<u4"),
        ("backward", "<u4"),
        ("backward_start", "<u4"),
        ("probe_offset", "i1", (MAX_PROBES,)),
        ("probe_class", "<u2", (MAX_PROBES,)),
        ("distance", "<u2"),
    ]
)
"""What a gram or, for always-on rules, any offset leads to. `probe_class`: a row of probe_classes,
with EDGE_PASSES added where an offset outside the text passes too. Row 0 is the class of all bytes.
`distance`: how far before the pivot a match begins, for rules of one width; else 0.
"""

AUTOMATON_DTYPE = np.dtype(
    [
        ("is_nfa", "<u4"),
        ("columns", "<u4"),  # how many
        ("states", "<u4"),  # or positions
        ("words", "<u4"),  # a set of positions has, 0 for tables
        ("byte_map", "<u4"),  # row of byte_maps
        ("base", "<u4"),  # first element in dfa_cells, or in nfa_words: follow, reach, final
    ]
)


RUN_DTYPE = np.dtype(
    [
        ("rule", "<u4"),
        ("length", "<u4"),
        ("byte_class", "<u4"),  # row of probe_classes
        ("test", "u1", (2,)),  # shift, ones: see runs.WordTest
        ("unused", "u1", (2,)),
    ]
)
"""A rule that is looked for by runs of bytes of one class."""


@dataclass(frozen=True, slots=True)
class PackTables:
    """All arrays of a pack; rule numbers are indices into the sequence that was compiled.

    `routes` [rules] (Route); `backs` [rules]: the most bytes of a match before its pivot,
    NOT_STORED if that is not known; `widths` [rules]: that of all matches, 0 where they differ or
    automata do not decide; `reasons`: texts by rule number. `grams`: distinct folded grams,
    ascending; gram g leads to `entries[gram_entries[gram_starts[g] : gram_starts[g + 1]]]`.
    `always_entries`: the entries, ascending, whose candidates are all offsets. `bitmap`,
    `multiplier`: see hashing.py; `stride`: every how many offsets windows are looked at. `runs`:
    RUN_DTYPE. `probe_classes` [n, 32]: 256-bit sets. `byte_maps` [n, 257].
    """

    routes: npt.NDArray[np.uint8]
    backs: npt.NDArray[np.uint32]
    widths: npt.NDArray[np.uint32]
    reasons: tuple[str, ...]
    grams: npt.NDArray[np.uint32]
    gram_starts: npt.NDArray[np.uint32]
    gram_entries: npt.NDArray[np.uint32]
    entries: npt.NDArray[np.void]
    always_entries: npt.NDArray[np.uint32]
    bitmap: npt.NDArray[np.uint8]
    multiplier: int
    expected_hits: float
    stride: int
    runs: npt.NDArray[np.void]
    probe_classes: npt.NDArray[np.uint8]
    automata: npt.NDArray[np.void]
    byte_maps: npt.NDArray[np.uint8]
    dfa_cells: npt.NDArray[np.uint16]
    nfa_words: npt.NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays together."""
        return sum(
            v.nbytes for name in self.__slots__ if isinstance(v := getattr(self, name), np.ndarray)
        )

    def anchored(self) -> npt.NDArray[np.bool_]:
        """By rule: whether anchors, runs or the always-on entries look for it."""
        found = np.zeros(self.routes.size, bool)
        found[self.entries["rule"]] = True
        found[self.runs["rule"]] = True
        return found


def build_tables(routed_rules: Sequence[RoutedRule], model: GramModel) -> PackTables:
    """The tables of a pack from its rules' routed_rules."""
    store = _Store()
    entries: dict[tuple[object, ...], int] = {}
    leads: list[tuple[npt.NDArray[np.uint32], int]] = []
    always: dict[int, None] = {}
    runs: list[tuple[object, ...]] = []
    for rule, routed in enumerate(routed_rules):
        if (run := routed.run) is not None:
            runs.append((rule, run.length, store.byte_class(run.mask), astuple(run.test), (0, 0)))
        sides = [
            (NOT_STORED if a is None else store.automaton(a), a)
            for a in (routed.forward, routed.backward)
        ]
        windows: list[tuple[int, int, tuple[int, ...] | None]]
        if routed.route is Route.ALWAYS_ON:
            windows = [(at, 0, None) for at in range(len(routed.pivots))]
        else:
            windows = [
                (routed.pivots.index(anchor.pivot), anchor.pivot_offset, anchor.classes)
                for anchor in routed.anchors.anchors
            ]
        for at, offset, classes in windows:
            starts = [0 if automaton is None else automaton.entries[at] for _, automaton in sides]
            if -1 in starts:
                continue  # no match runs through this pivot
            row = (
                rule,
                offset,
                sides[0][0],
                starts[0],
                sides[1][0],
                starts[1],
                *store.probes(routed.probes[at]),
                routed.distances[at] if routed.width else 0,
            )
            number = entries.setdefault(row, len(entries))
            if classes is None:
                always[number] = None
            else:
                leads.append((cross([folded_bytes(mask) for mask in classes]), number))
    grams, starts_of, lists = _by_gram(leads)
    multiplier, hits = choose_multiplier(grams, model)
    return PackTables(
        routes=np.array([routed.route for routed in routed_rules], np.uint8),
        backs=np.array([NOT_STORED if p.back is None else p.back for p in routed_rules], np.uint32),
        widths=np.array([routed.width for routed in routed_rules], np.uint32),
        reasons=tuple(routed.reason for routed in routed_rules),
        grams=grams,
        gram_starts=starts_of,
        gram_entries=lists,
        entries=np.array(list(entries), ENTRY_DTYPE),
        always_entries=np.array(list(always), np.uint32),
        bitmap=make_bitmap(grams, multiplier),
        multiplier=multiplier,
        expected_hits=hits,
        stride=STRIDE,
        runs=np.array(runs, RUN_DTYPE),
        **store.arrays(),
    )


def _by_gram(
    leads: Sequence[tuple[npt.NDArray[np.uint32], int]],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """(distinct grams, where each one's list begins and the last ends, the lists of entries)."""
    if not leads:
        return np.empty(0, np.uint32), np.zeros(1, np.uint32), np.empty(0, np.uint32)
    keys = np.concatenate([grams for grams, _ in leads])
    numbers = np.repeat(
        np.array([n for _, n in leads], np.uint32), [grams.size for grams, _ in leads]
    )
    pairs = np.unique(keys.astype(np.uint64) << np.uint64(32) | numbers)
    grams, starts = np.unique((pairs >> np.uint64(32)).astype(np.uint32), return_index=True)
    return grams, np.append(starts, pairs.size).astype(np.uint32), pairs.astype(np.uint32)


class _SharedArrays(TypedDict):
    """The arrays of what rules share, by the names of PackTables' fields."""

    probe_classes: npt.NDArray[np.uint8]
    automata: npt.NDArray[np.void]
    byte_maps: npt.NDArray[np.uint8]
    dfa_cells: npt.NDArray[np.uint16]
    nfa_words: npt.NDArray[np.uint64]


class _Store:
    """What rules share, each distinct thing once."""

    def __init__(self) -> None:
        self._maps: dict[bytes, int] = {}
        self._classes: dict[int, int] = {(1 << 256) - 1: 0}
        self._automata: dict[tuple[object, ...], int] = {}
        self._rows: list[tuple[int, ...]] = []
        self._cells: list[npt.NDArray[np.uint16]] = []
        self._words: list[npt.NDArray[np.uint64]] = []
        self._cell_count = self._word_count = 0

    def probes(self, probes: Sequence[Probe]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(offsets, class numbers), filled up with what always passes."""
        classes = [self._probe_class(probe.mask) | EDGE_PASSES * probe.edge for probe in probes]
        missing = MAX_PROBES - len(probes)
        offsets = (*(probe.offset for probe in probes), *[0] * missing)
        return offsets, (*classes, *[EDGE_PASSES] * missing)

    def _probe_class(self, mask: int) -> int:
        """The class's number; if none is left that of all bytes: probes may pass more."""
        number = self.byte_class(mask)
        return number if number < EDGE_PASSES else 0

    def byte_class(self, mask: int) -> int:
        """The class's row of probe_classes."""
        return self._classes.setdefault(mask, len(self._classes))

    def automaton(self, automaton: Dfa | Nfa) -> int:
        """The automaton's number."""
        cells: npt.NDArray[np.uint16] | npt.NDArray[np.uint64]
        if isinstance(automaton, Dfa):
            cells = automaton.table.ravel()
            columns, words = automaton.table.shape[1], 0
        else:
            cells = np.concatenate((automaton.follow, automaton.reach, automaton.final)).ravel()
            columns, words = automaton.reach.shape
        key = (automaton.columns, automaton.states, words, cells.tobytes())
        number = self._automata.get(key)
        if number is not None:
            return number
        number = self._automata[key] = len(self._rows)
        byte_map = self._maps.setdefault(automaton.columns, len(self._maps))
        base = self._word_count if words else self._cell_count
        self._rows.append((int(words > 0), columns, automaton.states, words, byte_map, base))
        if words:
            self._words.append(cells.astype(np.uint64))
            self._word_count += cells.size
        else:
            self._cells.append(cells.astype(np.uint16))
            self._cell_count += cells.size
        return number

    def arrays(self) -> _SharedArrays:
        """The shared arrays by the names of PackTables' fields."""
        masks = b"".join(mask.to_bytes(32, "little") for mask in self._classes)
        return {
            "probe_classes": np.frombuffer(masks, np.uint8).reshape(-1, 32),
            "automata": np.array(self._rows, AUTOMATON_DTYPE),
            "byte_maps": np.frombuffer(b"".join(self._maps), np.uint8).reshape(-1, 257),
            "dfa_cells": np.concatenate([*self._cells, np.empty(0, np.uint16)]),
            "nfa_words": np.concatenate([*self._words, np.empty(0, np.uint64)]),
        }
