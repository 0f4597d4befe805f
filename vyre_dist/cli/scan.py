"""`vyre-dist scan`: its options. What is done with them is in scan_command.py."""

from __future__ import annotations

from typing import Any

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import Ended
from vyre_dist.cli.output_options import FORMAT, OUTPUT, REDACT, REPORT, SECRET_KEY, RedactCommand
from vyre_dist.cli.rule_options import SKIP_UNSUPPORTED
from vyre_dist.cli.sizes import SIZE
from vyre_dist.cli.store_option import STORE


@click.command(cls=RedactCommand, short_help="Scan files, folders, globs or standard input.")
# an input that can't be read is listed, and the rest is scanned
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@click.option(
    "--rules",
    "-r",
    "packs",
    multiple=True,
    metavar="PACK",
    help="Search for the rules of PACK: a rule file, a folder of such files, or a built-in pack's "
    "name. May be given several times. Default: everything built in.",
)
@SKIP_UNSUPPORTED
@FORMAT
@OUTPUT
@REDACT
@SECRET_KEY
@click.option(
    "--files-from",
    type=click.Path(),
    help="Scan the files that this file lists ('-': standard input), one a line or separated by "
    "NUL bytes. Names are taken literally: they are no globs.",
)
@click.option(
    "--no-gitignore",
    is_flag=True,
    help="Also scan what .gitignore files exclude. Files that git tracks are always scanned.",
)
@click.option(
    "--follow",
    "follow_symlinks",
    is_flag=True,
    help="Follow symbolic links to files and folders.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out paths that match this gitignore pattern.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Scan only paths that match this gitignore pattern.",
)
@click.option("--max-file-size", type=SIZE, help="Leave out and count larger files.")
@click.option(
    "--pool",
    type=click.Choice(["auto", "local", "ray"]),
    default="auto",
    show_default=True,
    help="Where workers run. auto: on Ray inside a Ray job or with --address, else as local "
    "processes.",
)
@click.option(
    "--workers",
    "-j",
    type=click.IntRange(min=1),
    help="The most workers to use; they start as there is work. Default: one for each processor, "
    "or for each GPU of the cluster.",
)
@click.option(
    "--autoscale",
    is_flag=True,
    help="Wait for workers that the Ray cluster has no room for yet: it will add nodes.",
)
@click.option(
    "--address",
    help="Use the Ray cluster at HOST:PORT or ray://HOST:PORT, find it (auto), or start one on "
    "this machine (local).",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="What searches: cpu (Hyperscan and google-re2), cuda (NVIDIA GPUs) or reference (the "
    "compiled tables in NumPy, slow). auto: cpu, and GPUs as soon and as long as they are faster.",
)
@click.option(
    "--gpus",
    metavar="N|LIST",
    help="The GPUs of this machine to use: the first N, or those in a list with commas, by number "
    "or UUID as CUDA_VISIBLE_DEVICES has them. Default: all that it shows.",
)
@click.option(
    "--speculation",
    type=click.Choice(["auto", "force", "disable"]),
    default="auto",
    show_default=True,
    help="Whether the pass that finds candidates also confirms them.",
)
@click.option(
    "--shard-size",
    type=SIZE,
    default=None,
    help="Give workers so many bytes at a time; split larger files. Default: 32M, 64M for GPUs.",
)
@click.option(
    "--max-match-bytes",
    type=SIZE,
    default=None,
    help="The longest match of rules that have no upper bound. Default: 64K.",
)
@click.option(
    "--audit",
    type=click.FloatRange(0, 1),
    metavar="RATE",
    help="Scan this share of all documents (0.01: one in a hundred, chosen at random; 1: all) "
    "again, with google-re2 alone, and report where that finds something else. Workers do it when "
    "they have nothing else to do, or at the end.",
)
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False),
    metavar="DIR|URL",
    help="Keep what is done in this directory, or at a URL such as s3://BUCKET/PATH, so that a run "
    "that was interrupted can go on.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in --run-dir: what was done before is not done again. The other "
    "options have to be those that it was begun with.",
)
@click.option(
    "--resume-if-begun",
    is_flag=True,
    help="The same, if there is a run in --run-dir; else begin one. For jobs that are tried again "
    "with the same command.",
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="Keep compiled packs here and, without --store, the autotune store. Default: the user's "
    "cache directory.",
)
@click.option(
    "--no-cache",
    is_flag=True,
    help="Neither read nor keep compiled packs nor, without --store, an autotune store.",
)
@STORE
@click.option(
    "--no-tuning",
    is_flag=True,
    help="Run everything as it is by default: try nothing, and neither open nor ask an autotune "
    "store.",
)
@REPORT
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "json", "never"]),
    default="auto",
    show_default=True,
    help="Show progress on standard error: a bar, a plain line every 30 seconds, or lines of JSON. "
    "auto: a bar on a terminal, else plain.",
)
@click.option(
    log.OPTION,
    type=click.Choice(log.FORMATS),
    default=log.FORMATS[0],
    envvar=log.VARIABLE,
    show_default=True,
    show_envvar=True,
    help="Write messages to standard error as text, or as JSON objects, one a line: notes, "
    "warnings, errors, problems and progress.",
)
@click.option(
    "--ray-output",
    is_flag=True,
    help="Show what Ray itself prints. Without it, that is kept only where Ray ends the scan.",
)
@click.option(
    "--exit-code",
    is_flag=True,
    help="In a Ray job, too, end with 1 where something was found: Ray then shows the job as "
    "FAILED. Without it, such a job ends with 0.",
)
def scan(progress: str, exit_code: bool, log_format: str, ray_output: bool, **values: Any) -> Ended:
    """Scan PATHS: files, folders, globs, or - for standard input. Default: the current folder.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage or rules, 3 some input could not be scanned
    (it is listed), or an audit found something else.
    """
    from vyre_dist.cli.scan_command import scan_command

    del log_format  # chosen before: see cli/log.py
    return scan_command(progress, values, exit_code=exit_code, ray_output=ray_output)
