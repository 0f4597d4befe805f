"""From finding rows to what callers see: Finding, with what identifies it from run to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from vyre_dist.engine.tasks import FindingRow
from vyre_dist.finding import Finding
from vyre_dist.rules.model import Rule

if TYPE_CHECKING:
    from vyre_dist.secret_key import SecretKey


def fingerprint(rule_id: str, path: str, match: bytes, ordinal: int) -> str:
    """A finding's identity between runs, as 32 hex digits (docs/output-formats.md).

    `ordinal`: how many findings of the rule in that document come before it and match the same
    bytes.
    """
    rule, name = rule_id.encode("utf-8", "surrogatepass"), os.fsencode(path)
    fields = (len(rule), rule, len(name), name, len(match), match, ordinal)
    return hashlib.sha256(b"%d:%b%d:%b%d:%b%d" % fields).hexdigest()[:32]


class Reporter:
    """Makes a pack's findings. `key`: for secret_id, which is None without."""

    def __init__(self, rules: Sequence[Rule], key: SecretKey | None = None) -> None:
        self._rules = rules
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
