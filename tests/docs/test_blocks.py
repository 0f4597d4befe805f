"""Every command and every block of code in the pages does what the page says.

`sh` blocks run command by command, `console` blocks also show what comes out, `python` blocks are
programs or doctests, `toml` blocks rule packs. A comment in front of a block says why it can't run
here: `<!-- not run: cluster -->`. Then each command of ours in it is parsed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pages import PAGES, ROOT, Block, blocks, name_of
from pages_tree import make_tree, private_environment

from vyre_dist.cli.main import cli
from vyre_dist.rules import RulePack

REASONS = {
    "cluster",  # needs a Ray cluster, or a cloud
    "gpu",  # needs an NVIDIA GPU
    "network",  # fetches something
    "minutes",  # takes that long, or what it reads is not in the tree
    "checkout",  # is for the checkout itself, which tests do not change
}
_SECONDS = 120


def fences() -> Iterator[object]:
    """Each block of code, with the comment in front of it."""
    for page in PAGES:
        before: Block | None = None
        for block in blocks(page):
            if block.kind == "fence":
                reason = before.comment("not run") if before is not None else None
                yield pytest.param(block, reason, id=f"{name_of(page)}:{block.line}")
            before = block


FENCES = list(fences())


def of_language(*languages: str) -> list[object]:
    """The blocks in these languages."""
    return [each for each in FENCES if each.values[0].language in languages]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the commands share, so that packs are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree that the pages speak of."""
    return make_tree(tmp_path / "tree")


@pytest.fixture
def environment(tmp_path: Path, cache: Path) -> dict[str, str]:
    """A new user's environment, with a home of its own."""
    return private_environment(tmp_path / "home", cache)


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Each command, with the lines that the page shows below it (console blocks only)."""
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        lines = [line for line in text.splitlines() if line.strip()]
        return [(line, []) for line in lines if not line.startswith("#")]
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def run(command: str, tree: Path, environment: dict[str, str]) -> str:
    """What the command prints. A scan may find something; nothing else may fail."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    allowed = (0, 1) if "vyre-dist scan" in command else (0,)
    assert done.returncode in allowed, f"{command}\n{done.stdout}"
    return done.stdout


def without_times(text: str) -> str:
    """`text`, with times and speeds taken out, which no two runs have in common."""
    return re.sub(r"\d+(\.\d+)?( (?:s|MB/s)\b)", r"N\2", text).strip()


@pytest.mark.parametrize(("block", "reason"), of_language("sh", "console"))
def test_commands_run(
    block: Block, reason: str | None, tree: Path, environment: dict[str, str]
) -> None:
    """Every command ends as it should, and prints what the page shows; one that can't run here has
    an allowed reason, and parses.
    """
    for command, shown in commands(block):
        if reason is not None:
            assert reason in REASONS
            check_by_reading(command, tree)
            continue
        printed = run(command, tree, environment)
        if shown:
            assert without_times("\n".join(shown)) == without_times(printed), command


def check_by_reading(command: str, tree: Path) -> None:
    """What can be said of a command without running it: bash reads it, our own options are there,
    scripts and targets exist.
    """
    subprocess.run(["bash", "-n", "-c", command], check=True, timeout=_SECONDS)
    words = shlex.split(command, comments=True)
    for i, word in enumerate(words):
        rest = list(words[i + 1 :])
        rest = rest[: next((n for n, each in enumerate(rest) if each in "|&&;"), len(rest))]
        if word == "vyre-dist":
            parse(cli, rest, tree)
            return  # what follows belongs to it
        if word == "make" and rest:
            targets = (ROOT / "Makefile").read_text()
            for target in (each for each in rest if "=" not in each):
                assert re.search(rf"(?m)^{re.escape(target)}:", targets), command
        if word.endswith(".py") and "/" in word:
            source = (ROOT / word).read_text()
            for option in (each.partition("=")[0] for each in rest if each.startswith("--")):
                assert f'"{option}"' in source, command


def parse(command: click.Command, arguments: list[str], tree: Path) -> None:
    """Have click read the arguments as the command would, and those that it hands on."""
    while isinstance(command, click.Group):
        name, *arguments = arguments
        inner = command.get_command(click.Context(command), name)
        assert inner is not None, name
        command = inner
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        command.make_context(command.name, list(arguments))
    if "--" in arguments:
        parse(cli, arguments[arguments.index("--") + 1 :], tree)


@pytest.mark.parametrize(("block", "reason"), of_language("python"))
def test_python_runs(
    block: Block, reason: str | None, tree: Path, environment: dict[str, str]
) -> None:
    """A block is a whole program, or a doctest whose answers are right."""
    assert reason is None or reason in REASONS
    compile(block.text if ">>>" not in block.text else "", "block", "exec")
    if reason is not None:
        return
    file = tree / "block.py"
    file.write_text(f'r"""\n{block.text}\n"""\n' if ">>>" in block.text else block.text)
    doctest = ["-m", "doctest"] if ">>>" in block.text else []
    done = subprocess.run(
        [sys.executable, "-P", *doctest, str(file)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("block", "reason"), of_language("toml"))
def test_packs_load(block: Block, reason: str | None, tree: Path) -> None:
    """A block of TOML is a rule pack without a mistake, and its examples hold."""
    assert reason is None
    file = tree / "page.toml"
    file.write_text(block.text)
    assert RulePack.load(file).warnings == ()


def test_a_command_with_an_unknown_option_is_seen(tree: Path) -> None:
    """The parsing of what can't run finds options that are not there."""
    check_by_reading("vyre-dist submit --address localhost:8265 -- scan /shared -o out.csv", tree)
    for wrong in (
        "vyre-dist scan --no-such-option .",
        "vyre-dist submit --address localhost:8265 -- scan --no-such-option .",
        "make no-such-target",
        "python benchmarks/gpu_scan.py --no-such-option",
    ):
        with pytest.raises((AssertionError, click.UsageError)):
            check_by_reading(wrong, tree)


def test_what_a_page_shows_is_compared() -> None:
    """Times may differ between a page and a run, and nothing else."""
    assert without_times("4 findings in 0.08 s (0.3 MB/s)") == without_times(
        "4 findings in 1.20 s (17 MB/s)"
    )
    assert without_times("4 findings in 1 s") != without_times("3 findings in 1 s")


def test_a_failing_command_is_seen(tree: Path, environment: dict[str, str]) -> None:
    """A scan may find something; one that could not read an input fails, as any other command."""
    run("vyre-dist scan --rules my-pack.toml src/config.py", tree, environment)
    for wrong in (
        "vyre-dist scan --rules my-pack.toml no-such-file",
        "vyre-dist rules list x.toml",
    ):
        with pytest.raises(AssertionError):
            run(wrong, tree, environment)
