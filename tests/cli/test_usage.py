"""Wrong use is exit code 2 with the cure in the message; help says what there is; the command
starts quickly.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

BAD_PACK = """\
schema = 1
[[rules]]
id = "a"
regex = '(('
colour = 3
[[rules]]
id = "a"
regex = 'x{5,2}'
[[rules]]
regex = 'ok'
entropy = "high"
"""
BAD_PACK_PROBLEMS = [
    "  bad.toml:4:11: rule 'a': regex, column 2: missing ) of the group that opens here",
    "  bad.toml:5:1: rule 'a': unknown key 'colour'",
    "  bad.toml:6: rule 'a': id is already taken by the rule at bad.toml:2 (ids are unique)",
    "  bad.toml:8:11: rule 'a': regex, column 2: invalid repeat {5,2}: the maximum is below the "
    "minimum",
    "  bad.toml:9:1: rule '#3': has no id (every rule needs one, unique in the pack)",
    "  bad.toml:11:1: rule '#3': entropy is a string (it must be a number)",
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage: vyre-dist"),
        (["sacn"], "No such command 'sacn'"),
        (["scan", "--sahrd-size", "1"], "No such option"),
        (["scan", "--shard-size", "0"], "a shard size of 0 bytes: allowed are 1 to 1073741824"),
        (
            ["scan", "--shard-size", "2G"],
            "a shard size of 2147483648 bytes: allowed are 1 to 1073741824",
        ),
        (
            ["scan", "--shard-size", "12 parsecs"],
            "'12 parsecs' is no size: write a number of bytes",
        ),
        (
            ["scan", "--shard-size", "9" * 400],
            "999999 is more than any file has: write a smaller number",
        ),
        (["scan", "--max-file-size", "9000000T"], "'9000000T' is more than any file has"),
        (["scan", "--max-match-bytes", "0"], "max_match_bytes of 0"),
        (["scan", "--max-file-size", "-1"], "'-1' is no size"),
        (
            ["scan", "--format", "xml"],
            "unknown format 'xml': use one of human, jsonl, sarif, csv, parquet",
        ),
        (["scan", "--workers", "0"], "0 is not in the range x>=1"),
        (
            ["scan", "--backend", "abacus"],
            "unknown backend 'abacus': use one of auto, cpu, cuda, reference",
        ),
        (["scan", "--speculation", "yes"], "'yes' is not one of 'auto', 'force', 'disable'"),
        (["scan", "--rules", "nowhere.toml"], "no rule pack 'nowhere.toml'"),
        (["scan", "--rules", "builtin:nothing"], "builtin:cloud"),
        (["scan", "--store", "ftp://x"], "no such kind of store as 'ftp'"),
        (["scan", "--store", "redis://:hush@h:x/0"], "its port or its options cannot be read"),
        (["scan", "--pool", "local", "--address", "h:1"], "--address names a Ray cluster"),
        (["scan", "--autoscale"], "--autoscale is for a Ray cluster"),
        (["rules", "check", "nowhere.toml"], "no rule pack 'nowhere.toml'"),
        (["autotune", "import", "nowhere.toml"], "does not exist"),
        (["submit"], "Missing argument"),
    ],
)
def test_wrong_use_is_2_and_says_what_would_be_right(
    cli: Cli, arguments: list[str], message: str
) -> None:
    """Nothing is scanned, nothing is on standard output, and the message names what was found."""
    run = cli(*arguments)
    assert run.code == 2 and run.out == b""
    assert message in run.err and "Traceback" not in run.err
    assert "hush" not in run.err


@pytest.mark.parametrize(
    "arguments", [["scan", "-r", "bad.toml", "."], ["rules", "check", "bad.toml"]]
)
def test_all_that_is_wrong_with_a_pack_is_said_at_once(
    cli: Cli, tree: Path, arguments: list[str]
) -> None:
    """Each problem with file, line, column and rule; nothing is scanned."""
    (tree / "bad.toml").write_text(BAD_PACK)
    run = cli(*arguments)
    assert run.code == 2 and run.out == b""
    first, *problems = run.err.splitlines()
    assert first == "vyre-dist: 6 problems in the rule pack:" and problems == BAD_PACK_PROBLEMS


def test_warnings_of_a_pack_are_said_every_time(cli: Cli, tree: Path) -> None:
    """What is only odd does not stop the scan, and is told again when the pack comes from the
    cache.
    """
    (tree / "odd.toml").write_text(
        "[[rules]]\nid='x'\nregex='tok_'\n[[rules]]\nid='y'\nregex='y'\nskipReport=true\n"
    )
    for _ in range(2):
        run = cli("scan", "-r", "odd.toml", "--progress", "never", "a.txt")
        assert run.code == 1
        assert run.err.startswith("vyre-dist: warning: odd.toml:4") and "skipReport" in run.err


def test_a_pack_that_changes_is_read_anew(cli: Cli, tree: Path) -> None:
    """No cache outlives what it was made from."""
    pack = tree / "pack.toml"
    for word, code in (("tok_", 1), ("nothing_of_it", 0), ("tok_", 1)):
        pack.write_text(f"schema = 1\n[[rules]]\nid = 'x'\nregex = '{word}'\n")
        assert cli("scan", "-r", pack, "a.txt").code == code


def test_several_packs(cli: Cli, tree: Path, pack: Path) -> None:
    """--rules may be given several times; the rules of all are searched for."""
    (tree / "more.toml").write_text("schema = 1\n[[rules]]\nid = 'more'\nregex = 'nothing'\n")
    run = cli("scan", "-r", pack, "-r", "more.toml", "-f", "jsonl", "a.txt")
    assert [f["rule_id"] for f in run.findings] == ["more", "token"]


HELP = {
    (): [
        "scan",
        "rules",
        "submit",
        "autotune",
        "clean",
        "Exit codes: 0 nothing found, 1 findings, 2 bad usage",
    ],
    ("scan",): [
        "--rules",
        "--format",
        "--redact",
        "--files-from",
        "--pool",
        "--store",
        "Exit codes:",
    ],
    ("rules",): ["list", "check"],
    ("rules", "list"): ["--json"],
    ("rules", "check"): ["--quiet", "Exit codes: 0 fit for use, 2 not."],
    ("autotune",): ["show", "tune", "verify", "forget", "export", "import"],
    ("autotune", "tune"): ["--on", "--plot", "--store", "Exit codes: 0"],
    ("autotune", "verify"): ["--on", "--store", "Exit codes: 0"],
    ("autotune", "forget"): ["--pack", "--older-than", "--all", "Exit code 3"],
    ("submit",): ["--address", "--working-dir"],
    ("clean",): ["--dry-run", "--cache-dir", "Exit codes: 0"],
}


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help(cli: Cli, command: tuple[str, ...]) -> None:
    """Every command has help, on standard output, that names all it takes, with no sentence cut
    off.
    """
    run = cli(*command, "--help")
    assert run.code == 0 and run.err == ""
    text = run.out.decode()
    assert all(word in " ".join(text.split()) for word in HELP[command])
    assert not re.search(r"^  .*\.\.\.$", text, re.MULTILINE)
    assert cli(*command, "-h").out == run.out


def test_the_version(started_cli: Cli) -> None:
    """--version names the program and its version."""
    import vyre_dist

    assert started_cli("--version").out.decode() == f"vyre-dist, version {vyre_dist.__version__}\n"


def test_shells_can_ask_for_completions(cli: Cli) -> None:
    """click's completion scripts come out, and commands are offered."""
    assert b"_VYRE_DIST_COMPLETE" in cli(_VYRE_DIST_COMPLETE="bash_source").out
    run = cli(_VYRE_DIST_COMPLETE="bash_complete", COMP_WORDS="vyre-dist sc", COMP_CWORD="1")
    assert run.out == b"plain,scan\n"


