"""Plan: inputs in, shards out, lazily. It numbers documents and remembers their paths."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.engine.shards import DEFAULT_SHARD_DOCUMENTS, pack_shards
from vyre_dist.engine.tasks import FolderRun, Item, Piece, piece_of
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.sources.document import DocumentRef, FolderFiles


class Plan:
    """`inputs` as a stream of ShardPlanned.

    The inputs are folders' files, documents and problems, as the sources give them, and documents
    in memory: pieces that are all of them, whose numbers are given here.

    `problems` grows with what the sources could not list; `path_of` answers until `forget`.
    `notes`: remarks that nobody has taken yet. `documents` counts what has been planned; `ended`
    tells whether that is the final number. `lease_bytes`: what the next shards may
    have, where that is more than `shard_bytes`.
    """

    def __init__(
        self,
        inputs: Iterable[FolderFiles | DocumentRef | Piece | InputProblem],
        shard_bytes: int,
        shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
    ) -> None:
        self.problems: list[InputProblem] = []
        self.notes: list[InputNote] = []
        self.documents = 0
        self.ended = False
        self._paths = _Paths()
        self._new: deque[Piece] = deque()
        self.lease_bytes = 0
        self._shards = pack_shards(
            self._items(inputs),
            shard_bytes,
            shard_documents,
            lambda: max(1.0, self.lease_bytes / shard_bytes),
        )

    def next(self) -> ShardPlanned | PlanEnded:
        """The next shard."""
        pieces = next(self._shards, None)
        if pieces is None:
            self.ended = True
            return PlanEnded()
        documents: list[Piece] = []
        if self._new:
            # the packer takes a document before it knows that it does not fit any more
            last = pieces[-1].first if isinstance(pieces[-1], FolderRun) else pieces[-1].document
            while self._new and self._new[0].document <= last:
                documents.append(self._new.popleft())
        return ShardPlanned(tuple(pieces), tuple(documents))

    def path_of(self, document: int) -> str:
        """The display path of a document that was not forgotten. Raises KeyError."""
        return self._paths[document]

    def forget(self, documents: Iterable[int]) -> None:
        """Let go of the paths of documents, and of all that were planned before them."""
        self._paths.forget_to(max(documents, default=-1))

    def _items(
        self, inputs: Iterable[FolderFiles | DocumentRef | Piece | InputProblem]
    ) -> Iterator[Item]:
        for entry in inputs:
            number = self.documents
            if isinstance(entry, FolderFiles):
                run = FolderRun.of(number, entry.prefix, entry.names, entry.open_prefix)
                self.documents += len(run.names)
                self._paths.add(number, run.prefix, run.names)
                yield run
            elif isinstance(entry, DocumentRef | Piece):
                self.documents += 1
                self._paths.add(number, "", [entry.path])
                if isinstance(entry, Piece):
                    piece = entry._replace(document=number)
                else:
                    piece = piece_of(number, entry)
                self._new.append(piece)
                yield piece
            else:
                self.problems.append(entry)


class _Paths:
    """The paths of consecutive documents, folder by folder; forgotten from the front."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._folders: list[tuple[str, Sequence[str]]] = []
        self._gone = 0  # of the two lists
        self._from = 0  # documents below have been forgotten

    def __len__(self) -> int:
        return len(self._firsts) - self._gone

    def add(self, first: int, prefix: str, names: Sequence[str]) -> None:
        self._firsts.append(first)
        self._folders.append((prefix, names))

    def __getitem__(self, document: int) -> str:
        i = bisect_right(self._firsts, document, lo=self._gone) - 1
        if i < self._gone or document < self._from:
            raise KeyError(document)
        prefix, names = self._folders[i]
        offset = document - self._firsts[i]
        if offset >= len(names):
            raise KeyError(document)
        return prefix + names[offset]

    def forget_to(self, document: int) -> None:
        """All up to and including `document`."""
        self._from = max(self._from, document + 1)
        firsts, folders, gone = self._firsts, self._folders, self._gone
        while gone < len(firsts) and firsts[gone] + len(folders[gone][1]) <= self._from:
            gone += 1
        if gone > 1024 or gone == len(firsts):
            del firsts[:gone], folders[:gone]
            gone = 0
        self._gone = gone
