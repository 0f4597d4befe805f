"""What `vyre-dist scan` does with its options: a run, told on standard error, and an exit code.

The options themselves are in scan.py, and the run in vyre_dist.runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import click

from vyre_dist.cli.console import Console
from vyre_dist.cli.destinations import destinations
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.pools import uses_ray
from vyre_dist.runs.scan_run import ScanRun
from vyre_dist.sinks.formats import REPORT, Destination
from vyre_dist.sources.walk_options import WalkOptions


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What the command line asks for. `remarks`: what is to be said about the options first."""

    options: ScanOptions
    progress: str
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, values: dict[str, Any]) -> ScanRequest:
        """The request that click's parameters make, by their names. Raises UsageError."""
        values = {name: value for name, value in values.items() if value is not None}
        progress = values.pop("progress")
        chosen, remarks = destinations(values.pop("formats"), values.pop("output_files"))
        known = {each.name for each in fields(WalkOptions)}
        walk = {name: values.pop(name) for name in known.intersection(values)}
        walk["respect_gitignore"] = not values.pop("no_gitignore")
        options = ScanOptions(destinations=tuple(chosen), walk=WalkOptions(**walk), **values)
        return cls(options, progress, tuple(remarks))


def scan_command(values: dict[str, Any]) -> int:
    """Run the command with click's parameters; the exit code."""
    request = ScanRequest.of(values)
    if not uses_ray(request.options.pool, request.options.address):
        return _run(request)
    from vyre_dist.cli.supervision import supervised

    return supervised(lambda written: _run(request, written))


def _run(request: ScanRequest, written: Callable[[int], object] = lambda _: None) -> ExitCode:
    """Scan, and give the exit code; `written` gets it, too, as soon as all outputs are in their
    places.
    """
    options = request.options
    with ExitStack() as stack:
        run = ScanRun(options, stack, _waiting)
        report = [] if options.report is None else [Destination(REPORT.name, options.report)]
        console = Console(request.progress, [*options.destinations, *report])
        stack.callback(console.close)
        for message in (*request.remarks, *run.opening_messages()):
            console.say(message)
        summary = run.scan(console)
        run.publish(summary, console)
        code = ExitCode.of(complete=summary.complete and not console.lost, found=summary.findings)
        written(code)
    return code


def _waiting(pipes: Sequence[str]) -> None:
    from vyre_dist.sinks.text import visible

    click.echo(f"vyre-dist: waiting for somebody to write to {visible(', '.join(pipes))}", err=True)