def test_a_bug_is_not_reported_as_findings(tree: Path, environment: dict[str, str]) -> None:
    """An exception that nobody expected is a traceback and exit code 3, where Python would say
    1.
    """
    code = (
        "import vyre_dist.runs.scan_run as s\n"
        "def broken(*_): raise KeyError('oops')\n"
        "s.ScanRun.scan = broken\n"
        "from vyre_dist.cli.main import main\n"
        "main(['scan'])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, timeout=60
    )
    assert run.returncode == 3
    assert b"KeyError: 'oops'" in run.stderr and b"this is a bug in vyre-dist" in run.stderr


def test_an_unusable_cache_costs_only_time(cli: Cli, pack: Path, tree: Path) -> None:
    """A cache folder that can't be made is done without."""
    run = cli(
        "scan", "-r", pack, "--cache-dir", "/proc/nowhere", "--progress", "never", "-f", "jsonl"
    )
    assert run.code == 1 and len(run.findings) == 2


def test_no_cache_leaves_nothing_behind(cli: Cli, pack: Path, tmp_path: Path) -> None:
    """--no-cache writes neither compiled packs nor a tuning store."""
    home = tmp_path / "home"
    home.mkdir()
    run = cli("scan", "-r", pack, "--no-cache", HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    assert run.code == 1 and os.listdir(home) == []


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (["scan", "--store", "redis://:hush@h/0", "."], True),
        (["scan", "--store=unix://u:hush@/s", "."], True),
        (["scan", "--store", "redis://h/0", "."], False),
    ],
)
def test_a_password_among_a_jobs_arguments_is_warned_of(
    cli: Cli, arguments: list[str], warned: bool
) -> None:
    """submit says that others can read it, and what to do, without repeating it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        run = cli("submit", "--address", nobody, "--", *arguments)
    assert run.code == 2 and "job server" in run.err
    assert ("warning: a store's password" in run.err and "VYRE_DIST_STORE" in run.err) is warned
    assert "hush" not in run.err and run.out == b""


def test_clicks_before_8_4_are_good_enough(environment: dict[str, str]) -> None:
    """Every command loads with a click whose ParamType takes no type arguments."""
    code = (
        "import click\n"
        "def refuse(cls, item): raise TypeError(\"type 'ParamType' is not subscriptable\")\n"
        "click.ParamType.__class_getitem__ = classmethod(refuse)\n"
        "try: click.ParamType[int]\n"
        "except TypeError: print('refused')\n"
        "from vyre_dist.cli import autotune, rules, scan, submit\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"refused\n", b"")


def test_a_warm_start_takes_no_time(started_cli: Cli, record_property: Callable[..., None]) -> None:
    """With the built-in rules in the cache, a small folder is scanned within a second of pressing
    Enter.
    """
    started_cli("scan", "--progress", "never")
    seconds = min(started_cli("scan", "--progress", "never").seconds for _ in range(3))
    record_property("seconds", seconds)
    print(f"warm start: {seconds:.2f} s")  # noqa: T201 (shown by pytest -rP)
    assert seconds < 2.0


def test_help_loads_nothing_heavy(environment: dict[str, str]) -> None:
    """Only those who scan pay for what scanning imports, and a local scan never for Ray, Arrow or
    Redis.
    """
    code = (
        "import sys\n"
        "from vyre_dist.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'ray', 'pyarrow', 'redis', 'rich', 'hyperscan') if m in "
        "sys.modules])\n"
    )
    for arguments, expected in (
        (["--help"], []),
        (["scan", "--help"], []),
        (
            ["scan", "--progress", "never", os.devnull],
            ["hyperscan"] if find_spec("hyperscan") else [],
        ),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environment,
            capture_output=True,
            timeout=60,
        )
        assert run.stdout.decode().splitlines()[-1] == str(expected)
