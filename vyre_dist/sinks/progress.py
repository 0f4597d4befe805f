"""Progress: a bar, lines of text or lines of JSON. update() drives it; it has no thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, Protocol, TextIO

Clock = Callable[[], float]

STYLES = ("auto", "bar", "plain", "json")
"""auto: a bar where the stream is a terminal, else plain."""

_BAR_WITHOUT_COUNTS_SECONDS = 2.0


class Counts(NamedTuple):
    """What a run has done so far.

    The total is known in documents, once all are listed. It is not known in bytes: sizes are found
    out as files are read.
    """

    bytes: int = 0
    documents: int = 0
    documents_total: int | None = None
    findings: int = 0
    commit_rate_pct: float | None = None

    def __bool__(self) -> bool:
        """Whether there is something to tell."""
        return bool(self.bytes or self.documents)


class Progress(Protocol):
    """Shows counts. After `close` nothing else may be called."""

    def update(self, counts: Counts) -> None:
        """Note the counts, and show them if it is time."""

    def message(self, line: str) -> None:
        """Print a line of text, without a line break in it, to the same stream."""

    def aside(self) -> AbstractContextManager[None]:
        """Held while others write whole lines to the same terminal."""

    def close(self, *, ended: bool = True) -> None:
        """Take away what is shown. `ended`: the run came to its end, so show the last counts."""


class _Lines:
    """Progress as lines; messages are lines among them."""

    def __init__(self, stream: TextIO, interval: float, clock: Clock) -> None:
        self._stream, self._interval, self._clock = stream, interval, clock
        self._began = self._shown_at = clock()

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def message(self, line: str) -> None:
        """See Progress: a line among the others."""
        self._write(line)

    def aside(self) -> AbstractContextManager[None]:
        """See Progress; nothing to do."""
        return nullcontext()


class PlainProgress(_Lines):
    """Writes a line of text every `interval` seconds, for logs; none in a short run."""

    def update(self, counts: Counts) -> None:
        """Write a line if one is due and there is something to tell."""
        now = self._clock()
        if now - self._shown_at < self._interval or not counts:
            return
        self._shown_at = now
        seconds = now - self._began
        self._write(f"vyre-dist: {', '.join(_for_people(counts, seconds))} after {seconds:,.0f} s")

    def close(self, *, ended: bool = True) -> None:
        """See Progress: the summary follows."""


class JsonProgress(_Lines):
    """Writes JSON objects, one a line: at most one every `interval` seconds, and a last one with
    "final": true.
    """

    def __init__(self, stream: TextIO, interval: float, clock: Clock) -> None:
        super().__init__(stream, interval, clock)
        self._shown_bytes = 0
        self._counts = Counts()

    def update(self, counts: Counts) -> None:
        """Note the counts, and write a line if one is due."""
        self._counts = counts
        if self._clock() - self._shown_at >= self._interval and counts:
            self._line(final=False)

    def _line(self, *, final: bool) -> None:
        import json
        from datetime import UTC, datetime

        now = self._clock()
        counts = self._counts
        record = {
            "type": "progress",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "elapsed_s": round(now - self._began, 3),
            "bytes": counts.bytes,
            "documents": counts.documents,
            "documents_total": counts.documents_total,
            "findings": counts.findings,
            "mb_per_s": _rate(counts.bytes, now - self._began),
            "recent_mb_per_s": _rate(counts.bytes - self._shown_bytes, now - self._shown_at),
            "commit_rate_pct": counts.commit_rate_pct,
            "final": final,
        }
        self._shown_at, self._shown_bytes = now, counts.bytes
        self._write(json.dumps(record, separators=(",", ":")))

    def close(self, *, ended: bool = True) -> None:
        """Write the last line."""
        if ended:
            self._line(final=True)


def _rate(amount: int, seconds: float) -> float:
    return round(amount / seconds / 1e6, 3) if seconds > 0 else 0.0


def _for_people(counts: Counts, seconds: float) -> list[str]:
    total = "" if counts.documents_total is None else f"/{counts.documents_total:,}"
    parts = [
        f"{counts.bytes / 1e6:,.0f} MB",
        f"{_rate(counts.bytes, seconds):,.1f} MB/s",
        f"{counts.documents:,}{total} files",
        f"{counts.findings:,} findings",
    ]
    if counts.commit_rate_pct is not None:
        parts.append(f"{counts.commit_rate_pct:.0f} % committed")
    return parts


class BarProgress:
    """Draws rich's bar, again at most every `interval` seconds.

    The bar appears with the first counts, or after some seconds without any. A run that ends before
    has none.
    """

    def __init__(self, stream: TextIO, interval: float, clock: Clock) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._clock, self._interval, self._stream = clock, interval, stream
        self._began = clock()
        self._drawn_at = self._began - interval
        self._bar = RichProgress(
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(
                file=stream, force_terminal=True, markup=False, highlight=False, emoji=False
            ),
            auto_refresh=False,
            get_time=clock,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._shown = False

    def update(self, counts: Counts) -> None:
        """Note the counts, and redraw if it is time."""
        now = self._clock()
        if not self._shown:
            if not counts and now - self._began < _BAR_WITHOUT_COUNTS_SECONDS:
                return
            self._shown = True
            self._bar.start()
        self._bar.update(
            self._task,
            completed=counts.documents,
            total=counts.documents_total,
            description="  ".join(_for_people(counts, now - self._began)),
        )
        if now - self._drawn_at >= self._interval:
            self._drawn_at = now
            self._bar.refresh()

    def message(self, line: str) -> None:
        """See Progress: the line scrolls away above the bar."""
        with self.aside():
            self._stream.write(line + "\n")
            self._stream.flush()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """See Progress: the bar is gone, and comes back below what was written."""
        if not self._shown:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def close(self, *, ended: bool = True) -> None:  # noqa: ARG002 (the summary follows, or an error)
        """Remove the bar."""
        if self._shown:
            self._bar.stop()


def open_progress(
    stream: TextIO | None = None,
    style: str = "auto",
    *,
    json_interval: float = 5.0,
    plain_interval: float = 30.0,
    bar_interval: float = 0.1,
    clock: Clock = time.monotonic,
) -> Progress:
    """Progress on `stream` (standard error). `style`: one of STYLES. Intervals in seconds."""
    stream = stream if stream is not None else sys.stderr
    if style == "auto":
        style = "bar" if stream.isatty() else "plain"
    if style == "bar":
        return BarProgress(stream, bar_interval, clock)
    if style == "json":
        return JsonProgress(stream, json_interval, clock)
    if style == "plain":
        return PlainProgress(stream, plain_interval, clock)
    raise ValueError(f"progress {style!r}: there are {', '.join(STYLES)}")
