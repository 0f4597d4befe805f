"""Auditor: scans a document again with google-re2 alone, and compares what the scan has found.

It is the slow oracle: each rule's expression as it was written, over the whole document, one match
after the other. No tables, no Hyperscan, no GPU, no prefilter; nor does it use what the scan takes
for spans, filters, lines or windows. Of the rules' analysis it takes whether a match has a widest
one, as that is what a cap is for. Rules that have only a path are not audited.

An audit may take long: after a second it tells how far it is (AuditCursor), and goes on when its
turn has come again, on any worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from vyre_dist.engine.audit_filters import AuditFilters, as_written
from vyre_dist.engine.audit_text import AuditText
from vyre_dist.engine.document import DocumentError
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.open_document import open_document
from vyre_dist.engine.tally import Difference
from vyre_dist.engine.tasks import (
    AuditAnswer,
    AuditCursor,
    AuditTask,
    TaskResult,
)
from vyre_dist.input_problem import AUDIT_DIFFERS, NOT_AUDITED
from vyre_dist.program.compiled import CompiledPack
from vyre_dist.rules.model import PackData

SLICE_SECONDS = 1.0
MOST_BYTES = 16 << 30
"""What is larger can't be done in an hour with any rules but a few."""
_LONGEST_STEP = 1 << 20
_SHOWN = 3


def most_seconds(size: int) -> float:
    """What the audit of a document of `size` bytes may take: four times what gitleaks' rules take
    over source code, up to an hour.
    """
    return min(3600.0, 60.0 + size * 4 / (1 << 20))


class _Match(Protocol):
    def start(self) -> int: ...
    def end(self) -> int: ...
    def group(self) -> bytes: ...
    def groups(self) -> Sequence[bytes | None]: ...


class _Pattern(Protocol):
    """google-re2's public methods: what lies outside of [pos, endpos) is context only."""

    def search(self, text: bytes, pos: int, endpos: int) -> _Match | None: ...
    def match(self, text: bytes, pos: int, endpos: int) -> _Match | None: ...


@dataclass(slots=True)
class _Rule:
    """`cap`: None for a rule with a widest match. `step`: see Auditor._capped."""

    pattern: _Pattern
    cap: int | None
    step: int = _LONGEST_STEP


class Auditor:
    """Audits documents for one pack.

    `slice_seconds`, `most`: what it may take before it tells how far it is, and in all.
    """

    def __init__(
        self,
        pack: PackData,
        compiled: CompiledPack,
        slice_seconds: float = SLICE_SECONDS,
        most: Callable[[int], float] = most_seconds,
    ) -> None:
        self._pack = pack
        self._slice_seconds = slice_seconds
        self._most = most
        self._compiled = {rule.index: rule for rule in compiled.rules}
        self._filters = AuditFilters(pack)
        self._reach = max((rule.cap for rule in compiled.rules), default=0)
        self._rules: dict[int, _Rule] = {}
        self._keywords = [[k.encode().lower() for k in rule.keywords] for rule in pack.rules]

    def audit(self, task: AuditTask, result: TaskResult) -> None:
        """Do a second's work for `task`; `result` tells what came of it."""
        began, piece = time.perf_counter(), task.piece
        if piece.size > MOST_BYTES:
            gib = MOST_BYTES >> 30
            self._leave(result, f"it has {piece.size:,} bytes, more than {gib} GiB")
            return
        most = self._most(piece.size)
        deadline = began + min(self._slice_seconds, most - task.cursor.seconds)
        try:
            evidence = task.evidence if piece.stamp is not None else ()
            with open_document(piece, evidence) as document:
                text = AuditText(document, self._reach)
                cursor = _Audit(self, task, text, deadline).go_on()
                text.check(task.evidence, piece.stamp is not None)
        except DocumentError as error:
            self._leave(result, f"{error.reason}: {error.detail}")
            return
        seconds = cursor.seconds + time.perf_counter() - began
        if cursor.rule < len(self._pack.rules):
            if seconds >= most:
                self._leave(result, f"it is not done after {seconds:.0f} s")
            else:
                result.audit = AuditAnswer(cursor._replace(seconds=seconds))
            return
        result.audited += 1
        result.audited_bytes += piece.size
        differences = cursor.found.differences(task.found)
        if not differences:
            result.audit = AuditAnswer(None)
            return
        result.audit_differs += 1
        result.audit = AuditAnswer(None, AUDIT_DIFFERS, self._told(differences))

    def rule(self, index: int) -> _Rule:
        """A rule, compiled."""
        if index not in self._rules:
            compiled = self._compiled.get(index)  # None of one that no text can match
            regex = self._pack.rules[index].regex or ""
            pattern = as_written(regex, None if compiled is None else compiled.pattern)
            unbounded = compiled is not None and compiled.max_width is None
            cap = compiled.cap if compiled is not None and unbounded else None
            self._rules[index] = _Rule(cast("_Pattern", pattern), cap)
        return self._rules[index]

    def applies(self, index: int, path: str) -> bool:
        """Whether there is something to audit of a rule in a document with this path."""
        return self._pack.rules[index].regex is not None and self._filters.applies(index, path)

    def keywords(self, index: int) -> list[bytes]:
        """A rule's keywords, in lower case."""
        return self._keywords[index]

    def secret(
        self, index: int, path: str, match: _Match, line: Callable[[], bytes]
    ) -> bytes | None:
        """See AuditFilters."""
        return self._filters.secret(index, path, match.group(), match.groups(), line)

    @property
    def rules(self) -> int:
        """How many rules there are."""
        return len(self._pack.rules)

    def _leave(self, result: TaskResult, why: str) -> None:
        result.not_audited += 1
        result.audit = AuditAnswer(None, NOT_AUDITED, why)

    def _told(self, differences: Sequence[Difference]) -> str:
        shown = [self._difference(each) for each in differences[:_SHOWN]]
        if len(differences) > _SHOWN:
            shown.append(f"and {len(differences) - _SHOWN:,} more differences")
        return "; ".join(shown)

    def _difference(self, d: Difference) -> str:
        rule = self._pack.rules[d.rule].id
        where = f"at {d.low}" if d.high == d.low + 1 else f"in [{d.low}, {d.high})"
        if d.here == d.there:
            return f"rule {rule!r}, {where}: google-re2 has another end, line, secret or group"
        return f"rule {rule!r}, {where}: google-re2 finds {d.here:,}, the scan {d.there:,}"


