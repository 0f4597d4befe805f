"""Fingerprints: what identifies findings from run to run (docs/output-formats.md)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

from vyre_dist.engine.finding_rows import FindingRow

DIGEST_BYTES = 16


def fingerprint(rule_id: str, path: str, match: bytes, ordinal: int) -> str:
    """A finding's identity between runs, as 32 hex digits.

    `ordinal`: how many findings of the rule in that document come before it and match the same
    bytes.
    """
    return _digest(_head(rule_id, path), match, ordinal).hex()


class DocumentPrints:
    """The digests of one document's findings, DIGEST_BYTES each: their fingerprints as bytes.

    `numbered`: findings count those before them that match the same. Else each is taken for the
    first one: who sees all of the document has to count (match_counts.py).
    """

    def __init__(self, rule_ids: Sequence[str], path: str, *, numbered: bool) -> None:
        self._rule_ids = rule_ids
        self._path = path
        self._heads: dict[int, bytes] = {}
        self._seen: dict[int, dict[bytes, int]] = {}
        self._numbered = numbered

    def of(self, rows: Iterable[FindingRow]) -> bytes:
        """The digests of the next rows, in report order."""
        heads, seen, numbered = self._heads, self._seen, self._numbered
        digests = []
        for row in rows:
            rule, match, ordinal = row.rule, row.match, 0
            head = heads.get(rule)
            if head is None:
                head = heads[rule] = _head(self._rule_ids[rule], self._path)
                seen[rule] = {}
            if numbered:
                counts = seen[rule]
                ordinal = counts.get(match, 0)
                counts[match] = ordinal + 1
            digests.append(_digest(head, match, ordinal))
        return b"".join(digests)


def _head(rule_id: str, path: str) -> bytes:
    rule, name = rule_id.encode("utf-8", "surrogatepass"), os.fsencode(path)
    return b"%d:%b%d:%b" % (len(rule), rule, len(name), name)


def _digest(head: bytes, match: bytes, ordinal: int) -> bytes:
    text = b"%b%d:%b%d" % (head, len(match), match, ordinal)
    return hashlib.sha256(text).digest()[:DIGEST_BYTES]
