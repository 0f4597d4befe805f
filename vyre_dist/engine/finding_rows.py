"""FindingRow: a finding as workers build it, before it has a path, a fingerprint or a secret id."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vyre_dist.rules.finder import Groups


class FindingRow(NamedTuple):
    """A finding whose document and rule are numbers; the rest is as in Finding.

    A NamedTuple: a row is made twice on its way, and takes a fifth of a frozen dataclass's time.
    """

    document: int
    rule: int
    start: int
    end: int
    line: int
    column: int
    match: bytes
    secret: bytes
    groups: Groups
    entropy: float
    end_line: int
    start_column_utf16: int
    end_column_utf16: int


def path_row(document: int, rule: int) -> FindingRow:
    """The finding of a rule that has only a path."""
    return FindingRow(document, rule, 0, 0, 0, 0, b"", b"", (), 0.0, 0, 0, 0)


def report_order(row: FindingRow) -> tuple[int, int, int]:
    """The key that sorts rows as they are reported: by document, start and rule.

    What a document's path alone says comes first. None of the numbers is negative.
    """
    return row.document, row.start + 1 if row.line else 0, row.rule
