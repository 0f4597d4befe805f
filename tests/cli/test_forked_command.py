"""The forks that the tests run are what a shell would start, and no run gets another one's
result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_command import ForkedCommand

Cli = Callable[..., Any]


def test_a_run_that_takes_too_long_is_ended_and_the_next_one_is_itself(
    forked_command: ForkedCommand, pack: Path, tree: Path, environment: dict[str, str]
) -> None:
    """The exit code of what was ended is not taken for that of the next one."""
    os.mkfifo(tree / "pipe")
    # its being opened has the scan wait: nobody writes
    forever = ["scan", "-r", str(pack), "-o", "pipe", "a.txt"]
    with pytest.raises(TimeoutError):
        forked_command.run(forever, cwd=tree, env=environment, timeout=0.1)
    for arguments, code in ((["--nonsense"], 2), (["scan", "-r", str(pack), "a.txt"], 1)):
        assert (
            forked_command.run(arguments, cwd=tree, env=environment, timeout=60).returncode == code
        )


def test_a_fork_is_what_a_shell_starts(cli: Cli, started_cli: Cli, pack: Path) -> None:
    """The same exit codes and words, to the byte, where those of a scan can be compared."""
    for arguments in (
        ["scan", "-r", pack, "-f", "csv", ".", "missing"],
        ["rules", "check", pack],
        ["scan", "-r", "missing.toml"],
    ):
        forked, started = cli(*arguments), started_cli(*arguments)
        assert (forked.code, forked.out, forked.err) == (started.code, started.out, started.err)
