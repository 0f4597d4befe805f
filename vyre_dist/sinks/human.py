"""The human format: one block a finding and the summary, coloured on a terminal.

Everything that comes from a finding is escaped (text.visible). Only a terminal needs rich.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputProblem
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary, WorkerSummary
from vyre_dist.sinks.text import visible, visible_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Bytes of a match that are shown; formats for machines have all of it.
MAX_SHOWN = 240


#: What is left out by default, and the option that takes it.
_TAKEN_BY = {"gitignored": " (--no-gitignore takes them)", "symlink": " (--follow takes them)"}
#: Nodes that a line names; formats for machines have all of them.
_MOST_NODES = 4


def shorten(data: bytes, limit: int = MAX_SHOWN) -> str:
    """At most `limit` bytes of `data`, escaped, and how many more there are."""
    if len(data) <= limit:
        return visible_bytes(data)
    cut = limit
    while cut > limit - 4 and 0x80 <= data[cut] < 0xC0:  # not inside a UTF-8 character
        cut -= 1
    return f"{visible_bytes(data[:cut])}… (+{len(data) - cut} bytes)"


def headline(summary: RunSummary) -> str:
    """The run in one line."""
    documents, size = summary.metrics.documents, summary.metrics.bytes
    speed = f"{summary.megabytes_per_second:,.1f} MB/s"
    parts = [
        f"{_count(summary.findings, 'finding')} in {_count(documents, 'document')}",
        f"{_size(size)} in {summary.seconds:.2f} s ({speed})",
    ]
    where = [
        summary.backend,
        summary.pool,
        _count(summary.workers, "worker") if summary.workers else "",
    ]
    parts.append(", ".join(visible(w) for w in where if w))
    return "; ".join(p for p in parts if p)


def details(summary: RunSummary) -> list[str]:
    """The further lines of the summary: workers, metrics, and what was left out on purpose."""
    lines = worker_lines(summary)
    metrics = summary.metrics
    if metrics.commit_rate_pct is not None:
        attempted = metrics.committed + metrics.rolled_back
        lines.append(
            f"speculation: {metrics.committed:,} of {attempted:,} tiles committed "
            f"({metrics.commit_rate_pct:.1f} %)"
        )
    lines += metrics.metric_lines()
    if summary.secret_key:
        lines.append(f"secret ids: under the key {summary.secret_key}")
    if summary.store_problem:
        lines.append(f"done without {visible(summary.store_problem)}")
    if summary.skipped:
        counts = (
            f"{count:,} {visible(reason)}" + _TAKEN_BY.get(reason, "")
            for reason, count in sorted(summary.skipped.items())
        )
        lines.append("left out on purpose: " + ", ".join(counts))
    lines += [
        f"rules left out ({visible(reason)}): {len(rules):,}"
        for reason, rules in summary.rules_left_out.items()
    ]
    return lines


def worker_lines(summary: RunSummary) -> list[str]:
    """What the workers used, a line for each kind of them; none for local processes that scanned
    with this machine's processor.
    """
    used = summary.workers_used
    kinds: dict[tuple[str, str, str], list[WorkerSummary]] = {}
    for each in used:
        kinds.setdefault((each.backend, each.device, each.version), []).append(each)
    said = (
        summary.pool != "local"
        or len(kinds) > 1
        or any(set(w.bytes_by_backend) - {"cpu"} for w in used)
    )
    lines = [_kind_line(*kind, same) for kind, same in sorted(kinds.items())] if said else []
    return lines + [f"left out: {visible(why)}" for why in summary.left_out]


def _kind_line(backend: str, device: str, version: str, same: Sequence[WorkerSummary]) -> str:
    nodes = list(dict.fromkeys(each.node for each in same))
    named = ", ".join(nodes[:_MOST_NODES])
    if len(nodes) > _MOST_NODES:
        named += f" and {len(nodes) - _MOST_NODES:,} more nodes"
    scanned: dict[str, int] = {}
    for each in same:
        for name, size in each.bytes_by_backend.items():
            scanned[name] = scanned.get(name, 0) + size
    parts = [
        f"{_size(size)} by {name}"
        for name, size in sorted(scanned.items(), key=lambda item: -item[1])
    ]
    on = f" on {device}" if device else ""
    gpus = list(dict.fromkeys(gpu for each in same for gpu in each.gpus))
    # of a cluster's nodes they have the same numbers
    if backend == "cuda" and len(nodes) == 1 and len(gpus) > 1:
        on += f" {', '.join(gpus)}"
    line = (
        f"workers: {len(same):,} × {backend}{on}, vyre-dist {version}, at {named}: "
        f"{', '.join(parts) or 'no work'}"
    )
    return visible(line)


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB" if number >= 1_000_000 else f"{number / 1e3:,.1f} kB"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"


class HumanSink:
    """Writes the human format; the stream decides between plain and coloured."""

    def __init__(self, output: Output) -> None:
        self._output = output
        # characters that a terminal's encoding lacks are escaped
        self._encoding = getattr(output.stream, "encoding", None) or "utf-8"

    def _emit(self, text: str) -> None:
        self._output.stream.write(text.encode(self._encoding, "backslashreplace"))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings and flush: a person is watching."""
        if self._output.is_terminal:
            self._rich([_coloured(f) for f in findings])
        else:
            self._emit("".join(_plain(f) for f in findings))
        self._output.stream.flush()

    def close(self, summary: RunSummary) -> None:
        """Append problems and summary, and publish the file."""
        if self._output.is_terminal:
            self._rich(_coloured_summary(summary))
        else:
            self._emit("".join(line + "\n" for line in _plain_summary(summary)))
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()

    def _rich(self, items: Sequence[RenderableType]) -> None:
        from rich.console import Console

        text = io.StringIO()
        console = Console(
            file=text,
            force_terminal=True,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )
        for item in items:
            console.print(item)
        self._emit(text.getvalue())


