"""Progress: how often something is shown, and what, with the clock in the test's hand."""

from __future__ import annotations

import io
import json
import os
import pty
import threading
from datetime import datetime

import pytest

from vyre_dist.sinks import open_progress
from vyre_dist.sinks.progress import BarProgress, Counts, JsonProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_json_lines_come_at_the_interval_and_at_the_end() -> None:
    """At most a line every interval, rates from the clock, and a last line with the last counts."""
    clock, out = Clock(), io.StringIO()
    progress = open_progress(out, "json", json_interval=5.0, clock=clock)
    assert isinstance(progress, JsonProgress)
    for second in range(1, 13):
        clock.now = 100.0 + second
        size = second * 1_000_000 if second < 8 else second * 2_000_000
        progress.update(Counts(size, second * 10, 400, second, 62.5))
    progress.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["elapsed_s"], line["final"]) for line in lines] == [
        (5.0, False),
        (10.0, False),
        (12.0, True),
    ]
    assert datetime.fromisoformat(lines[0].pop("time")).utcoffset() is not None
    assert lines[0] == {
        "type": "progress",
        "elapsed_s": 5.0,
        "bytes": 5_000_000,
        "documents": 50,
        "documents_total": 400,
        "findings": 5,
        "mb_per_s": 1.0,
        "recent_mb_per_s": 1.0,
        "commit_rate_pct": 62.5,
        "final": False,
    }
    assert (lines[1]["mb_per_s"], lines[1]["recent_mb_per_s"]) == (2.0, 3.0)
    assert lines[2]["bytes"] == 24_000_000


def test_a_run_without_updates_has_one_line() -> None:
    """A run that is over at once still says how it ended, with no division by zero."""
    out = io.StringIO()
    open_progress(out, "json", clock=Clock()).close()
    (line,) = map(json.loads, out.getvalue().splitlines())
    assert (line["bytes"], line["mb_per_s"], line["final"]) == (0, 0.0, True)


@pytest.mark.parametrize("style", ["json", "plain", "bar"])
def test_a_run_that_does_not_come_to_its_end_shows_nothing(style: str) -> None:
    """Before anything was scanned there is nothing to show: a usage error that takes its time
    stands alone.
    """
    clock, out = Clock(), io.StringIO()
    progress = open_progress(out, style, clock=clock)
    for _ in range(100 if style != "bar" else 1):
        clock.now += 1.0
        progress.update(Counts())
    progress.close(ended=False)
    assert out.getvalue() == ""


def test_plain_lines_come_every_half_minute() -> None:
    """A stream that is no terminal gets a line of text every 30 seconds, and none at the end: the
    summary follows.
    """
    clock, out = Clock(), io.StringIO()
    progress = open_progress(out, clock=clock)
    for second in range(1, 72):
        clock.now = 100.0 + second
        total = 7_200 if second > 40 else None
        progress.update(Counts(second * 1_000_000, second * 100, total, second))
    progress.message("vyre-dist: a message")
    progress.close()
    assert out.getvalue().splitlines() == [
        "vyre-dist: 30 MB, 1.0 MB/s, 3,000 files, 30 findings after 30 s",
        "vyre-dist: 60 MB, 1.0 MB/s, 6,000/7,200 files, 60 findings after 60 s",
        "vyre-dist: a message",
    ]


def test_a_style_can_be_asked_for_anywhere() -> None:
    """A bar off a terminal and JSON on one; an unknown style names the known ones."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    assert isinstance(open_progress(terminal), BarProgress)
    assert isinstance(open_progress(terminal, "json"), JsonProgress)
    assert isinstance(open_progress(io.StringIO(), "bar"), BarProgress)
    with pytest.raises(ValueError, match="auto, bar, plain, json"):
        open_progress(terminal, "dots")


def test_a_terminal_gets_a_bar() -> None:
    """On a real terminal the bar shows size, rate, files, findings and commit rate, and not too
    often.
    """
    leader, follower = pty.openpty()
    seen = bytearray()

    def drain() -> None:
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # EIO: the other side is closed
                return
            if not data:
                return
            seen.extend(data)

    reader = threading.Thread(target=drain)
    reader.start()
    clock = Clock()
    with open(follower, "w", encoding="utf-8") as terminal:
        os.environ["COLUMNS"] = "120"
        try:
            progress = open_progress(terminal, bar_interval=0.1, clock=clock)
            assert isinstance(progress, BarProgress)
            for step in range(1000):
                clock.now += 0.001
                progress.update(Counts(step * 10_000, step, 1_234, 3, 41.7))
            progress.close()
        finally:
            del os.environ["COLUMNS"]
    reader.join(timeout=30)
    os.close(leader)
    text = seen.decode("utf-8")
    assert "files" in text and "3 findings" in text and "MB/s" in text and "42 % committed" in text
    assert "/1,234 files" in text
    assert text.count("findings") <= 15


def test_a_bar_needs_no_total() -> None:
    """While the walk goes on the total is not known; the bar pulses."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    progress = open_progress(out, clock=Clock())
    progress.update(Counts(1_000_000, 1))
    progress.close()
    assert "1 MB" in out.getvalue()
