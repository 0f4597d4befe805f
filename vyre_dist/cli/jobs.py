"""`vyre-dist jobs`: a scan that was submitted as a job: its status, its log, its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vyre_dist.actors.job_commands import JobState

ADDRESS = click.option(
    "--address",
    help="The cluster's dashboard, HOST:PORT or http://HOST:PORT. Default: RAY_ADDRESS, else a "
    "cluster on this machine.",
)
_JOB = click.argument("job")

_MEANINGS = {
    0: "nothing found",
    1: "findings",
    2: "bad usage or rules",
    3: "some input was not scanned",
}


@click.group(short_help="Look after scans that run as jobs.")
def jobs() -> None:
    """Look after scans that run as jobs of a Ray cluster: JOB is the id that `submit` printed."""


@jobs.command(short_help="Say how a job is.")
@_JOB
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a line.")
def status(job: str, address: str | None, as_json: bool) -> int:
    """Print the job's status, how long it has run, and its scan's exit code when it has ended.

    Exit codes: 0 the job is known, 2 it is not, or its cluster can't be reached.
    """
    from vyre_dist.actors.job_commands import job_state

    _tell(job_state(address, job, log.say), as_json)
    return ExitCode.CLEAN


@jobs.command(short_help="Print a job's log.")
@_JOB
@ADDRESS
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
def logs(job: str, address: str | None, follow: bool) -> int:
    """Print the job's log: the scan's standard output and standard error, as far as they are.

    With --follow the exit code is the scan's, as that of `submit`. Ctrl-C leaves the job alone.
    """
    from vyre_dist.actors.job_commands import job_log

    return job_log(address, job, sys.stdout.write, log.say, follow=follow)


@jobs.command(short_help="Stop a job.")
@_JOB
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a line.")
def stop(job: str, address: str | None, as_json: bool) -> int:
    """Stop the job, wait for its end, and print its status. One that has ended stays as it is.

    Exit codes: 0 the job has ended, 2 it is not known, or its cluster can't be reached, 3 it has
    not ended within a minute.
    """
    from vyre_dist.actors.job_commands import stop_job

    state = stop_job(address, job, log.say)
    _tell(state, as_json)
    return ExitCode.CLEAN if state.over else ExitCode.INCOMPLETE


def _tell(state: JobState, as_json: bool) -> None:
    from vyre_dist.sinks.text import visible

    seconds = state.seconds
    if as_json:
        import json

        record = {
            "job": state.job,
            "status": state.status,
            "exit_code": state.exit_code,
            "seconds": None if seconds is None else round(seconds, 3),
            "message": state.message,
        }
        click.echo(json.dumps(record))
        return
    parts = [f"{state.job}: {state.status}"]
    if seconds is not None:
        parts.append(f"{'ran for' if state.over else 'for'} {seconds:,.0f} s")
    if state.exit_code is not None:
        meaning = _MEANINGS.get(state.exit_code)
        parts.append(f"exit code {state.exit_code}" + (f" ({meaning})" if meaning else ""))
    elif state.message:
        parts.append(state.message)
    click.echo(visible(", ".join(parts)))
