"""Slots: what batches of documents are laid out in for a GPU: shared memory here, a lane there."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import ALIGNMENT, Arena
from vyre_dist.engine.document import DocumentError
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.open_document import read_into
from vyre_dist.engine.tasks import DocumentProblem
from vyre_dist.errors import UsageError
from vyre_dist.import_path import guarded_children
from vyre_dist.kernels.cuda import Lane
from vyre_dist.stream.extraction_pool import Extraction

SHARED_MEMORY = "/dev/shm"  # noqa: S108
"""Where shm_open keeps memory, on Linux."""

Bytes = tuple[int, str, bytes | memoryview]
File = tuple[int, str, str]


@dataclass(slots=True)
class ArenaBatch:
    """Documents laid out for one pass. `paths`: one for each document; `numbers`: what they are
    called in finding rows.

    `by_path`: finding rows of rules that look at paths only.
    """

    arena: Arena
    paths: Sequence[str]
    numbers: Sequence[int]
    slot: Slot
    by_path: list[FindingRow] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Slot:
    """Room for one batch: shared memory on the host, and a lane on the device."""

    memory: SharedMemory
    data: npt.NDArray[np.uint8]
    lane: Lane
    batch: ArenaBatch | None = None
    extractions: list[Extraction] = field(default_factory=list)

    @classmethod
    def of(cls, size: int, lane: Lane) -> Slot:
        """A slot of `size` bytes. Raises UsageError when shared memory has no room for it."""
        with guarded_children():  # the first one starts a process that keeps count of them
            memory = SharedMemory(create=True, size=size)
        try:
            # mapped again: what SharedMemory maps it unmaps when it goes, whoever still reads there
            memory.close()
            with open(os.path.join(SHARED_MEMORY, memory.name), "r+b") as file:
                # all of it is there then: memory that is full would end whoever touches it, without
                # a word
                os.posix_fallocate(file.fileno(), 0, size)
                return cls(memory, np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8), lane)
        except BaseException as error:
            memory.unlink()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise UsageError(
                    f"shared memory ({SHARED_MEMORY}) has no room for a slot of {size >> 20} MiB "
                    f"({error}); free some, give "
                    "a container more (--shm-size), or use fewer or smaller slots"
                ) from error
            raise

    def taken(self) -> ArenaBatch:
        """The batch that has this slot."""
        if self.batch is None:
            raise RuntimeError("a slot without a batch is on its way")
        return self.batch

    def fill(self, documents: Iterable[Bytes]) -> tuple[ArenaBatch, Bytes | None]:
        """(a batch of the `documents` (number, path, bytes) that fit, the first that did not or
        None).

        Raises UsageError for a document that would not fit into an empty slot.
        """
        filling = _Filling(self)
        for document in documents:
            number, path, data = document
            if filling.at + len(data) > self.data.size:
                if not filling.starts:
                    raise UsageError(
                        f"{path} has {len(data)} bytes, and a batch has room for {self.data.size}; "
                        "scan it with a Scanner"
                    )
                return filling.batch(), document
            self.data[filling.at : filling.at + len(data)] = np.frombuffer(data, np.uint8)
            filling.add(number, path, len(data))
        return filling.batch(), None

    def fill_files(
        self, files: Iterable[File], problems: list[DocumentProblem]
    ) -> tuple[ArenaBatch, File | None]:
        """The same from regular files (number, path, path to open), read into the slot.

        A file that can't be read, or would not fit into an empty slot, is added to `problems`.
        """
        filling = _Filling(self)
        view = self.data.data
        for file in files:
            number, path, open_path = file
            try:
                size = read_into(view[filling.at :], open_path, path)
            except DocumentError as error:
                problems.append(DocumentProblem(number, error.reason, error.detail))
                continue
            if size is not None:
                filling.add(number, path, size)
            elif filling.starts:
                return filling.batch(), file
            else:
                detail = (
                    f"it has more than the {self.data.size} bytes that a batch has room for; scan "
                    f"it with a Scanner"
                )
                problems.append(DocumentProblem(number, "too-large", detail))
        return filling.batch(), None


class _Filling:
    """What has been laid out in a slot so far."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self.at = 0
        self.starts: list[int] = []
        self._ends: list[int] = []
        self._paths: list[str] = []
        self._numbers: list[int] = []

    def add(self, number: int, path: str, size: int) -> None:
        """A document of `size` bytes lies at `at`."""
        self.starts.append(self.at)
        self._ends.append(self.at + size)
        self._paths.append(path)
        self._numbers.append(number)
        self.at = -(-self._ends[-1] // ALIGNMENT) * ALIGNMENT

    def batch(self) -> ArenaBatch:
        """All of it."""
        whole = np.ones(len(self.starts), bool)
        used = self._slot.data[: min(self.at, self._slot.data.size)]
        arena = Arena(
            used, np.array(self.starts, np.int64), np.array(self._ends, np.int64), whole, whole
        )
        return ArenaBatch(arena, self._paths, self._numbers, self._slot)
