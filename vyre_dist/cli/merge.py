"""`vyre-dist merge`: write what a run has found, from its run directory."""

from __future__ import annotations

from contextlib import ExitStack

import click

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.output_options import FORMAT, OUTPUT, REDACT, REPORT, SECRET_KEY, RedactCommand
from vyre_dist.sinks.destination import Destination


@click.command(cls=RedactCommand, short_help="Write what a run in a run directory has found.")
@click.argument("run", type=click.Path(file_okay=False))
@FORMAT
@OUTPUT
@REDACT
@SECRET_KEY
@REPORT
def merge(
    run: str,
    formats: tuple[Destination, ...],
    output_files: tuple[str, ...],
    redact: int | None,
    secret_key_file: str | None,
    report: str | None,
) -> int:
    """Write the findings of the run at RUN (see scan --run-dir) in any format.

    The run may still be going on, or have been interrupted: what is there so far is written, and
    the summary says that it is not complete.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage, 3 the run is not complete, or some input
    could not be scanned (it is listed).
    """
    from vyre_dist.cli.console import Console
    from vyre_dist.cli.destinations import destinations
    from vyre_dist.runs.merge_run import MergeOptions, MergeRun

    chosen, remarks = destinations(formats, output_files)
    options = MergeOptions(run, tuple(chosen), report, redact, secret_key_file)
    with ExitStack() as stack:
        work = MergeRun(options, stack)
        console = Console("never", chosen)
        stack.callback(console.close)
        for remark in remarks:
            console.say(remark)
        summary = work.merge(console)
        work.publish(summary, console)
        complete = summary.complete and not console.lost
        return ExitCode.of(complete=complete, found=summary.findings)
