"""`vyre-dist scan` on a terminal: what a person sees when all is over, by way of a small model of
the screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from without_hyperscan import told

COLUMNS = 100
_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def screen(data: str) -> list[str]:
    """The lines that stand on an endless screen after `data`: text, CR, LF, cursor up, erase line;
    colours are dropped.
    """
    lines, row, column = [""], 0, 0
    at = 0
    while at < len(data):
        if found := _SEQUENCE.match(data, at):
            at = found.end()
            match found[2]:
                case "A":
                    row -= int(found[1] or 1)
                case "K":
                    assert found[1] == "2"
                    lines[row] = ""
                case "m" | "h" | "l":
                    pass
                case other:
                    raise AssertionError(f"unknown sequence {found[0]!r} ({other})")
            continue
        char = data[at]
        at += 1
        if char == "\r":
            column = 0
        elif char == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            assert char >= " ", char
            line = lines[row].ljust(column)
            lines[row] = line[:column] + char + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


def test_the_screen_model() -> None:
    """The model itself: overwriting, erasing, going up."""
    assert screen("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[31mO\x1b[0m\n!") == ["One", " !"]


@pytest.fixture
def on_terminal(tree: Path, environment: dict[str, str]) -> Callable[..., tuple[int, str]]:
    """on_terminal(args…): (exit code, all that the terminal got), with standard output and error on
    one terminal.
    """

    def run(*arguments: str, before: str = "") -> tuple[int, str]:
        terminal, other_end = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        code = f"{before}\nfrom vyre_dist.cli.main import main\nmain()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tree,
            env={**environment, "TERM": "xterm"},
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
        )
        os.close(other_end)
        seen = b""
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            seen += data
        os.close(terminal)
        return process.wait(30), told(seen.decode())

    return run


def test_findings_and_bar_do_not_garble_each_other(
    on_terminal: Callable[..., tuple[int, str]], tree: Path, pack: Path
) -> None:
    """With bar, findings and messages on one terminal, each finding stands whole on its line and no
    bar is left.
    """
    for i in range(40):
        (tree / f"z{i:02d}").write_text(f"tok_{i:012d}\n" + " " * 5000)
    # small shards, so that the findings come in many portions with a bar in between
    code, seen = on_terminal(
        "scan", "-r", str(pack), "--shard-size", "5K", "-j", "2", ".", "missing"
    )
    assert code == 3
    assert "━" in seen and "MB/s" in seen
    lines = screen(seen)
    expected = ["a.txt:2:7 token: tok_aaaaaaaaaaaa"]
    expected += [f"z{i:02d}:1:1 token: tok_{i:012d}" for i in range(40)]
    expected += ["sub/b.txt:1:1 token: tok_bbbbbbbbbbbb"]
    about = "    A token of the shop; entropy"
    shown = [line for line in lines if not line.startswith(about)]
    assert shown[: len(expected)] == expected
    summary = shown[len(expected) :]
    # the problem is told once, in the summary
    assert summary[0] == "not scanned: missing: not-found (No such file or directory)"
    assert not any("━" in line or "vyre-dist:" in line for line in lines)
    assert sum("42 findings in 43 documents" in line for line in summary) == 1
    assert summary[-1] == "INCOMPLETE: 1 input not scanned to the end"
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l"), "the cursor is hidden at the end"


def test_messages_stand_above_the_bar(
    on_terminal: Callable[..., tuple[int, str]], tree: Path, pack: Path
) -> None:
    """A warning while the bar is shown is a line of its own; the bar goes on below it."""
    kill = (
        "import os, signal\n"
        "from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class\n"
        "class Deadly(cpu_backend_class()):\n"
        "    def _candidate_windows(self, windows):\n"
        "        if any(b'POISON' in bytes(w.data) for w in windows): os.kill(os.getpid(), "
        "signal.SIGKILL)\n"
        "        return super()._candidate_windows(windows)\n"
        "BACKENDS['deadly'] = lambda pack, cache, _: Deadly(pack, cache)\n"
    )
    (tree / "poison").write_text("POISON")
    code, seen = on_terminal(
        "scan", "-r", str(pack), "--backend", "deadly", "-j", "1", "-o", "found", ".", before=kill
    )
    assert code == 3
    lines = screen(seen)
    assert sum("was lost (process" in line for line in lines) >= 2
    assert all(line.startswith("vyre-dist: ") for line in lines), lines
    assert any(line.startswith("vyre-dist: not scanned: poison: quarantined (") for line in lines)


def test_a_terminal_bar_can_be_turned_off(
    on_terminal: Callable[..., tuple[int, str]], pack: Path
) -> None:
    """--progress never: findings and summary in colour, nothing that moves."""
    code, seen = on_terminal("scan", "-r", str(pack), "--progress", "never", "a.txt")
    assert code == 1 and "\x1b[?25l" not in seen and "━" not in seen
    assert screen(seen)[0] == "a.txt:2:7 token: tok_aaaaaaaaaaaa"


def test_parquet_is_not_written_to_a_terminal(
    on_terminal: Callable[..., tuple[int, str]], pack: Path
) -> None:
    """Binary output to a person is refused with the way out."""
    code, seen = on_terminal("scan", "-r", str(pack), "-f", "parquet", "a.txt")
    assert code == 2 and "parquet is binary and this is a terminal" in seen
