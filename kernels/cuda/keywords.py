"""Launches keywords.cuh: which of the pack's keywords the arena's watched documents hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.host_memory import landing_buffer
from vyre_dist.kernels.cuda.instances import STRETCH, Instance
from vyre_dist.kernels.cuda.structs import (
    KEYWORD_DTYPE,
    KEYWORD_HASH_BITS,
    KEYWORD_MULTIPLIER,
    KEYWORD_TABLES_DTYPE,
)
from vyre_dist.kernels.cuda.uploads import upload
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program.tunables import Tunables
from vyre_dist.rules.keyword_table import LEAST_BYTES, KeywordTable

MOST_KEYWORDS = 0xFFFF - 1
"""Their numbers have 16 bits. Of more the host looks for them."""

_THREADS = 512
_BLOCKS_PER_SM = 2
_FOLD = 0x20


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(KeywordTables, Stretch of the whole arena, watched documents, their count, the blocks that
    they have, flags).
    """
    parameters = (
        "const __grid_constant__ vyre::KeywordTables tables",
        STRETCH,
        "const vyre::Piece* documents",
        "vyre::u32 count",
        "vyre::u32 blocks",
        "vyre::u32* flags",
    )
    return Instance.of("keywords", (_THREADS,), parameters, blocks_per_sm=_BLOCKS_PER_SM)


class KeywordSight:
    """The kernel for one table, which has a word at least."""

    def __init__(self, device: Device, tunables: Tunables, table: KeywordTable) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._flag_words = table.flag_words
        self._arrays = upload(table_arrays(table.words))
        self._struct = np.zeros((), KEYWORD_TABLES_DTYPE)
        for name, array in self._arrays.items():
            self._struct[name] = array.data.ptr
        self._struct["flag_words"] = table.flag_words

    def launch(self, arena: DeviceArena, space: Workspace, stream: Any) -> None:
        """Queue it for the arena's watched documents, of which there is one at least."""
        size = arena.watched * self._flag_words
        flags = space.reserve("keywords", np.uint32, size)
        with stream:
            flags[:size] = 0
        self._kernel(
            stream,
            self._struct,
            arena.whole(),
            np.uint64(arena.index_address("watched")),
            np.uint32(arena.watched),
            np.uint32(arena.watched_blocks),
            pointer(flags),
            grid=min(self._kernel.grid, arena.watched_blocks),
        )

    def collect(self, arena: DeviceArena, space: Workspace, stream: Any) -> npt.NDArray[np.uint32]:
        """uint32 [watched documents * flag words]; waits for them."""
        size = arena.watched * self._flag_words
        found = landing_buffer(4 * size).view(np.uint32)
        space.reserve("keywords", np.uint32, 0)[:size].get(stream=stream, out=found)
        return found


def table_arrays(words: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    """KeywordTables' arrays. `words`: of LEAST_BYTES or more, in lower case."""
    keywords = np.zeros(len(words), KEYWORD_DTYPE)
    first = np.zeros(1 << KEYWORD_HASH_BITS, np.uint16)
    at = 0
    for number, word in enumerate(words):
        hashed = _hash(word)
        keywords[number] = at, len(word), first[hashed], 0
        first[hashed] = number + 1
        at += len(word)
    return {
        "bitmap": np.packbits(first != 0, bitorder="little").view(np.uint32),
        "first": first,
        "keywords": keywords,
        "bytes": np.frombuffer(b"".join(words), np.uint8),
    }


def _hash(word: bytes) -> int:
    window = int.from_bytes(bytes(byte | _FOLD for byte in word[:LEAST_BYTES]), "little")
    return (window * KEYWORD_MULTIPLIER & 0xFFFF_FFFF) >> (32 - KEYWORD_HASH_BITS)
