"""Finding: one match of one rule that passed its pack's filters; and many of them as columns. The
engine makes them, and sinks write them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload


@dataclass(frozen=True, slots=True)
class Finding:
    """One confirmed match.

    `start` and `end` are byte offsets into the document (end exclusive). `line` and `column` count
    from 1; the column counts bytes from the line's start. `match`: the matched bytes. `secret`: the
    part of them that is the secret (the secret group, or the whole match). `groups`: the numbered
    capture groups, None for one that took no part. `entropy`: Shannon's, of `secret`, in bits per
    byte.

    `end_line` is the line of `end`. The columns `…_utf16` are those of `start` and `end` in the
    lines' text, in UTF-16 code units, from 1; a character that the match cuts is counted with it.
    These three are 0 if they are not known, as for a file that changed while it was scanned.

    `fingerprint` (32 hex digits) is the same in every run, wherever in its document the match lies.
    `secret_id` (64 hex digits) is the same for the same secret in any document; None without a
    SecretKey. A rule that has only a path pattern gives 0 for all numbers, an empty match and no
    `secret_id`.
    """

    rule_id: str
    path: str
    start: int
    end: int
    line: int
    column: int
    match: bytes
    secret: bytes
    groups: tuple[bytes | None, ...] = ()
    entropy: float = 0.0
    description: str = ""
    tags: tuple[str, ...] = field(default=())
    fingerprint: str = ""
    secret_id: str | None = None
    end_line: int = 0
    start_column_utf16: int = 0
    end_column_utf16: int = 0


class ReportedRule(NamedTuple):
    """What a finding says of its rule."""

    id: str
    description: str
    tags: tuple[str, ...]


class Slices(Sequence[str]):
    """A text in pieces of `size` characters, each made when it is asked for."""

    __slots__ = ("size", "text")

    def __init__(self, text: str, size: int) -> None:
        self.text, self.size = text, size

    def __len__(self) -> int:
        return len(self.text) // self.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        size = self.size
        if isinstance(index, int):
            at = range(len(self))[index] * size
            return self.text[at : at + size]
        first, end, step = index.indices(len(self))
        if step == 1:
            return Slices(self.text[first * size : end * size], size)
        return [self[i] for i in range(first, end, step)]

    def __iter__(self) -> Iterator[str]:
        text, size = self.text, self.size
        return iter([text[at : at + size] for at in range(0, len(text), size)])


@dataclass(frozen=True, slots=True, eq=False)
class FindingBatch(Sequence[Finding]):
    """Findings as columns, each as long as the others; as a sequence, it makes each Finding when it
    is asked for.

    `rule`: the number of each one's among `rules`. `secret_id`: None where there is no SecretKey.
    The other columns are Finding's fields.
    """

    rules: Sequence[ReportedRule]
    rule: Sequence[int]
    path: Sequence[str]
    start: Sequence[int]
    end: Sequence[int]
    line: Sequence[int]
    column: Sequence[int]
    match: Sequence[bytes]
    secret: Sequence[bytes]
    groups: Sequence[tuple[bytes | None, ...]]
    entropy: Sequence[float]
    fingerprint: Sequence[str]
    secret_id: Sequence[str | None] | None
    end_line: Sequence[int]
    start_column_utf16: Sequence[int]
    end_column_utf16: Sequence[int]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> FindingBatch:
        """`findings` as a batch."""
        if isinstance(findings, FindingBatch):
            return findings
        numbers: dict[ReportedRule, int] = {}
        rules = [ReportedRule(f.rule_id, f.description, f.tags) for f in findings]
        ids = [f.secret_id for f in findings]
        return cls(
            rules=list(dict.fromkeys(rules)),
            rule=[numbers.setdefault(rule, len(numbers)) for rule in rules],
            path=[f.path for f in findings],
            start=[f.start for f in findings],
            end=[f.end for f in findings],
            line=[f.line for f in findings],
            column=[f.column for f in findings],
            match=[f.match for f in findings],
            secret=[f.secret for f in findings],
            groups=[f.groups for f in findings],
            entropy=[f.entropy for f in findings],
            fingerprint=[f.fingerprint for f in findings],
            secret_id=ids if any(ids) else None,
            end_line=[f.end_line for f in findings],
            start_column_utf16=[f.start_column_utf16 for f in findings],
            end_column_utf16=[f.end_column_utf16 for f in findings],
        )

    def part(self, first: int, end: int) -> FindingBatch:
        """The findings [first, end)."""
        if first <= 0 and end >= len(self):
            return self
        match = self.match[first:end]
        return FindingBatch(
            rules=self.rules,
            rule=self.rule[first:end],
            path=self.path[first:end],
            start=self.start[first:end],
            end=self.end[first:end],
            line=self.line[first:end],
            column=self.column[first:end],
            match=match,
            secret=match if self.secret is self.match else self.secret[first:end],
            groups=self.groups[first:end],
            entropy=self.entropy[first:end],
            fingerprint=self.fingerprint[first:end],
            secret_id=None if self.secret_id is None else self.secret_id[first:end],
            end_line=self.end_line[first:end],
            start_column_utf16=self.start_column_utf16[first:end],
            end_column_utf16=self.end_column_utf16[first:end],
        )

    def __len__(self) -> int:
        return len(self.rule)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> list[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | list[Finding]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rule = self.rules[self.rule[index]]
        return Finding(
            rule.id,
            self.path[index],
            self.start[index],
            self.end[index],
            self.line[index],
            self.column[index],
            self.match[index],
            self.secret[index],
            self.groups[index],
            self.entropy[index],
            rule.description,
            rule.tags,
            self.fingerprint[index],
            None if self.secret_id is None else self.secret_id[index],
            self.end_line[index],
            self.start_column_utf16[index],
            self.end_column_utf16[index],
        )

    def __iter__(self) -> Iterator[Finding]:
        return map(self.__getitem__, range(len(self)))
