"""`vyre-dist doctor`: what this machine, and a cluster, offer a scan, and what mends the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.store_option import STORE

if TYPE_CHECKING:
    from vyre_dist.doctor.result import Answer

_SECONDS = 30.0


@click.command(short_help="Check what scans need, and say what mends it.")
@click.option(
    "--address",
    help="Look at the Ray cluster at HOST:PORT or ray://HOST:PORT, or at the job server "
    "http://HOST:PORT. Default: RAY_ADDRESS, else a cluster on this machine.",
)
@STORE
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="The cache directory to look at. Default: the user's.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=_SECONDS,
    show_default=True,
    help="How long all checks together may take: what has not answered by then has failed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def doctor(
    address: str | None, store: str | None, cache_dir: str | None, seconds: float, as_json: bool
) -> int:
    """Check Python, Hyperscan, Ray and a cluster, GPUs, the autotune store, limits and folders.

    Prints a line for each: ok, warning or failed, what was found, and what mends it. No secret is
    shown. Nothing is changed, but that the cache directory is made where it is missing.

    Exit codes: 0 scans work on this machine, whatever else has failed; 2 they do not.
    """
    from vyre_dist.doctor.examine import examine
    from vyre_dist.doctor.result import Asked, Status

    answers = examine(Asked(address, store, cache_dir), seconds)
    unusable = any(each.needed and each.status is Status.FAILED for each in answers)
    if as_json:
        import json

        record = {"usable": not unusable, "checks": [each.record() for each in answers]}
        click.echo(json.dumps(record, indent=2))
    else:
        for answer in answers:
            click.echo(_line(answer))
    return ExitCode.USAGE if unusable else ExitCode.CLEAN


def _line(answer: Answer) -> str:
    from vyre_dist.sinks.text import visible

    cure = f" -> {answer.cure}" if answer.cure else ""
    return visible(f"{answer.status:<8} {answer.name}: {answer.found}{cure}")
