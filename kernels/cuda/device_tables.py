"""PackTables in the layout that the kernels read (tables.cuh), and on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.hashing import hash_grams, make_bitmap
from vyre_dist.compiler.probes import MAX_PROBES
from vyre_dist.compiler.runs import MAX_RUNS
from vyre_dist.compiler.tables import AUTOMATON_DTYPE, EDGE_PASSES, NOT_STORED
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.structs import (
    BIT_PARALLEL,
    BUCKET_DTYPE,
    BYTE_MAP_PITCH,
    DEVICE_ENTRY_DTYPE,
    LIST,
    MOST_ROOM,
    TABLES_DTYPE,
)
from vyre_dist.kernels.cuda.uploads import upload

_BUCKET_MULTIPLIER = 0x9E37_79B1
_BUCKETS_PER_GRAM = 4
_MAX_NFA_WORDS = 4


class DeviceTables:
    """A pack's tables on the device."""

    def __init__(self, tables: PackTables, max_steps: int) -> None:
        """Upload. Raises UsageError for tables that the kernels can't run."""
        check_supported(tables, max_steps)
        self.tables = tables
        self._bitmaps: dict[int, Any] = {}
        buckets, lists = gram_buckets(tables)
        host: dict[str, np.ndarray[Any, Any]] = {
            "buckets": buckets,
            "lists": lists,
            "entries": device_entries(tables),
            "automata": tables.automata.astype(AUTOMATON_DTYPE),
            "byte_maps": np.pad(
                tables.byte_maps, ((0, 0), (0, BYTE_MAP_PITCH - tables.byte_maps.shape[1]))
            ),
            "dfa_cells": tables.dfa_cells,
            "nfa_words": tables.nfa_words,
            "classes": np.ascontiguousarray(tables.probe_classes).view("<u4"),
            "always_entries": tables.always_entries,
            "always_masks": always_masks(tables),
        }
        struct = np.zeros((), TABLES_DTYPE)
        self._arrays = upload(host)
        for name, array in self._arrays.items():
            struct[name] = array.data.ptr
        struct["bucket_mask"] = buckets.size - 1
        struct["bucket_shift"] = 32 - (buckets.size.bit_length() - 1)
        struct["multiplier"] = tables.multiplier
        struct["bucket_multiplier"] = _BUCKET_MULTIPLIER
        struct["max_steps"] = max_steps
        struct["nfa_word_count"] = tables.nfa_words.size
        struct["run_count"] = tables.runs.size
        struct["always_count"] = tables.always_entries.size
        # many a pack has one class in several lengths
        tests = dict.fromkeys(map(tuple, tables.runs["test"].tolist()))
        struct["test_count"] = len(tests)
        for i, (shift, ones) in enumerate(tests):
            struct["tests"][i] = (1 << shift, ones * 0x0101_0101)
        for i, run in enumerate(tables.runs):
            struct["runs"][i] = (run["rule"], run["length"], run["byte_class"], 0)
        self._struct = struct

    def arguments(self, bits: int) -> npt.NDArray[np.void]:
        """The Tables struct by value, its bitmap of 2^bits bits."""
        if bits not in self._bitmaps:
            self._bitmaps[bits] = upload({"bitmap": mirrored_bitmap(self.tables, bits)})["bitmap"]
        struct = self._struct.copy()
        struct["bitmap"] = self._bitmaps[bits].data.ptr
        return struct


def check_supported(tables: PackTables, max_steps: int) -> None:
    """Raises UsageError for tables with what the kernels can't take."""
    if tables.stride != 2:
        raise UsageError(
            "the kernels look at every second position, the tables are for a stride of "
            f"{tables.stride}"
        )
    if tables.runs.size > MAX_RUNS:
        raise UsageError(
            f"{tables.runs.size} rules are looked for by runs; the kernels take {MAX_RUNS}"
        )
    if max_steps >= MOST_ROOM:
        raise UsageError(f"max_steps of {max_steps}: the kernels walk less than {MOST_ROOM} bytes")
    if (tables.automata["words"] > _MAX_NFA_WORDS).any():
        raise UsageError(f"a bit-parallel automaton has more than {64 * _MAX_NFA_WORDS} positions")


