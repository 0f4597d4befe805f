"""What `vyre-dist scan` does with its options: a run, told on standard error, and an exit code.

The options themselves are in scan.py, and the run in vyre_dist.runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields
from typing import Any

import click

from vyre_dist.cli.console import Console
from vyre_dist.cli.destinations import destinations
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.errors import UsageError
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.pools import uses_ray
from vyre_dist.runs.scan_run import ScanRun
from vyre_dist.sinks.destination import Destination
from vyre_dist.sinks.formats import REPORT
from vyre_dist.sources.walk_options import WalkOptions


def scan_command(progress: str, values: dict[str, Any]) -> int:
    """Run the command; the exit code. `values`: click's parameters, by their names."""
    options, remarks = _options_of(values)

    def run(written: Callable[[int], object] = lambda _: None) -> ExitCode:
        return _run(options, progress, remarks, written)

    if not uses_ray(options.pool, options.address):
        return run()
    from vyre_dist.cli.supervision import supervised

    return supervised(run)


def _options_of(values: dict[str, Any]) -> tuple[ScanOptions, Sequence[str]]:
    """The options that click's parameters make, and remarks about them. Raises UsageError."""
    values = {name: value for name, value in values.items() if value is not None}
    chosen, remarks = destinations(values.pop("formats"), values.pop("output_files"))
    known = {each.name for each in fields(WalkOptions)}
    walk = {name: values.pop(name) for name in known.intersection(values)}
    walk["respect_gitignore"] = not values.pop("no_gitignore")
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
            click.echo(f"vyre-dist: {kept}", err=True)


def _waiting(pipes: Sequence[str]) -> None:
    from vyre_dist.sinks.text import visible

    click.echo(f"vyre-dist: waiting for somebody to write to {visible(', '.join(pipes))}", err=True)
