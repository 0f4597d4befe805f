"""The options of `vyre-dist scan` and what they are derived from: typed fields and declarations."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any, get_type_hints

import pytest

from vyre_dist.cli import scan_command
from vyre_dist.cli.scan import scan
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.scan_run import shard_bytes
from vyre_dist.sinks.formats import FORMAT_OF_ENDING, FORMATS, OUTPUT_FORMATS, REPORT
from vyre_dist.sources.walk_options import WalkOptions

Cli = Callable[..., Any]

# what is about the command, not about the run
COMMANDS_OWN = {"progress", "log_format", "exit_code", "ray_output"}
# beside it, what --format, --output, --no-gitignore and --no-tuning become
MADE_OF_OTHERS = {"formats", "output_files", "no_gitignore", "no_tuning"} | COMMANDS_OWN


def parsed(*arguments: str) -> ScanOptions:
    """The options that a command line makes."""
    values = scan.make_context("scan", list(arguments)).params
    values = {name: value for name, value in values.items() if name not in COMMANDS_OWN}
    return scan_command._options_of(values)[0]


def test_every_option_is_a_typed_field() -> None:
    """Each parameter of the command is a field by the same name, and no field is untyped."""
    known = {each.name for cls in (ScanOptions, WalkOptions) for each in fields(cls)}
    assert {str(each.name) for each in scan.params} <= known | MADE_OF_OTHERS
    for cls in (ScanOptions, WalkOptions):
        assert not any("Any" in str(hint) for hint in get_type_hints(cls).values())
    with pytest.raises(FrozenInstanceError):
        parsed().paths = ()  # type: ignore[misc]


def test_a_command_line_without_options_is_the_default() -> None:
    """The command's defaults are those of the library's options."""
    assert parsed() == ScanOptions()


def test_options_become_fields() -> None:
    """Names, sizes and globs arrive as they are meant."""
    options = parsed(
        *("a", "b", "--no-gitignore", "--follow", "--exclude", "*.o", "--exclude", "x/"),
        *(
            "--max-file-size",
            "2K",
            "--shard-size",
            "1M",
            "-f",
            "csv=out.csv",
            "--redact",
            "-j",
            "3",
        ),
    )
    assert options.paths == ("a", "b") and options.workers == 3 and options.redact == 100
    assert options.shard_size == 1 << 20
    assert options.destinations == (("csv", "out.csv"),)
    assert options.walk == WalkOptions(
        respect_gitignore=False,
        follow_symlinks=True,
        exclude=("*.o", "x/"),
        max_file_size=2048,
    )


@pytest.mark.parametrize("form", FORMATS)
def test_a_declared_format_is_offered(cli: Cli, form: str) -> None:
    """--help names each format and each ending, and a file with such an ending gets the format."""
    text = " ".join(cli("scan", "--help").out.decode().split())
    assert form in text
    for ending in OUTPUT_FORMATS[form].endings:
        assert ending in text
        assert parsed("-o", f"x{ending}").destinations == ((form, f"x{ending}"),)


def test_declarations_do_not_contradict_each_other() -> None:
    """Endings belong to one format each; what fits is another one's; the report is no choice."""
    forms = OUTPUT_FORMATS.values()
    assert sum(len(each.endings) for each in forms) == len(FORMAT_OF_ENDING)
    for each in forms:
        assert set(each.fits_endings) <= FORMAT_OF_ENDING.keys() - set(each.endings)
        assert all(os.path.splitext(f"x{ending}")[1] for ending in each.endings)
    assert REPORT.name not in OUTPUT_FORMATS


@pytest.mark.parametrize(
    ("options", "driver", "shard"),
    [
        ([], False, 32),
        ([], True, 64),
        (["--backend", "cpu"], True, 32),
        (["--backend", "cuda"], False, 64),
        (["--backend", "cuda", "--shard-size", "5M"], True, 5),
    ],
)
def test_shards_are_larger_where_a_gpu_may_be_used(
    monkeypatch: pytest.MonkeyPatch, options: list[str], driver: bool, shard: int
) -> None:
    """Without --shard-size the backend decides, and with `auto` whether there can be a GPU."""
    monkeypatch.setattr("vyre_dist.runs.scan_run.has_nvidia_driver", lambda: driver)
    assert shard_bytes(parsed(*options)) == shard << 20
