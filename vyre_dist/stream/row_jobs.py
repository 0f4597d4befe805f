"""Cuts a batch's rows and matches into jobs for the extraction workers, by document."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from vyre_dist.rows.layout import SETTLED_DTYPE
from vyre_dist.rows.reading import RowReading
from vyre_dist.rows.settling import settle
from vyre_dist.stream.extraction import RowJob
from vyre_dist.stream.slots import ArenaBatch


def jobs_of(
    reading: RowReading,
    rows: npt.NDArray[np.void],
    batch: ArenaBatch,
    memory: npt.NDArray[np.uint8],
    most_jobs: int,
    matches: npt.NDArray[np.void] | None = None,
) -> list[RowJob]:
    """The jobs for a batch's rows, `most_jobs` at most, of about equal size.

    `matches`: one for each row, if the device has searched. `memory`: the slot's, which the workers
    see. Documents of an arena that lies elsewhere are copied there, one behind the other.
    """
    arena = batch.arena
    settled = np.empty(0, SETTLED_DTYPE)
    if matches is not None:
        # most documents have nothing else to say
        rows, settled, _ = settle(rows, matches)
    rows = rows[np.argsort(rows["document"], kind="stable")]
    settled = settled[np.argsort(settled["document"], kind="stable")]
    if reading.everywhere:
        documents = np.arange(arena.documents)
    else:
        documents = np.union1d(rows["document"], settled["document"]).astype(np.int64)
    if not documents.size:
        return []
    starts, ends = arena.starts[documents], arena.ends[documents]
    moved = np.zeros(documents.size, np.int64)
    if not np.may_share_memory(memory, arena.data):
        sizes = ends - starts
        moved_to = np.cumsum(sizes) - sizes
        for at, start, size in zip(moved_to.tolist(), starts.tolist(), sizes.tolist(), strict=True):
            memory[at : at + size] = arena.data[start : start + size]
        moved = starts - moved_to
        starts, ends = moved_to, moved_to + sizes
    jobs = []
    cuts = np.unique(np.linspace(0, documents.size, most_jobs + 1).astype(np.int64)).tolist()
    for low, high in itertools.pairwise(cuts):
        called = documents[low:high].tolist()
        jobs.append(
            RowJob(
                _of_documents(rows, documents[low:high]),
                _of_documents(settled, documents[low:high]),
                starts[low:high],
                ends[low:high],
                moved[low:high],
                [batch.paths[document] for document in called],
                [batch.numbers[document] for document in called],
            )
        )
    return jobs


def _of_documents(
    items: npt.NDArray[np.void], documents: npt.NDArray[np.int64]
) -> npt.NDArray[np.void]:
    """Those of `items` (sorted by document) about `documents` (ascending), renumbered from 0."""
    low, high = np.searchsorted(items["document"], (documents[0], documents[-1] + 1))
    own = items[low:high].copy()
    own["document"] = np.searchsorted(documents, own["document"])
    return own
