"""`vyre-dist scan`: its options. What is done with them is in scan_run.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vyre_dist.cli.autotune import STORE
from vyre_dist.cli.rule_options import SKIP_UNSUPPORTED
from vyre_dist.cli.sizes import SIZE

_FORMATS = ["human", "jsonl", "sarif", "csv", "parquet"]

# click's older versions, which are allowed, know no type arguments here
if TYPE_CHECKING:
    _DestinationType = click.ParamType[tuple[str, str]]
else:
    _DestinationType = click.ParamType


class _Destination(_DestinationType):
    """FORMAT or FORMAT=FILE."""

    name = "format[=file]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        form, _, file = str(value).partition("=")
        if form not in _FORMATS:
            self.fail(
                f"unknown format {form!r}: use one of {', '.join(_FORMATS)}, or FORMAT=FILE",
                param,
                ctx,
            )
        return form, file or "-"


class _ScanCommand(click.Command):
    """--redact alone must not take the path behind it for its percentage."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        args = ["--redact=100" if arg == "--redact" else arg for arg in args[:end]] + args[end:]
        return super().parse_args(ctx, args)


@click.command(cls=_ScanCommand, short_help="Scan files, folders, globs or standard input.")
# what can't be read is listed, and the rest is scanned
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@click.option(
    "--rules",
    "-r",
    "packs",
    multiple=True,
    metavar="PACK",
    help="A rule pack: a gitleaks or vyre TOML file, a noseyparker YAML file, a folder of such "
    "files, or a built-in pack's "
    "name. May be given several times. Default: everything built in.",
)
@SKIP_UNSUPPORTED
@click.option(
    "--format",
    "-f",
    "outputs",
    multiple=True,
    type=_Destination(),
    help="How findings are written: human, jsonl, sarif, csv or parquet, to standard output or "
    "FORMAT=FILE. "
    "May be given several times. Default: human.",
)
@click.option(
    "--output",
    "-o",
    multiple=True,
    type=click.Path(readable=False),
    help="The file for the --format that names none. Without one the name's ending says the format "
    "(.sarif, .json, .jsonl, "
    ".csv, .parquet, .txt), and it may be given several times.",
)
@click.option(
    "--redact",
    type=click.IntRange(1, 100),
    metavar="[=PERCENT]",
    help="Mask secrets in every output: all of each, or the given share of it.",
)
@click.option(
    "--secret-key-file",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Give each finding a secret_id, by which the same secret is found elsewhere: an HMAC "
    "under the key in FILE.",
)
@click.option(
    "--files-from",
    type=click.Path(),
    help="Scan the files that FILE lists ('-': standard input), one a line, or separated by NUL "
    "bytes. Names are no globs.",
)
@click.option(
    "--no-gitignore",
    is_flag=True,
    help="Also scan what .gitignore files exclude. What git tracks is scanned in any case.",
)
@click.option("--follow", is_flag=True, help="Follow symbolic links to files and folders.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out paths that match, in gitignore's language.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Scan only paths that match.")
@click.option("--max-file-size", type=SIZE, help="Leave out larger files; they are counted.")
@click.option(
    "--pool",
    type=click.Choice(["auto", "local", "ray"]),
    default="auto",
    show_default=True,
    help="Where workers run. auto: Ray inside a Ray job or with --address, else local processes.",
)
@click.option(
    "--workers",
    "-j",
    type=click.IntRange(min=1),
    help="How many workers at most; they start as there is work for them. Default: one for each "
    "processor, or each GPU "
    "of the cluster.",
)
@click.option(
    "--autoscale",
    is_flag=True,
    help="The Ray cluster adds nodes when asked: wait for workers that it has no room for now.",
)
@click.option(
    "--address",
    help="The Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local for a new one on this "
    "machine.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="auto, cpu (Hyperscan and google-re2), cuda (an NVIDIA GPU) or reference (the compiled "
    "tables in NumPy, slow). "
    "auto is cuda on cluster workers that own a GPU, cpu elsewhere.",
)
@click.option(
    "--speculation",
    type=click.Choice(["auto", "force", "disable"]),
    default="auto",
    show_default=True,
    help="Whether tiles are confirmed in the pass that finds candidates.",
)
@click.option(
    "--shard-size",
    type=SIZE,
    default=None,
    help="Bytes given to a worker at a time; larger files are split. Default: 32M.",
)
@click.option(
    "--max-match-bytes",
    type=SIZE,
    default=None,
    help="The longest match of a rule without an upper bound. Default: 64K.",
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="Where compiled packs are kept and, without --store, the autotune store. Default: the "
    "user's cache directory.",
)
@click.option(
    "--no-cache",
    is_flag=True,
    help="Keep no compiled packs and, without --store, no autotune store; read none.",
)
@STORE
@click.option(
    "--report",
    type=click.Path(dir_okay=False, readable=False),
    help="Write the run's summary to FILE, as JSON.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "json", "never"]),
    default="auto",
    show_default=True,
    help="Progress on standard error: a bar, a plain line every 30 seconds, or lines of JSON. "
    "auto: a bar on a terminal, "
    "plain elsewhere.",
)
def scan(**options: Any) -> int:
    """Scan PATHS: files, folders, globs, or - for standard input. Default: the current folder.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage or rules, 3 some input could not be scanned
    (it is listed).
    """
    from vyre_dist.cli.scan_run import ScanRun

    scan_run = ScanRun(options)
    if not scan_run.on_ray:
        return scan_run.run()
    from vyre_dist.cli.supervision import supervised

    return supervised(scan_run.run)
