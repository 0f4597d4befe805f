"""From finding rows and blocks to what callers see: findings with what identifies them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from vyre_dist.engine.finding_blocks import Columns, FindingBlock, decode_block
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.fingerprints import DIGEST_BYTES, fingerprint
from vyre_dist.engine.match_counts import MatchCounts
from vyre_dist.engine.spool import Spool, bytes_of
from vyre_dist.finding import Finding, FindingBatch, ReportedRule, Slices
from vyre_dist.rules.model import Rule

if TYPE_CHECKING:
    from vyre_dist.secret_key import SecretKey

_HEX = 2 * DIGEST_BYTES
_COUNTED_ROWS = 1 << 18
"""Of a split document, so many findings are counted at once: each time costs a look at all that
were counted before.
"""


class Reporter:
    """Makes a pack's findings. `key`: for secret_id, which is None without."""

    def __init__(self, rules: Sequence[Rule], key: SecretKey | None = None) -> None:
        self._rules = [ReportedRule(r.id, r.description, r.tags) for r in rules]
        self._key = key

    def findings(
        self, rows: Iterable[FindingRow], path_of: Callable[[int], str]
    ) -> Iterator[tuple[int, Finding]]:
        """(document, Finding) of each of `rows`, which must be in report order.

        `path_of`: the path of a document, by its number.
        """
        key = self._key
        document, path = -1, ""
        seen: dict[tuple[int, bytes], int] = {}
        for row in rows:
            number, rule, match, secret = row.document, row.rule, row.match, row.secret
            if number != document:
                document, path = number, path_of(number)
                seen.clear()
            ordinal = seen[rule, match] = seen.get((rule, match), -1) + 1
            r = self._rules[rule]
            yield (
                number,
                Finding(
                    r.id,
                    path,
                    row.start,
                    row.end,
                    row.line,
                    row.column,
                    match,
                    secret,
                    row.groups,
                    row.entropy,
                    r.description,
                    r.tags,
                    fingerprint(r.id, path, match, ordinal),
                    key.secret_id(secret) if key is not None and secret else None,
                    row.end_line,
                    row.start_column_utf16,
                    row.end_column_utf16,
                ),
            )

    def batches(
        self, blocks: Iterable[FindingBlock], path_of: Callable[[int], str], spool: Spool
    ) -> Iterator[FindingBatch]:
        """The findings of `blocks`, which are all there are of their documents, in report order.

        `spool`: where the matches of large documents are counted.
        """
        document, counts = -1, MatchCounts(spool)
        waiting: list[FindingBlock] = []
        rows = 0
        for block in blocks:
            if waiting and (block.numbered or block.document != document or rows >= _COUNTED_ROWS):
                yield from self._numbered(waiting, counts, path_of)
                waiting, rows = [], 0
            if block.numbered:
                yield self._batch(decode_block(block), path_of)
                continue
            if block.document != document:
                document, counts = block.document, MatchCounts(spool)
            waiting.append(block._replace(data=bytes_of(block.data)))
            rows += block.rows
        if waiting:
            yield from self._numbered(waiting, counts, path_of)

    def _numbered(
        self, blocks: Sequence[FindingBlock], counts: MatchCounts, path_of: Callable[[int], str]
    ) -> Iterator[FindingBatch]:
        """Tell apart what matches the same in some of a split document's blocks."""
        digests = [bytes_of(block.data)[: block.rows * DIGEST_BYTES] for block in blocks]
        ordinals = counts.ordinals(b"".join(digests))
        first = 0
        for block in blocks:
            own = ordinals[first : first + block.rows]
            first += block.rows
            yield self._batch(decode_block(block), path_of, own if any(own) else ())

    def _batch(
        self, columns: Columns, path_of: Callable[[int], str], ordinals: Sequence[int] = ()
    ) -> FindingBatch:
        c, key = columns, self._key
        documents = dict.fromkeys(c.document)
        if len(documents) == 1:
            paths = [path_of(c.document[0])] * len(c.document)
        else:
            named = {document: path_of(document) for document in documents}
            paths = [named[document] for document in c.document]
        fingerprints: Sequence[str] = Slices(c.digests.hex(), _HEX)
        if ordinals:
            fingerprints = [
                fingerprint(self._rules[rule].id, path, match, ordinal) if ordinal else first
                for rule, path, match, ordinal, first in zip(
                    c.rule, paths, c.match, ordinals, fingerprints, strict=True
                )
            ]
        ids = None
        if key is not None:
            ids = [key.secret_id(secret) if secret else None for secret in c.secret]
        return FindingBatch(
            self._rules,
            c.rule,
            paths,
            c.start,
            c.end,
            c.line,
            c.column,
            c.match,
            c.secret,
            c.groups,
            c.entropy,
            fingerprints,
            ids,
            c.end_line,
            c.start_column_utf16,
            c.end_column_utf16,
        )