def _where(finding: Finding) -> str:
    return visible(finding.path) + (f":{finding.line}:{finding.column}" if finding.line > 0 else "")


def _about(finding: Finding) -> str:
    parts = [
        finding.description,
        f"entropy {finding.entropy:.2f}" if finding.secret else "",
        *finding.tags,
    ]
    return "; ".join(visible(p) for p in parts if p)


def _plain(finding: Finding) -> str:
    shown = shorten(finding.match) if finding.line > 0 else "(the file itself)"
    about = _about(finding)
    return f"{_where(finding)} {visible(finding.rule_id)}: {shown}\n" + (
        f"    {about}\n" if about else ""
    )


def _plain_summary(summary: RunSummary) -> list[str]:
    lines = [f"{p.heading}: {_which(p)}: {_why(p.reason, p.detail)}" for p in summary.problems]
    lines += [f"note: {visible(n.path)}: {_why(n.reason, n.detail)}" for n in summary.notes]
    lines += [headline(summary), *details(summary)]
    by_rule = sorted(summary.findings_by_rule.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"  {count:>8,}  {visible(rule)}" for rule, count in by_rule]
    return lines + last_lines(summary)


def last_lines(summary: RunSummary) -> list[str]:
    """What nobody should overlook."""
    differ = sum(problem.of_audit for problem in summary.problems)
    lines = []
    if differ:
        lines.append(f"AUDIT: {_count(differ, 'document')} with other findings than google-re2's")
    if not summary.complete and (missing := len(summary.problems) - differ):
        lines.append(f"INCOMPLETE: {_count(missing, 'input')} not scanned to the end")
    return lines


def _which(problem: InputProblem) -> str:
    # a run that was given up is a problem without a path
    return visible(problem.path) or ("the rest" if problem.reason == "aborted" else "''")


def _why(reason: str, detail: str) -> str:
    return visible(f"{reason} ({detail})" if detail else reason)


def _coloured(finding: Finding) -> RenderableType:
    from rich.text import Text

    text = Text(_where(finding), style="cyan")
    text.append(" ")
    text.append(visible(finding.rule_id), style="bold yellow")
    text.append(": ", style="default")
    if finding.line > 0:
        before, secret, after = (
            finding.match.partition(finding.secret) if finding.secret else (finding.match, b"", b"")
        )
        room = MAX_SHOWN
        for part, style in ((before, "default"), (secret, "bold red"), (after, "default")):
            if part and room > 0:
                text.append(shorten(part, room), style=style)
            elif part:
                text.append(f"… (+{len(part)} bytes)")
            room -= len(part)
    else:
        text.append("(the file itself)", style="italic")
    about = _about(finding)
    if about:
        text.append(f"\n    {about}", style="dim")
    return text


def _coloured_summary(summary: RunSummary) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    items: list[RenderableType] = []
    for p in summary.problems:
        line = Text(f"{p.heading}: ", style="bold red")
        line.append(_which(p), style="cyan")
        line.append(f": {_why(p.reason, p.detail)}", style="default")
        items.append(line)
    for n in summary.notes:
        line = Text("note: ", style="bold")
        line.append(visible(n.path), style="cyan")
        line.append(f": {_why(n.reason, n.detail)}", style="default")
        items.append(line)
    if summary.findings_by_rule:
        table = Table("rule", box=None, header_style="bold", pad_edge=False)
        table.add_column("findings", justify="right")
        for rule, count in sorted(
            summary.findings_by_rule.items(), key=lambda item: (-item[1], item[0])
        ):
            table.add_row(Text(visible(rule), style="yellow"), f"{count:,}")
        items.append(table)
    items.append(Text(headline(summary), style="bold"))
    items += [Text(line, style="dim") for line in details(summary)]
    items += [Text(line, style="bold red") for line in last_lines(summary)]
    return items