def mirrored_bitmap(tables: PackTables, bits: int) -> npt.NDArray[np.uint32]:
    """The grams' bitmap as 32-bit words, each bit-reversed (windows.cuh: look_up)."""
    stored = tables.bitmap.size.bit_length() + 2
    bitmap = tables.bitmap if bits == stored else make_bitmap(tables.grams, tables.multiplier, bits)
    return (
        np.packbits(np.unpackbits(bitmap, bitorder="little").reshape(-1, 32), axis=1)
        .view(">u4")
        .astype("<u4")
        .ravel()
    )


def gram_buckets(tables: PackTables) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint32]]:
    """(hash table of Bucket with open addressing, lists): where each gram leads."""
    size = 1 << max(4, int(tables.grams.size * _BUCKETS_PER_GRAM - 1).bit_length())
    bits = size.bit_length() - 1
    starts = tables.gram_starts.astype(np.int64)
    counts = np.diff(starts)
    lead = tables.gram_entries << np.uint32(2) | tables.entries["pivot_offset"][tables.gram_entries]
    leads = np.zeros(tables.grams.size, np.uint32)
    single = counts == 1
    leads[single] = lead[starts[:-1][single]]
    # a list is its length and then its leads; what several grams share is stored once
    lists: list[int] = []
    known: dict[bytes, int] = {}
    for gram in np.flatnonzero(~single).tolist():
        own = lead[starts[gram] : starts[gram + 1]]
        at = known.get(own.tobytes())
        if at is None:
            at = known[own.tobytes()] = len(lists)
            lists += [own.size, *own.tolist()]
        leads[gram] = LIST | at
    buckets = np.zeros(size, BUCKET_DTYPE)
    wanted = hash_grams(tables.grams, _BUCKET_MULTIPLIER, bits).astype(np.int64)
    waiting = np.arange(tables.grams.size)
    while waiting.size:
        # of those that want one empty bucket the first gets it, the others try the next
        bucket = wanted[waiting]
        _, first = np.unique(bucket, return_index=True)
        winners = first[buckets["gram"][bucket[first]] == 0]
        buckets["gram"][bucket[winners]] = tables.grams[waiting[winners]]
        buckets["leads"][bucket[winners]] = leads[waiting[winners]]
        lost = np.ones(waiting.size, bool)
        lost[winners] = False
        waiting = waiting[lost]
        wanted[waiting] = (wanted[waiting] + 1) & (size - 1)
    return buckets, np.array(lists, np.uint32)


def always_masks(tables: PackTables) -> npt.NDArray[np.uint32]:
    """[groups, 256]: of 32 always-on entries each, which let a byte at their pivot pass, as far as
    probes look there.
    """
    entries = tables.entries[tables.always_entries]
    passes = np.ones((entries.size, 256), bool)
    for probe in range(MAX_PROBES):
        classes = tables.probe_classes[entries["probe_class"][:, probe] & (EDGE_PASSES - 1)]
        members = np.unpackbits(classes, axis=1, bitorder="little").astype(bool)
        passes &= members | (entries["probe_offset"][:, probe] != 0)[:, None]
    masks = np.zeros((-(-entries.size // 32), 256), np.uint32)
    for i, own in enumerate(passes):
        masks[i // 32] |= own.astype(np.uint32) << np.uint32(i % 32)
    return masks


def device_entries(tables: PackTables) -> npt.NDArray[np.void]:
    """The entries in the kernels' layout, with what a walk needs of each automaton."""
    own = tables.entries
    entries = np.zeros(own.size, DEVICE_ENTRY_DTYPE)
    for name in ("rule", "pivot_offset", "distance"):
        entries[name] = own[name]
    for name in ("probe_offset", "probe_class"):
        entries[name][:, : own[name].shape[1]] = own[name]
    for name in ("forward", "backward"):
        side = entries[name]
        stored = own[name] != NOT_STORED
        side["start"] = NOT_STORED
        automata = tables.automata[own[name][stored]]
        parallel = automata["is_nfa"] == 1
        side["byte_map"][stored] = automata["byte_map"] * BYTE_MAP_PITCH
        side["cells"][stored] = np.where(parallel, own[name][stored], automata["base"])
        side["columns"][stored] = automata["columns"]
        side["start"][stored] = own[f"{name}_start"][stored] | np.where(
            parallel, BIT_PARALLEL, 0
        ).astype(np.uint32)
    return entries
