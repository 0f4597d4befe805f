"""From result rows to what callers see: the Finding, with what identifies it and its secret from
run to run.
"""

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
    """A finding's identity between runs, as 32 hex digits; docs/output-formats.md says how it is
    made.

    `ordinal`: how many findings of the rule in that document come before it and match the same
    bytes.
    """
    fields = (rule_id.encode("utf-8", "surrogatepass"), os.fsencode(path), match)
    framed = b"".join(b"%d:%b" % (len(field), field) for field in fields)
    return hashlib.sha256(b"%b%d" % (framed, ordinal)).hexdigest()[:32]


class Reporter:
    """Makes a pack's findings. `key`: for secret_id, which is None without."""

    def __init__(self, rules: Sequence[Rule], key: SecretKey | None = None) -> None:
        self._rules = rules
        self._key = key

    def findings(
        self, rows: Iterable[FindingRow], path_of: Callable[[int], str]
    ) -> Iterator[tuple[int, Finding]]:
        """(document, Finding) of each of `rows`, which are in report order, each document's of a
        rule together.

        `path_of`: the path of a document, by its number.
        """
        key = self._key
        document, path = -1, ""
        seen: dict[tuple[int, bytes], int] = {}
        for row in rows:
            number, rule, start, end, line, column, match, secret, groups, entropy, *region = row
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
                    start,
                    end,
                    line,
                    column,
                    match,
                    secret,
                    tuple(groups),
                    entropy,
                    r.description,
                    r.tags,
                    fingerprint(r.id, path, match, ordinal),
                    key.secret_id(secret) if key is not None and secret else None,
                    *region,
                ),
            )
