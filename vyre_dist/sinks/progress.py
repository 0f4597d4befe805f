"""How far a run is: a bar on a terminal, JSON lines otherwise. Driven by update(): no thread of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TextIO

Clock = Callable[[], float]


class Progress(Protocol):
    """Counts so far, absolute. After `close` nothing else may be called.

    The whole is known in documents, once all are listed, and not in bytes: those are found out as they are read.
    """

    def update(
        self,
        bytes_done: int,
        documents: int = 0,
        documents_total: int | None = None,
        findings: int = 0,
        commit_rate_pct: float | None = None,
    ) -> None:
        """Note the counts; what is shown, and when, is the implementation's."""

    def message(self, line: str) -> None:
        """Print a line of text (no line break in it) to the same stream."""

    def aside(self) -> AbstractContextManager[None]:
        """While this is held, others may write whole lines to the same terminal."""

    def close(self) -> None:
        """Show the last counts."""


class JsonProgress:
    """One JSON object a line: at most one every `interval` seconds, and a last one with "final": true."""

    def __init__(self, stream: TextIO, interval: float, clock: Clock) -> None:
        self._stream, self._interval, self._clock = stream, interval, clock
        self._began = self._shown_at = clock()
        self._shown_bytes = 0
        self._counts: tuple[int, int, int | None, int, float | None] = (0, 0, None, 0, None)

    def update(
        self,
        bytes_done: int,
        documents: int = 0,
        documents_total: int | None = None,
        findings: int = 0,
        commit_rate_pct: float | None = None,
    ) -> None:
        """Note the counts, and write a line if one is due."""
        self._counts = (bytes_done, documents, documents_total, findings, commit_rate_pct)
        if self._clock() - self._shown_at >= self._interval:
            self._line(final=False)

    def _line(self, *, final: bool) -> None:
        import json

        now = self._clock()
        done, documents, total, findings, commit = self._counts
        record = {
            "type": "progress",
            "elapsed_s": round(now - self._began, 3),
            "bytes": done,
            "documents": documents,
            "documents_total": total,
            "findings": findings,
            "mb_per_s": _rate(done, now - self._began),
            "recent_mb_per_s": _rate(done - self._shown_bytes, now - self._shown_at),
            "commit_rate_pct": commit,
            "final": final,
        }
        self._shown_at, self._shown_bytes = now, done
        self._stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._stream.flush()

    def message(self, line: str) -> None:
        """See Progress: a line of plain text among those of JSON."""
        self._stream.write(line + "\n")
        self._stream.flush()

    def aside(self) -> AbstractContextManager[None]:
        """See Progress; nothing to do."""
        return nullcontext()

    def close(self) -> None:
        """Write the last line."""
        self._line(final=True)


def _rate(amount: int, seconds: float) -> float:
    return round(amount / seconds / 1e6, 3) if seconds > 0 else 0.0


class BarProgress:
    """rich's bar; redrawn by update(), at most every `interval` seconds."""

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
            console=Console(file=stream, force_terminal=True, markup=False, highlight=False, emoji=False),
            auto_refresh=False,
            get_time=clock,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def update(
        self,
        bytes_done: int,
        documents: int = 0,
        documents_total: int | None = None,
        findings: int = 0,
        commit_rate_pct: float | None = None,
    ) -> None:
        """Note the counts, and redraw if it is time."""
        now = self._clock()
        files = f"{documents:,}" + (f"/{documents_total:,}" if documents_total is not None else "")
        parts = [
            f"{bytes_done / 1e6:,.0f} MB",
            f"{_rate(bytes_done, now - self._began):,.1f} MB/s",
            f"{files} files",
            f"{findings:,} findings",
        ]
        if commit_rate_pct is not None:
            parts.append(f"{commit_rate_pct:.0f} % committed")
        self._bar.update(self._task, completed=documents, total=documents_total, description="  ".join(parts))
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
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def close(self) -> None:
        """Remove the bar: the summary follows."""
        self._bar.stop()


def open_progress(
    stream: TextIO | None = None,
    *,
    json_interval: float = 5.0,
    bar_interval: float = 0.1,
    clock: Clock = time.monotonic,
) -> Progress:
    """A bar where `stream` (standard error) is a terminal, JSON lines otherwise. Intervals in seconds."""
    stream = stream if stream is not None else sys.stderr
    if stream.isatty():
        return BarProgress(stream, bar_interval, clock)
    return JsonProgress(stream, json_interval, clock)
