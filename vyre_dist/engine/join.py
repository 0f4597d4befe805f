"""Joiner: one split document's parts to its findings. A StitchTask asks for it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence

from vyre_dist.engine.batch import open_at_end
from vyre_dist.engine.content import Evidence
from vyre_dist.engine.document import Document, DocumentError, bounds_of, window_of
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import FindingRow, report_order
from vyre_dist.engine.findings import FindingBuilder, Seams
from vyre_dist.engine.open_document import open_document
from vyre_dist.engine.settled import SettledRows
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.stitch import Match, newline_sums, stitch
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import (
    AuditTask,
    DocumentNote,
    DocumentProblem,
    PartResult,
    Reach,
    StitchTask,
    Stretch,
    TaskResult,
    searched_elsewhere,
)
from vyre_dist.extract import DROPPED, REJECTED, RuleMatcher, Span
from vyre_dist.extract.overrun import Overrun
from vyre_dist.extract.spans import decode_spans
from vyre_dist.rules.keyword_table import merged_flags


class Joiner:
    """Joins documents' parts.

    `overlap`: the pack's. `overruns`: gives them by number, of the rules without a widest match.
    `audited`: whether a document is to be audited.
    """

    def __init__(
        self,
        builder: FindingBuilder,
        matchers: Mapping[int, RuleMatcher],
        overlap: int,
        overruns: Callable[[], Mapping[int, Overrun]],
        audited: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._builder = builder
        self._matchers = matchers
        self._overlap = overlap
        self._overruns = overruns
        self._audited = audited

    def join(self, task: StitchTask, rule_ids: Sequence[str], result: TaskResult) -> None:
        """Add what comes of `task` to `result`."""
        piece = task.piece
        done = TaskResult(findings=Findings(rule_ids))
        try:
            with open_document(piece, self._evidence(task)) as document:
                self._join(task, document, done)
                document.verify()  # what was read last belongs to the same file, too
                if done.documents and (now := document.size_now()) > piece.size:
                    grew = (
                        f"its first {piece.size} bytes were scanned, as many as it had when its "
                        f"turn came; now it has {now}"
                    )
                    result.notes.append(DocumentNote(piece.document, "grew", grew))
        except DocumentError as error:
            result.problems.append(DocumentProblem(piece.document, error.reason, error.detail))
        else:
            result.findings, result.reaches, result.keywords = (
                done.findings,
                done.reaches,
                done.keywords,
            )
            result.audits += done.audits
            result.add_metrics(done)

    def _evidence(self, task: StitchTask) -> list[Evidence]:
        """What the pieces found the document's bytes to be, with the bytes around each piece."""
        return [
            Evidence(*bounds_of(task.piece.size, part.start, part.end, self._overlap), part.digest)
            for part in task.parts
        ]

    def _join(self, task: StitchTask, document: Document, result: TaskResult) -> None:
        parts = sorted(task.parts, key=lambda part: part.start)
        _check_gapless(parts, document, task.stretch is None)
        rest = task.stretch or Stretch(
            elsewhere=searched_elsewhere(parts),
            keyword_flags=merged_flags([part.keyword_flags for part in parts]),
        )
        reaches = {reach.rule: reach for reach in rest.reaches}
        by_rule: dict[int, list[list[Match]]] = {rule: [[] for _ in parts] for rule in reaches}
        spans: list[Span] = []
        marks: list[Span] = []
        for i, part in enumerate(parts):
            found = decode_spans(bytes_of(part.spans)).get(0, [])
            if missing := sorted(set(part.unsearched).intersection(rest.elsewhere)):
                found += self._second_look(document, part, missing)
            for span in found:
                start, rule, end, flags = span
                if flags & DROPPED:
                    marks.append(span)
                    continue
                chains = by_rule.get(rule)
                if chains is None:
                    chains = by_rule[rule] = [[] for _ in parts]
                chains[i].append((start, end, flags))
        ends: dict[int, int] = {}
        while by_rule:
            rule, chains = by_rule.popitem()  # a dense rule's matches are many, and held once
            bounds = [(p.start, p.end, own) for p, own in zip(parts, chains, strict=True)]
            searched: list[tuple[int, int]] = []
            reach = reaches[rule].end if rule in reaches else 0
            joined = stitch(document, self._matchers[rule], bounds, searched, reach)
            if searched and self._matchers[rule].max_width is None:
                # what a piece says of longer matches is said of its own chain
                marks += [Span(start, rule, end, DROPPED) for start, end in searched]
            spans += [Span._make((start, rule, end, flags)) for start, end, flags in joined]
            ends[rule] = joined[-1][1] if joined else reach
            del chains, bounds, joined
        # where longer matches are looked for, those count that were ruled out, too
        marked = {mark.rule for mark in marks}
        marked.update([rule for rule, reach in reaches.items() if reach.uncapped])
        spans = [span for span in spans if span.flags != REJECTED or span.rule in marked] + marks
        spans.sort()
        stop = parts[-1].end
        known = dict.fromkeys(rest.keywords, True) | dict.fromkeys(rest.keyless, False)
        seams = Seams(stop, reaches, known)
        sums = newline_sums(parts, rest)
        settled = SettledRows(parts, document.size)
        judged = self._builder.build(
            task.piece.document,
            document,
            settled.take(spans, marked),
            sums,
            seams=seams,
            flags=rest.keyword_flags,
            counted=result,
        )
        rows: Iterator[FindingRow] = heapq.merge(settled.rows(sums), judged, key=report_order)
        if self._audited(task.piece.document):
            tally = Tally()
            rows = tally.seen(rows)
            result.audits.append(AuditTask(task.piece, tuple(self._evidence(task)), tally))
        # so many may match the same, or not, that the driver counts them
        result.findings.add(document.path, rows, numbered=False)
        result.keywords = tuple(
            [
                rule
                for rule in rest.asked
                if self._builder.has_keyword(rule, b"", document, rest.keyword_flags)
            ]
        )
        if stop == document.size:
            result.documents += 1
        else:
            result.reaches = _reaches(stop, ends, seams.uncapped)

    def _second_look(self, document: Document, part: PartResult, rules: list[int]) -> list[Span]:
        """The matches in a part of `rules` whose keywords are elsewhere in the document."""
        window = window_of(document, part.start, part.end, self._overlap)
        spans = [
            Span(start, rule, end, flags)
            for rule in rules
            for start, end, flags in self._matchers[rule].matches(window)
        ]
        overruns = self._overruns()
        unbounded = {rule: overruns[rule] for rule in rules if rule in overruns}
        spans += open_at_end(window, spans, unbounded, {})
        return [
            Span(start + window.base, rule, end + window.base, flags)
            for start, rule, end, flags in spans
        ]


def _reaches(
    stop: int, ends: Mapping[int, int], uncapped: Mapping[int, tuple[int, int]]
) -> tuple[Reach, ...]:
    """`ends`: of each rule's last match; those before `stop` say nothing."""
    reaching = {rule: end for rule, end in ends.items() if end >= stop}
    reaches = []
    for rule in sorted({*reaching, *uncapped}):
        at, last_end = uncapped.get(rule, (0, 0))
        reaches.append(Reach(rule, reaching.get(rule, 0), at, max(last_end, 0)))
    return tuple(reaches)


def _check_gapless(parts: Sequence[PartResult], document: Document, whole: bool) -> None:
    at = 0 if whole else parts[0].start
    for part in parts:
        if part.start != at:
            raise AssertionError(f"{document.path}: parts leave [{at}, {part.start}) out")
        at = part.end
    if whole and at != document.size:
        raise AssertionError(f"{document.path}: parts end at {at}, the document at {document.size}")
