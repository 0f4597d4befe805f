"""What the pages say about options, exit codes, formats and built-in rules is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pages import PAGES, ROOT, blocks, name_of, table_cells

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.main import cli
from vyre_dist.rules import RulePack
from vyre_dist.sinks.formats import OUTPUT_FORMATS

OTHERS = {
    "--diff-filter",  # git's
    "--import-mode",  # pytest's
    "--head",  # ray start's
}
FORMATS_PAGE = ROOT / "docs" / "output-formats.md"


def commands(group: click.Command) -> Iterator[click.Command]:
    """The command and all below it."""
    yield group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            inner = group.get_command(context, name)
            assert inner is not None
            yield from commands(inner)


OPTIONS = {
    option
    for command in commands(cli)
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {"--help", "--version"}


def table(page: Path, *header: str) -> list[list[str]]:
    """The rows of the page's table whose header begins so."""
    tables = [table_cells(block) for block in blocks(page) if block.kind == "table"]
    (rows,) = [rows for rows in tables if rows[0][: len(header)] == list(header)]
    return rows[1:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_are_there(page: Path) -> None:
    """Every option in a code span is one of vyre-dist's commands, or a known one of another
    program.
    """
    for block in blocks(page):
        if block.kind == "fence":
            continue  # those are run, or parsed
        for span in block.spans:
            if span.split()[0] in ("ray", "git", "pip", "python", "pytest"):
                continue
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span):
                known = option in OPTIONS or option in OTHERS
                assert known, f"{name_of(page)}:{block.line}: {option}"


def test_formats_are_those_of_the_command() -> None:
    """The table of formats lists what --format offers, in its order."""
    named = [row[0].strip("`") for row in table(FORMATS_PAGE, "format", "for")]
    assert named == list(OUTPUT_FORMATS)


def test_exit_codes_are_those_of_the_command() -> None:
    """The table of exit codes has every ExitCode."""
    listed = {int(row[0]) for row in table(FORMATS_PAGE, "code", "meaning")}
    assert listed == {int(code) for code in ExitCode}


def test_the_readme_counts_the_builtin_rules() -> None:
    """The README says how many token formats the built-in pack has, and so many they are."""
    told = re.search(r"built-in pack of (\d+) token formats", (ROOT / "README.md").read_text())
    assert told is not None and int(told[1]) == len(RulePack.builtin())


def test_the_message_about_a_store_is_quoted_as_it_is() -> None:
    """docs/caches.md shows the warning, with PLACE and REASON where they stand."""
    page = " ".join((ROOT / "docs" / "caches.md").read_text().split())
    quoted = re.search(r"`warning: the autotune store PLACE: REASON(; [^`]*)`", page)
    assert quoted is not None
    assert f"{{problem}}{quoted[1]}" in (ROOT / "vyre_dist" / "cli" / "console.py").read_text()
