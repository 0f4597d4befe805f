"""The plan: inputs in, shards out, lazily. It numbers documents and remembers the paths that results refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.engine.scanner import piece_of
from vyre_dist.engine.shards import DEFAULT_SHARD_DOCUMENTS, pack_shards
from vyre_dist.engine.tasks import Piece
from vyre_dist.sources import DocumentRef, InputProblem


class Plan:
    """`inputs` (documents and problems, as the sources give them) as a stream of ShardPlanned.

    `problems` grows with what the sources could not list; `path_of` answers until `forget`. `bytes_listed`
    counts the planned bytes; `ended` tells whether that is the final number.
    """

    def __init__(
        self,
        inputs: Iterable[DocumentRef | InputProblem],
        shard_bytes: int,
        shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
    ) -> None:
        self.problems: list[InputProblem] = []
        self.documents = 0
        self.bytes_listed = 0
        self.ended = False
        self._paths: dict[int, str] = {}
        self._new: list[Piece] = []
        self._shards = pack_shards(self._pieces(inputs), shard_bytes, shard_documents)

    def next(self) -> ShardPlanned | PlanEnded:
        """The next shard."""
        pieces = next(self._shards, None)
        if pieces is None:
            self.ended = True
            return PlanEnded()
        # the packer takes a document before it knows that it does not fit any more
        last = pieces[-1].document
        documents = tuple([d for d in self._new if d.document <= last])
        self._new = [d for d in self._new if d.document > last]
        return ShardPlanned(tuple(pieces), documents)

    def path_of(self, document: int) -> str:
        """The display path of a document that was not forgotten."""
        return self._paths[document]

    def forget(self, documents: Iterable[int]) -> None:
        """Let go of the paths of documents that nothing more will be said of."""
        for document in documents:
            self._paths.pop(document, None)

    def _pieces(self, inputs: Iterable[DocumentRef | InputProblem]) -> Iterator[Piece]:
        for entry in inputs:
            if isinstance(entry, InputProblem):
                self.problems.append(entry)
                continue
            number = self.documents
            self.documents += 1
            self.bytes_listed += entry.size
            self._paths[number] = entry.path
            piece = piece_of(number, entry)
            self._new.append(piece)
            yield piece
