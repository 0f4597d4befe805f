"""The jsonl format: one JSON object a line, findings as they come, then the summary.

The fields are in docs/output-formats.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import repeat

from vyre_dist.finding import Finding, FindingBatch, ReportedRule
from vyre_dist.sinks.json_text import Rounded, quoted, quoted_bytes
from vyre_dist.sinks.many_rows import RowsOrColumns
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.sinks.text import lossy_path, summary_record

# ASCII output: no control or direction character of a hostile file reaches a terminal as itself
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class JsonLinesSink:
    """Writes the jsonl format."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rounded = Rounded()
        self._texts = RowsOrColumns(self._lines, self._columns)

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings, one line each."""
        for text in self._texts.of(findings):
            self._output.stream.write(text)

    def _columns(self, batch: FindingBatch) -> memoryview:
        """The same lines. Raises NotPlainError."""
        from vyre_dist.sinks import arrow_text as by

        b = batch
        pairs, number = by.each_path(b.path, b.rule)
        begins = [_begin(b.rules[rule].id, path) + ',"line":' for rule, path in pairs]
        match = by.texts(b.match, by.JSON_ODD, by.json_body)
        same = b.secret is b.match
        secret = match if same else by.texts(b.secret, by.JSON_ODD, by.json_body)
        own: Sequence[str | None] = b.secret_id or ()
        groups: Sequence[object] = ()
        if any(b.groups):
            groups = ('"', by.strings([_groups(each) if each else "" for each in b.groups]))
        # fmt: off
        return by.lines((
            by.picked(begins, number), by.numbers(b.line), ',"column":',
            by.numbers(b.column), ',"start":', by.numbers(b.start), ',"end":', by.numbers(b.end),
            ',"match":"', match, '","secret":"', secret, *groups,
            by.rounded(b.entropy, self._rounded, ',"entropy":' if groups else '","entropy":'),
            by.picked([_end(rule) for rule in b.rules], b.rule), by.strings(b.fingerprint), '"',
            by.strings(["" if each is None else _secret_id(each) for each in own]) if own else "",
            "}\n",
        ))
        # fmt: on

    def _lines(self, batch: FindingBatch) -> Iterator[str]:
        # put together by hand: an encoder that is given a dict takes four times as long
        b, rounded = batch, self._rounded
        ends = list(map(_end, b.rules))
        begins: dict[int, str] = {}
        last_path = None
        # fmt: off
        for rule, path, line, column, start, end, match, secret, groups, entropy, name, own in zip(
            b.rule, b.path, b.line, b.column, b.start, b.end, b.match, b.secret, b.groups,
            b.entropy, b.fingerprint, b.secret_id or repeat(None),
            strict=False,
        ):
            # fmt: on
            if path is not last_path:
                begins.clear()
                last_path = path
            begin = begins.get(rule)
            if begin is None:
                begin = begins[rule] = _begin(b.rules[rule].id, path)
            shown, exact = quoted_bytes(match)
            own_match = shown if exact is None else f'{shown},"match_base64":"{exact}"'
            if secret is not match:
                shown, exact = quoted_bytes(secret)
            own_secret = shown if exact is None else f'{shown},"secret_base64":"{exact}"'
            yield (
                f'{begin},"line":{line},"column":{column},"start":{start},"end":{end},'
                f'"match":{own_match},"secret":{own_secret}{_groups(groups) if groups else ""},'
                f'"entropy":{rounded[entropy]}{ends[rule]}{name}"'
                f'{"" if own is None else _secret_id(own)}}}\n'
            )

    def close(self, summary: RunSummary) -> None:
        """Append the summary's line and publish the file."""
        self._output.stream.write(
            (_encode({"type": "summary", **summary_record(summary)}) + "\n").encode("ascii")
        )
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()


def _begin(rule_id: str, path: str) -> str:
    shown, exact = lossy_path(path)
    begin = f'{{"type":"finding","rule_id":{quoted(rule_id)},"path":{quoted(shown)}'
    return begin if exact is None else f'{begin},"path_base64":"{exact}"'


def _end(rule: ReportedRule) -> str:
    tags = _encode(list(rule.tags))
    return f',"description":{quoted(rule.description)},"tags":{tags},"fingerprint":"'


def _groups(groups: Sequence[bytes | None]) -> str:
    texts = [("null", None) if group is None else quoted_bytes(group) for group in groups]
    shown = f',"groups":[{",".join([text for text, _ in texts])}]'
    if all(exact is None for _, exact in texts):
        return shown
    exacts = ["null" if exact is None else f'"{exact}"' for _, exact in texts]
    return f'{shown},"groups_base64":[{",".join(exacts)}]'


def _secret_id(own: str) -> str:
    return f',"secret_id":"{own}"'
