"""What `vyre-dist scan` does with its options: a run, told on standard error, and an exit code.

The options themselves are in scan.py, and the run in vyre_dist.runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from typing import Any

import click

from vyre_dist.actors.ray_job import in_ray_job
from vyre_dist.cli import log
from vyre_dist.cli.console import Console
from vyre_dist.cli.destinations import destinations
from vyre_dist.cli.exit_codes import Ended, ExitCode
from vyre_dist.errors import UsageError
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.pools import uses_ray
from vyre_dist.runs.scan_run import ScanRun
from vyre_dist.sinks.destination import Destination
from vyre_dist.sinks.formats import REPORT
from vyre_dist.sources.walk_options import WalkOptions


def scan_command(
    progress: str, values: dict[str, Any], *, exit_code: bool, ray_output: bool
) -> Ended:
    """Run the command. `values`: click's other parameters, by their names. `exit_code`: findings
    make a Ray job a failed one, too. `ray_output`: show what Ray prints.
    """
    options, remarks = _options_of(values)

    def run(written: Callable[[int], object] = lambda _: None) -> ExitCode:
        return _run(options, progress, remarks, written)

    in_job = in_ray_job()  # before there is a connection to a cluster
    if not uses_ray(options.pool, options.address):
        code: int = run()
    else:
        from vyre_dist.cli.supervision import supervised

        code = supervised(run, ray_output=ray_output)
    # Ray calls a job FAILED whose exit code is not 0
    return Ended(code, findings_succeed=in_job and not exit_code)


def _options_of(values: dict[str, Any]) -> tuple[ScanOptions, Sequence[str]]:
    """The options that click's parameters make, and remarks about them. Raises UsageError."""
    values = {name: value for name, value in values.items() if value is not None}
    chosen, remarks = destinations(values.pop("formats"), values.pop("output_files"))
    known = {each.name for each in fields(WalkOptions)}
    walk = {name: values.pop(name) for name in known.intersection(values)}
    walk["respect_gitignore"] = not values.pop("no_gitignore")
    values["tuning"] = not values.pop("no_tuning")
    options = ScanOptions(destinations=tuple(chosen), walk=WalkOptions(**walk), **values)
    return options, remarks


def _run(
    options: ScanOptions,
    progress: str,
    remarks: Sequence[str],
    written: Callable[[int], object],
) -> ExitCode:
    """Scan, and give the exit code; `written` gets it, too, as soon as all outputs are in their
    places.
    """
    with ExitStack() as stack:
        run = ScanRun(options, stack, _waiting)
        report = [] if options.report is None else [Destination(REPORT.name, options.report)]
        console = Console(progress, [*options.destinations, *report])
        stack.callback(console.close)
        for message in (*remarks, *run.opening_messages()):
            console.say(message)
        with _kept(run):
            summary = run.scan(console)
            run.publish(summary, console)
        code = ExitCode.of(complete=summary.complete and not console.lost, found=summary.findings)
        written(code)
    return code


@contextmanager
def _kept(run: ScanRun) -> Iterator[None]:
    """Tell how to go on with a scan that does not come to its end in here."""
    try:
        yield
    except (BrokenPipeError, UsageError):
        run.discard()
        raise
    except BaseException:
        _tell_kept(run)
        raise
    _tell_kept(run)  # it was given up, or is over


def _tell_kept(run: ScanRun) -> None:
    arguments: Sequence[str] = click.get_current_context().find_root().obj or ()
    if kept := run.kept(arguments):
        with suppress(OSError):
            log.say(kept)


def _waiting(pipes: Sequence[str]) -> None:
    log.say(f"waiting for somebody to write to {', '.join(pipes)}")