class _Audit:
    """One document's audit, up to `deadline`."""

    def __init__(self, auditor: Auditor, task: AuditTask, text: AuditText, deadline: float) -> None:
        self._auditor = auditor
        self._path = task.piece.path
        self._text = text
        self._deadline = deadline
        self._cursor = task.cursor._replace(found=task.cursor.found.copy())

    def go_on(self) -> AuditCursor:
        """Where it is now; one rule is begun at least, or gone on with."""
        while (index := self._cursor.rule) < self._auditor.rules:
            if self._auditor.applies(index, self._path) and not self._matches(index):
                break
            found, seconds = self._cursor.found, self._cursor.seconds
            self._cursor = AuditCursor(index + 1, seconds=seconds, found=found)
            if self._is_late():
                break
        return self._cursor

    def _is_late(self) -> bool:
        return time.perf_counter() >= self._deadline

    def _matches(self, index: int) -> bool:
        """Count a rule's findings from where the cursor is; whether those were all."""
        if not self._has_keyword(index):
            return True
        rule, text = self._auditor.rule(index), self._text
        pos, last_end = self._cursor.pos, self._cursor.last_end
        while pos <= text.size:
            stretch = text.at(pos)
            if rule.cap is None:
                match, upto = _next(rule.pattern, stretch.data, pos - stretch.base, stretch.size)
            else:
                match, upto = _capped(rule, stretch.data, pos - stretch.base, stretch.size)
            start = upto if match is None else match.start()
            if stretch.base + start >= stretch.upto:
                # nothing starts before that, and what starts there is not seen to its end
                pos = stretch.upto
            elif match is None:
                pos = stretch.base + upto
            elif start == match.end() and stretch.base + start == last_end:
                pos = last_end + 1  # an empty match where one has ended is not another one
            else:
                self._take(index, match, stretch.base)
                pos = last_end = stretch.base + match.end()
            self._cursor = self._cursor._replace(pos=pos, last_end=last_end)
            if self._is_late() and pos <= text.size:
                return False
        return True

    def _has_keyword(self, index: int) -> bool:
        """Whether one of the rule's keywords is in the document, or it has none: elsewhere it has
        no findings, whatever it matches.
        """
        known = self._cursor.keyword
        if known is None:
            keywords = self._auditor.keywords(index)
            known = not keywords or self._text.has_any(keywords)
            self._cursor = self._cursor._replace(keyword=known)
        return known

    def _take(self, index: int, match: _Match, base: int) -> None:
        """Count a match if it is a finding."""
        start, end = base + match.start(), base + match.end()
        secret = self._auditor.secret(
            index, self._path, match, lambda: self._text.lines_around(start, end)
        )
        if secret is None:
            return
        line, line_start = self._line_of(start)
        content = match.group()
        self._cursor.found.add(
            FindingRow(
                0,
                index,
                start,
                end,
                line,
                start - line_start + 1,
                content,
                secret,
                tuple(match.groups()),
                0.0,
                line + content.count(b"\n"),
                0,
                0,
            )
        )

    def _line_of(self, offset: int) -> tuple[int, int]:
        """(line, offset of its first byte) of `offset`, which is no less than the one before."""
        cursor = self._cursor
        at, line, line_start = cursor.line_at, cursor.line, cursor.line_start
        while at < offset:
            upto = min(offset, at + _LONGEST_STEP)
            between = self._text.read(at, upto)
            if number := between.count(b"\n"):
                line += number
                line_start = at + between.rfind(b"\n") + 1
            at = upto
        self._cursor = cursor._replace(line_at=at, line=line, line_start=line_start)
        return line, line_start


def _next(pattern: _Pattern, data: bytes, pos: int, size: int) -> tuple[_Match | None, int]:
    """The first match from `pos` on; without one, `size` + 1."""
    match = pattern.search(data, pos, size)
    return match, size + 1


def _capped(rule: _Rule, data: bytes, pos: int, size: int) -> tuple[_Match | None, int]:
    """The first match from `pos` on that has at most the cap's bytes, the best of those that have;
    or up to where there is none.

    google-re2 tells where any match starts. What starts within `step` bytes and fits ends within
    the cap behind them. `step` is halved, down to a byte, where something starts that does not fit.
    """
    cap = rule.cap or 0
    limit = min(size, pos + rule.step + cap)
    match = rule.pattern.search(data, pos, limit)
    after = size + 1 if limit == size else pos + rule.step
    if match is None or match.start() >= after:
        rule.step = min(2 * rule.step, _LONGEST_STEP)
        return None, after
    start = match.start()
    match = rule.pattern.match(data, start, min(size, start + cap))
    if match is None:
        rule.step = max(1, rule.step // 2)
    return match, start + 1
